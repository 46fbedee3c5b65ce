/**
 * RabbitMQ, acceptance 1: Python and umbel workers share one queue, Python and umbel clients send to it, and each worker is killed and
 * started again while tasks run: every result reaches whoever asked, as a reply or through Redis, wherever its task ran. No task ends
 * before both kinds of worker have started one, so that each worker takes part however slow the machine is.
 */
import t, { type Test } from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { celeryMissing, ended, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(400_000);

/** From each client, before and after the workers are killed. */
const count = 100;
const hangsAfterMs = 60_000;

const pythonTasks = (url: string, results: string, logPath: string, gate: string): string => `
import os, time
from celery import Celery
app = Celery('tasks', broker='${url}', backend='${results}')
app.conf.worker_prefetch_multiplier = 4
app.conf.worker_redirect_stdouts = False

@app.task(name='fleet.double', bind=True, acks_late=True, reject_on_worker_lost=True)
def double(self, value):
    note('start', self.request)
    while not os.path.exists('${gate}' + self.request.id.split('-')[0]): time.sleep(0.01)
    time.sleep(0.01)
    note('end', self.request)
    return ['python', value * 2]

log = os.open('${logPath}', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(what, request):
    redelivered = 1 if request.delivery_info.get('redelivered') else 0
    line = '%s %s python %d %d %d %d\\n' % (what, request.id, os.getpid(), os.getpid(), redelivered, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    os.write(log, line.encode())
`;

const umbelTasks = `
import { existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const log = openSync(process.env.FLEET_LOG, 'a');
const worker = process.ppid;
function note(what, context) {
  const redelivered = context.deliveryInfo.redelivered ? 1 : 0;
  writeSync(log, what + ' ' + context.id + ' umbel ' + worker + ' ' + process.pid + ' ' + redelivered + ' ' + process.hrtime.bigint() + '\\n');
}
export const double = task({ name: 'fleet.double', bind: true, acksLate: true, rejectOnWorkerLost: true }, async (context, value) => {
  note('start', context);
  while (!existsSync(process.env.FLEET_GATE + context.id.split('-')[0])) await delay(10);
  await delay(10);
  note('end', context);
  return ['umbel', value * 2];
});
`;

const pythonClient = `
def send(prefix): return [double.apply_async((n,), task_id='%s-%d' % (prefix, n)) for n in range(${count})]
sent = send('py')
say('sent')
sys.stdin.readline()
sent += send('pylate')
say('sent again')
for result in sent: say([result.id, result.get(timeout=60)])
`;

type Answer = readonly ['python' | 'umbel', number];

for (const results of ['rpc', 'redis'] as const) {
  void t.test(`workers of both kinds on one queue, killed and restarted; ${results}`, { skip: celeryMissing() }, async (t: Test) => {
    t.setTimeout(180_000);
    const vhost = await RabbitmqVhost.open(t);
    const url = vhost.url();
    const resultUrl = results === 'rpc' ? 'rpc://' : (await RedisServer.start(t)).url();
    const folder = new LiveFolder(t);
    const logPath = folder.file('runs.log');
    const log = new RunLog(logPath, hangsAfterMs);
    /** Tasks of this client may end once such a file is there. */
    const gate = folder.file('gate-');
    const open = (client: string): string => folder.write(`gate-${client}`, '');
    t.teardown(() => log.close());
    const module = folder.write('fleet.mjs', umbelTasks);
    const start = (): LiveWorker =>
      folder.worker(['-A', module, '-b', url, '-c', '2', '-n', 'fleet@localhost'], {
        env: {
          FLEET_LOG: logPath,
          FLEET_GATE: gate,
          // To the letter: many would leave nothing to the other kind.
          UMBEL_WORKER_PREFETCH_MULTIPLIER: '4',
          UMBEL_RESULT_BACKEND: resultUrl,
        },
      });
    const celery = new PythonCelery(t, pythonTasks(url, resultUrl, logPath, gate));
    let umbel = start();
    let [, python] = await Promise.all([umbel.ready(), celery.worker(['celery'])]);

    const app = await startedApp(t, { broker: url, backend: resultUrl });
    const double = taskHandle<[number], Answer>('fleet.double');
    const client = celery.script(pythonClient);
    const send = (prefix: string) =>
      Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `${prefix}-${n}` })));
    const sent = await send('js');
    t.equal(await client.next(), 'sent');

    await log.startedByBothKinds('');
    open('py');
    open('js');
    await log.started(count / 2);
    t.match(await umbel.stop('SIGKILL'), { signal: 'SIGKILL' }, 'the umbel worker is killed');
    umbel = start();
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
      open(prefix);
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
    const lines = log.end();
    const pids = (kind: 'python' | 'umbel'): number[] => [
      ...new Set(lines.filter((line) => line.kind === kind).map(({ worker }) => worker)),
    ];
    t.equal(pids('umbel').length, 2, 'the umbel worker of before and the one of after');
    t.equal(pids('python').length, 2, 'and so in Python');
    const runs = Map.groupBy(
      lines.filter(({ what }) => what === 'start'),
      ({ taskId }) => taskId,
    );
    const unmarked = [...runs.values()].filter((all) => all.slice(1).some(({ redelivered }) => !redelivered));
    t.strictSame(unmarked, [], 'what ran twice was marked redelivered');
    t.match(await umbel.stop(), { code: 0 });
    await ended(python, 'SIGTERM');
    t.equal(python.exitCode, 0);
    t.match(await vhost.list('queues', 'name', 'messages'), /^celery\t0$/m, 'nothing is left');
  });
}
