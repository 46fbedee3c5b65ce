/** Time limits that Python clients send, on every broker, and what they see of them: the exceptions of a Python worker. */
import t, { type Test } from 'tap';
import { App } from '../../src/client/umbel.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';

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
    send('spins', time_limit=3),
    send('late'),
    send('rejected'),
    send('add', 1, 2, time_limit=60, soft_time_limit=50),
]
`;

/** As the classes of a Python worker. */
const get = `
for result in results:
    try:
        say([result.id, result.get(timeout=60)])
    except Exception as error:
        say([result.id, type(error).__module__ + '.' + type(error).__name__, list(error.args), result.traceback])
`;

interface Place {
  readonly ours: string;
  readonly theirs: string;
  readonly theirBackend: string;
  readonly ourBackend: string;
}

const places: Record<string, (t: Test, folder: LiveFolder) => Promise<Place>> = {
  sqlite: async (_t, folder) => {
    const file = `sqlite:///${folder.file('broker.db')}`;
    return { ours: file, theirs: `sqla+${file}`, ourBackend: file, theirBackend: 'disabled://' };
  },
  redis: async (t) => {
    const url = (await RedisServer.start(t)).url();
    return { ours: url, theirs: url, ourBackend: url, theirBackend: url };
  },
  rabbitmq: async (t) => {
    const url = (await RabbitmqVhost.open(t)).url();
    return { ours: url, theirs: url, ourBackend: 'rpc://', theirBackend: 'rpc://' };
  },
};

for (const [name, open] of Object.entries(places)) {
  void t.test(name, { skip: celeryMissing() }, async (t) => {
    const folder = new LiveFolder(t);
    const { ours, theirs, ourBackend, theirBackend } = await open(t, folder);
    const modules = folder.write('tasks.mjs', tasks);
    const args = ['-A', modules, '-b', ours, '--result-backend', ourBackend, '-c', '3', '--time-limit', '7200'];
    const worker = await folder.worker(args).ready();
    const visible = worker.all('task.limit-visibility').map(({ taskName }) => taskName);
    t.strictSame(visible.includes('add'), name === 'redis', 'at the start, of a limit longer than the visibility timeout');

    const python = new PythonCelery(t, client(theirs, theirBackend));
    const seen = new Map<unknown, readonly unknown[]>();
    if (theirBackend === 'disabled://') {
      await python.script(send).rest();
      const app = new App({ broker: ours });
      await app.start();
      t.teardown(() => app.stop());
      for (const id of ['cleansUp', 'goesOn', 'spins', 'late', 'rejected', 'add']) {
        const value = await app.result(id).get({ timeoutMs: 60_000, propagate: false });
        const error = value as { remoteName: string; remoteModule: string; remoteTraceback: string | null; message: string };
        seen.set(id, value instanceof Error ? [error.remoteName, error.message, error.remoteTraceback] : [value]);
      }
    } else for (const [id, ...how] of (await python.script(send + get).rest()) as unknown[][]) seen.set(id, how);

    t.strictSame(seen.get('add'), [3]);
    t.strictSame(seen.get('cleansUp'), [['cleaned up', true, [60, 0.5]]]);
    const [softName, softArguments, softTraceback] = seen.get('goesOn') ?? [];
    const [hardName, hardArguments, hardTraceback] = seen.get('spins') ?? [];
    if (theirBackend === 'disabled://') {
      t.equal(softName, 'SoftTimeLimitExceeded');
      t.equal(hardName, 'TimeLimitExceeded');
    } else {
      t.strictSame([softName, softArguments], ['billiard.exceptions.SoftTimeLimitExceeded', []]);
      t.strictSame([hardName, hardArguments], ['billiard.exceptions.TimeLimitExceeded', [3]]);
      t.strictSame(seen.get('late')?.slice(0, 2), ['billiard.exceptions.TimeLimitExceeded', [1]]);
    }
    t.match(softTraceback, /^SoftTimeLimitExceeded\n +at goesOn|^SoftTimeLimitExceeded\n +at .*tasks\.mjs:\d+/);
    t.match(hardTraceback, /^TimeLimitExceeded: 3\n +at .*tasks\.mjs:\d+/, 'where it stood');

    t.match(await worker.event('task.soft-limit', ({ taskId }) => taskId === 'goesOn'), {
      message: 'Soft time limit (0.5s) exceeded for goesOn[goesOn]',
    });
    t.match(await worker.event('task.hard-limit', ({ taskId }) => taskId === 'spins'), {
      message: /^Hard time limit \(3s\) exceeded for spins\[spins\]:\n +at .*tasks\.mjs/,
    });
    t.strictSame(worker.all('child.lost'), []);
    await worker.count('child.killed', 3);
    t.match(await worker.stop(), { code: 0 });
    t.match(worker.all('worker.stopped')[0], { failed: 4, succeeded: 2, lost: 0 });
    // What was acknowledged, or rejected for good, does not come again.
    const next = await folder.worker(args).ready();
    t.match(await next.stop(), { code: 0 });
    t.match(next.all('worker.stopped')[0], { received: 0 });
  });
}
