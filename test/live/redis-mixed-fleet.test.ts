/**
 * Redis, acceptance 1: Python and umbel workers share one queue, Python and umbel clients send to it, and each worker dies and comes back
 * while tasks run: every result arrives, wherever its task ran and whoever asks. No task ends before both kinds of worker have started
 * one, so that each worker takes part however slow the machine is.
 *
 * The umbel worker is killed; the Python worker is told to end, since kombu takes a message before it writes down that it has it.
 */
import t, { type Test } from 'tap';
import { celeryMissing } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { type Answer, double, MixedFleet } from './mixed-fleet.ts';
import { endInGoodOrder } from './python-worker-end.ts';

const visibilityTimeoutSeconds = 60;
const leaseSeconds = 3;
/** From each client. */
const count = 300;
const hangsAfterMs = 60_000;

const pythonClient = `
sent = [double.apply_async((n,), task_id='py-%d' % n) for n in range(${count})]
say('sent')
sys.stdin.readline()
from celery.result import AsyncResult
for n in range(${count}):
    say(['py-%d' % n, AsyncResult('py-%d' % n, app=app).get(timeout=60)])
    say(['umbel-%d' % n, AsyncResult('umbel-%d' % n, app=app).get(timeout=60)])
`;

void t.test('workers of both kinds on one queue, each killed and restarted', { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(180_000);
  const server = await RedisServer.start(t);
  const url = server.url();
  const fleet = new MixedFleet(t, {
    broker: url,
    results: url,
    env: {
      UMBEL_REDIS_LEASE_SECONDS: String(leaseSeconds),
      UMBEL_BROKER_TRANSPORT_OPTIONS: JSON.stringify({ visibility_timeout: visibilityTimeoutSeconds }),
    },
    pythonSettings: `app.conf.broker_transport_options = {'visibility_timeout': ${visibilityTimeoutSeconds}}`,
    hangsAfterMs,
  });
  const { celery, log } = fleet;
  let umbel = fleet.start();
  let [, python] = await Promise.all([umbel.ready(), celery.worker(['celery'])]);

  const app = await fleet.client(t);
  const client = celery.script(pythonClient);
  await Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `umbel-${n}` })));
  t.equal(await client.next(), 'sent');

  await log.startedByBothKinds('');
  fleet.open('py');
  fleet.open('umbel');
  await log.started(count / 3);
  t.match(await umbel.stop('SIGKILL'), { signal: 'SIGKILL' }, 'the umbel worker is killed');
  umbel = fleet.start();
  await umbel.ready();
  t.equal(await endInGoodOrder(celery, python), 0, 'the Python worker ends');
  python = await celery.worker(['celery']);
  // Work for those that have just come.
  await Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `late-${n}` })));
  await log.startedByBothKinds('late-');
  fleet.open('late');
  await log.allEnded(3 * count);

  client.say('all have run');
  const read = new Map((await client.rest()) as [string, Answer][]);
  const wrong: string[] = [];
  const late = { python: 0, umbel: 0 };
  const look = (id: string, n: number, answer: Answer | undefined): void => {
    if (answer?.[1] !== n * 2) wrong.push(`${id}: ${JSON.stringify(answer)}`);
    else if (id.startsWith('late-')) late[answer[0]] += 1;
  };
  for (let n = 0; n < count; n++) {
    for (const prefix of ['py', 'umbel']) {
      const id = `${prefix}-${n}`;
      const ours = await app.result<Answer>(id).get({ timeoutMs: hangsAfterMs });
      look(id, n, ours);
      t.strictSame(read.get(id), ours, `${id} is the same to both clients`);
    }
    look(`late-${n}`, n, await app.result<Answer>(`late-${n}`).get({ timeoutMs: hangsAfterMs }));
  }
  t.strictSame(wrong, [], 'every result arrives and is right');
  t.ok(late.python > 0 && late.umbel > 0, `results of those that have just come: ${JSON.stringify(late)}`);
  fleet.verdict(t);
  t.match(await umbel.stop(), { code: 0 });
  t.equal(await endInGoodOrder(celery, python), 0);
  t.strictSame([server.cli('HLEN', 'unacked'), server.cli('LLEN', 'celery')], ['0', '0'], 'nothing is left');
});
