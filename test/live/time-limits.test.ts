/** Time limits that Python clients send, on every broker, and what they see of them: the exceptions of a Python worker. */
import t from 'tap';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(240_000);

const tasks = `
import { setTimeout as sleep } from 'node:timers/promises';
import { SoftTimeLimitExceeded, task } from 'umbel';

export const cleansUp = task({ name: 'cleansUp', bind: true }, async (context) => {
  try {
    await sleep(600_000);
  } catch (error) {
    if (!(error instanceof SoftTimeLimitExceeded)) throw error;
    await sleep(1);
    return ['cleaned up', context.signal.aborted, context.timelimit];
  }
});
export const goesOn = task({ name: 'goesOn' }, async () => {
  for (;;) await new Promise((resolve) => setTimeout(resolve, 5));
});
export const spins = task({ name: 'spins' }, () => {
  for (;;);
});
export const late = task({ name: 'late', acksLate: true, timeLimit: 1 }, () => new Promise(() => {}));
export const rejected = task({ name: 'rejected', acksLate: true, acksOnFailureOrTimeout: false, timeLimit: 1 }, () => new Promise(() => {}));
export const add = task({ name: 'add' }, (x, y) => x + y);
`;

const client = (broker: string, backend: string): string => `
from celery import Celery
app = Celery('client', broker=${JSON.stringify(broker)}, backend=${JSON.stringify(backend)})
`;

const send = `
def send(name, *args, **options): return app.send_task(name, args, task_id=name, **options)
results = [
    send('cleansUp', soft_time_limit=0.5, time_limit=60),
    send('goesOn', soft_time_limit=0.5, time_limit=60),
    # Long enough for each step of the look at it to have the whole of its time before the end.
    send('spins', time_limit=4),
    send('late'),
    send('rejected'),
    send('add', 1, 2, time_limit=60, soft_time_limit=50),
]
`;

/** Times at which a machine that was too busy to take a stack in time, which is then the answer, is asked again. */
const moreLooks = 3;
const wasMissed = (traceback: unknown): boolean => /^TimeLimitExceeded: 4\nno (?:answer|stack): /.test(String(traceback));

/** As the classes of a Python worker. */
const get = `
for result in results:
    try:
        say([result.id, result.get(timeout=60)])
    except Exception as error:
        say([result.id, type(error).__module__ + '.' + type(error).__name__, list(error.args), result.traceback])
`;

for (const kind of brokerKinds) {
  void t.test(kind, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { url, pythonUrl } = await openBroker(t, kind, folder);
    const backend = kind === 'rabbitmq' ? 'rpc://' : url;
    const modules = folder.write('tasks.mjs', tasks);
    const args = ['-A', modules, '-b', url, '--result-backend', backend, '-c', '3', '--time-limit', '7200'];
    const worker = await folder.worker(args).ready();
    const visible = worker.all('task.limit-visibility').flatMap(({ taskNames }) => taskNames as string[]);
    t.strictSame(visible.includes('add'), kind === 'redis', 'at the start, of a limit longer than the visibility timeout');

    const python = new PythonCelery(t, client(pythonUrl, kind === 'sqlite' ? 'disabled://' : backend));
    const app = kind === 'sqlite' ? await startedApp(t, { broker: url }) : null;
    /** What Python sends by this script comes to, as Python sees it; on the embedded broker as our client does. */
    const outcomes = async (sent: string, ids: readonly string[]): Promise<unknown[][]> => {
      if (app === null) return (await python.script(sent + get).rest()) as unknown[][];
      await python.script(sent).rest();
      return Promise.all(
        ids.map(async (id) => {
          const value = await app.result(id).get({ timeoutMs: 60_000, propagate: false });
          const error = value as { remoteName: string; remoteModule: string; remoteTraceback: string | null; message: string };
          return value instanceof Error ? [id, error.remoteName, error.message, error.remoteTraceback] : [id, value];
        }),
      );
    };
    const seen = new Map<unknown, readonly unknown[]>();
    const all = await outcomes(send, ['cleansUp', 'goesOn', 'spins', 'late', 'rejected', 'add']);
    for (const [id, ...how] of all) seen.set(id, how);
    let spins = 'spins';
    let killed = 3;
    for (let looks = moreLooks; looks > 0 && wasMissed(seen.get('spins')?.at(-1)); looks -= 1) {
      spins = `spins-${looks}`;
      killed += 1;
      const [again] = await outcomes(`\nresults = [app.send_task('spins', task_id='${spins}', time_limit=4)]\n`, [spins]);
      seen.set('spins', again?.slice(1) ?? []);
    }

    t.strictSame(seen.get('add'), [3]);
    t.strictSame(seen.get('cleansUp'), [['cleaned up', true, [60, 0.5]]]);
    const [softName, softArguments, softTraceback] = seen.get('goesOn') ?? [];
    const [hardName, hardArguments, hardTraceback] = seen.get('spins') ?? [];
    if (kind === 'sqlite') {
      t.equal(softName, 'SoftTimeLimitExceeded');
      t.equal(hardName, 'TimeLimitExceeded');
    } else {
      t.strictSame([softName, softArguments], ['billiard.exceptions.SoftTimeLimitExceeded', []]);
      t.strictSame([hardName, hardArguments], ['billiard.exceptions.TimeLimitExceeded', [4]]);
      t.strictSame(seen.get('late')?.slice(0, 2), ['billiard.exceptions.TimeLimitExceeded', [1]]);
    }
    t.match(softTraceback, /^SoftTimeLimitExceeded\n +at goesOn|^SoftTimeLimitExceeded\n +at .*tasks\.mjs:\d+/);
    t.match(hardTraceback, /^TimeLimitExceeded: 4\n +at .*tasks\.mjs:\d+/, 'where it stood');

    t.match(await worker.event('task.soft-limit', ({ taskId }) => taskId === 'goesOn'), {
      message: 'Soft time limit (0.5s) exceeded for goesOn[goesOn]',
    });
    t.match(await worker.event('task.hard-limit', ({ taskId }) => taskId === spins), {
      message: /^Hard time limit \(4s\) exceeded for spins\[spins[-\d]*\]:\n +at .*tasks\.mjs/,
    });
    t.strictSame(worker.all('child.lost'), []);
    await worker.count('child.killed', killed);
    t.match(await worker.stop(), { code: 0 });
    t.match(worker.all('worker.stopped')[0], { failed: killed + 1, succeeded: 2, lost: 0 });
    // What was acknowledged, or rejected for good, does not come again.
    const next = await folder.worker(args).ready();
    t.match(await next.stop(), { code: 0 });
    t.match(next.all('worker.stopped')[0], { received: 0 });
  });
}
