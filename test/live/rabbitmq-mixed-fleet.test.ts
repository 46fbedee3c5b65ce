/**
 * RabbitMQ, acceptance 1: Python and umbel workers share one queue, Python and umbel clients send to it, and each worker is killed and
 * started again while tasks run: every result reaches whoever asked, as a reply or through Redis, wherever its task ran. No task ends
 * before both kinds of worker have started one, so that each worker takes part however slow the machine is.
 */
import t, { type Test } from 'tap';
import { celeryMissing, ended } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { type Answer, double, MixedFleet } from './mixed-fleet.ts';

t.setTimeout(400_000);

/** From each client, before and after the workers are killed. */
const count = 100;
const hangsAfterMs = 60_000;

const pythonClient = `
def send(prefix): return [double.apply_async((n,), task_id='%s-%d' % (prefix, n)) for n in range(${count})]
sent = send('py')
say('sent')
sys.stdin.readline()
sent += send('pylate')
say('sent again')
for result in sent: say([result.id, result.get(timeout=60)])
`;

for (const results of ['rpc', 'redis'] as const) {
  void t.test(`workers of both kinds on one queue, killed and restarted; ${results}`, { skip: celeryMissing() }, async (t: Test) => {
    t.setTimeout(180_000);
    const vhost = await RabbitmqVhost.open(t);
    const resultUrl = results === 'rpc' ? 'rpc://' : (await RedisServer.start(t)).url();
    const fleet = new MixedFleet(t, { broker: vhost.url(), results: resultUrl, hangsAfterMs });
    const { celery, log } = fleet;
    let umbel = fleet.start();
    let [, python] = await Promise.all([umbel.ready(), celery.worker(['celery'])]);

    const app = await fleet.client(t);
    const client = celery.script(pythonClient);
    const send = (prefix: string) =>
      Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `${prefix}-${n}` })));
    const sent = await send('js');
    t.equal(await client.next(), 'sent');

    await log.startedByBothKinds('');
    fleet.open('py');
    fleet.open('js');
    await log.started(count / 2);
    t.match(await umbel.stop('SIGKILL'), { signal: 'SIGKILL' }, 'the umbel worker is killed');
    umbel = fleet.start();
    await umbel.ready();
    await ended(python, 'SIGKILL');
    python = await celery.worker(['celery']);
    // Work for those that have just come.
    sent.push(...(await send('jslate')));
    client.say('more');
    t.equal(await client.next(), 'sent again');
    // One after the other: those that wait for their file take up every place.
    for (const prefix of ['jslate', 'pylate']) {
      await log.startedByBothKinds(`${prefix}-`);
      fleet.open(prefix);
    }
    await log.allEnded(4 * count);

    const answers = new Map((await client.rest()) as [string, Answer][]);
    for (const result of sent) answers.set(result.id, await result.get({ timeoutMs: hangsAfterMs }));
    const wrong: string[] = [];
    const ranBy: Record<string, number> = {};
    for (const prefix of ['py', 'pylate', 'js', 'jslate']) {
      for (let n = 0; n < count; n++) {
        const answer = answers.get(`${prefix}-${n}`);
        if (answer?.[1] !== n * 2) wrong.push(`${prefix}-${n}: ${JSON.stringify(answer)}`);
        else ranBy[`${prefix} → ${answer[0]}`] = (ranBy[`${prefix} → ${answer[0]}`] ?? 0) + 1;
      }
    }
    t.strictSame(wrong, [], 'every result arrives and is right');
    for (const direction of ['pylate → python', 'pylate → umbel', 'jslate → python', 'jslate → umbel'])
      t.ok((ranBy[direction] ?? 0) > 0, `${direction}: ${JSON.stringify(ranBy)}`);
    if (results === 'redis') {
      // Stored, so that anybody can ask.
      for (const id of ['py-0', 'pylate-1']) t.strictSame(await app.result<Answer>(id).get({ timeoutMs: hangsAfterMs }), answers.get(id));
    }
    fleet.verdict(t);
    t.match(await umbel.stop(), { code: 0 });
    await ended(python, 'SIGTERM');
    t.equal(python.exitCode, 0);
    t.match(await vhost.list('queues', 'name', 'messages'), /^celery\t0$/m, 'nothing is left');
  });
}
