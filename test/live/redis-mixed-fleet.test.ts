/**
 * Redis, acceptance 1: Python and umbel workers share one queue, Python and umbel clients send to it, and each worker dies and comes back
 * while tasks run: every result arrives, wherever its task ran and whoever asks. No task ends before both kinds of worker have started
 * one, so that each worker takes part however slow the machine is.
 *
 * The umbel worker is killed; the Python worker is told to end, since kombu takes a message before it writes down that it has it.
 */
import t, { type Test } from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { endInGoodOrder } from './python-worker-end.ts';
import { RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

const visibilityTimeoutSeconds = 60;
const leaseSeconds = 3;
/** From each client. */
const count = 300;
const hangsAfterMs = 60_000;

const pythonTasks = (url: string, logPath: string, gate: string): string => `
import os, time
from celery import Celery
app = Celery('tasks', broker='${url}', backend='${url}')
app.conf.broker_transport_options = {'visibility_timeout': ${visibilityTimeoutSeconds}}
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
sent = [double.apply_async((n,), task_id='py-%d' % n) for n in range(${count})]
say('sent')
sys.stdin.readline()
from celery.result import AsyncResult
for n in range(${count}):
    say(['py-%d' % n, AsyncResult('py-%d' % n, app=app).get(timeout=60)])
    say(['umbel-%d' % n, AsyncResult('umbel-%d' % n, app=app).get(timeout=60)])
`;

type Answer = readonly ['python' | 'umbel', number];

void t.test('workers of both kinds on one queue, each killed and restarted', { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(180_000);
  const server = await RedisServer.start(t);
  const url = server.url();
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
        UMBEL_RESULT_BACKEND: url,
        UMBEL_REDIS_LEASE_SECONDS: String(leaseSeconds),
        UMBEL_BROKER_TRANSPORT_OPTIONS: JSON.stringify({ visibility_timeout: visibilityTimeoutSeconds }),
      },
    });
  const celery = new PythonCelery(t, pythonTasks(url, logPath, gate));
  let umbel = start();
  let [, python] = await Promise.all([umbel.ready(), celery.worker(['celery'])]);

  const app = await startedApp(t, { broker: url, backend: url });
  const double = taskHandle<[number], Answer>('fleet.double');
  const client = celery.script(pythonClient);
  await Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `umbel-${n}` })));
  t.equal(await client.next(), 'sent');

  await log.startedByBothKinds('');
  open('py');
  open('umbel');
  await log.started(count / 3);
  t.match(await umbel.stop('SIGKILL'), { signal: 'SIGKILL' }, 'the umbel worker is killed');
  umbel = start();
  await umbel.ready();
  t.equal(await endInGoodOrder(celery, python), 0, 'the Python worker ends');
  python = await celery.worker(['celery']);
  // Work for those that have just come.
  await Promise.all(Array.from({ length: count }, (_, n) => double.applyAsync({ args: [n], taskId: `late-${n}` })));
  await log.startedByBothKinds('late-');
  open('late');
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
  const lines = log.end();
  const pids = (kind: 'python' | 'umbel'): number[] => [...new Set(lines.filter((line) => line.kind === kind).map(({ worker }) => worker))];
  t.equal(pids('umbel').length, 2, 'the umbel worker of before and the one of after');
  t.equal(pids('python').length, 2, 'and so in Python');
  const runs = Map.groupBy(
    lines.filter(({ what }) => what === 'start'),
    ({ taskId }) => taskId,
  );
  const unmarked = [...runs.values()].filter((all) => all.slice(1).some(({ redelivered }) => !redelivered));
  t.strictSame(unmarked, [], 'what ran twice was marked redelivered');
  t.match(await umbel.stop(), { code: 0 });
  t.equal(await endInGoodOrder(celery, python), 0);
  t.strictSame([server.cli('HLEN', 'unacked'), server.cli('LLEN', 'celery')], ['0', '0'], 'nothing is left');
});
