/**
 * What it costs that children are replaced: the rate of tasks that wait, with children that live for few tasks and with ones that live for ever, and beside
 * messages that end their children again and again. Embedded broker, two workers with two children each.
 *
 * A rate is that of the tasks that wait, from the first message sent to the last of them acknowledged. The runs alternate, so that a machine that changes its
 * speed does so for both.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkerProcess } from '../scripts/worker-process.ts';
import { App, taskHandle } from '../src/client/umbel.ts';
import { quantile } from './quantile.ts';
import { type Row, rate, say } from './table.ts';

export interface ChildrenParams {
  readonly umbel: string;
  readonly folder: string;
}

const tasks = 2000;
const taskMs = 10;
/** Tasks kept in the queue. */
const depth = 100;
const tasksPerChild = 100;
const poisonous = 1;
const rounds = 3;
const memoryKib = 300_000;

export async function measureChildren(params: ChildrenParams): Promise<Row[]> {
  const rates: Record<'lasting' | 'recycled' | 'poisoned', number[]> = { lasting: [], recycled: [], poisoned: [] };
  for (let round = 0; round < rounds; round += 1) {
    say(`children that come and go, round ${round + 1} of ${rounds} …`);
    rates.lasting.push(await run(params, {}, 0));
    const recycling = { UMBEL_WORKER_MAX_TASKS_PER_CHILD: String(tasksPerChild), UMBEL_WORKER_MAX_TASKS_PER_CHILD_JITTER: '20' };
    rates.recycled.push(await run(params, recycling, 0));
    rates.poisoned.push(await run(params, { UMBEL_WORKER_MAX_MEMORY_HARD: String(memoryKib) }, poisonous));
  }
  const lasting = quantile(rates.lasting, 0.5);
  const row = (what: string, measured: number): Row => {
    const share = measured / lasting;
    return { what, measured: rate(measured), reference: `${share.toFixed(2)} of ${rate(lasting)}`, target: '>= 0.9', met: share >= 0.9 };
  };
  return [
    row(`${taskMs} ms tasks, a child runs ${tasksPerChild}`, quantile(rates.recycled, 0.5)),
    row(`${taskMs} ms tasks beside one that eats its child`, quantile(rates.poisoned, 0.5)),
  ];
}

/** Tasks a second. */
async function run({ umbel, folder }: ChildrenParams, env: Readonly<Record<string, string>>, poison: number): Promise<number> {
  const place = mkdtempSync(join(folder, 'children-'));
  const path = join(place, 'broker.db');
  const url = `sqlite:///${path}`;
  const app = new App({ broker: url, backend: 'disabled' });
  await app.start();
  const workers = ['one', 'two'].map(
    (name) =>
      new WorkerProcess({
        command: umbel,
        args: [
          'worker',
          '-A',
          join(import.meta.dirname, 'tasks/children.ts'),
          '-b',
          url,
          '-c',
          '2',
          '-l',
          'info',
          '-n',
          `${name}@localhost`,
        ],
        cwd: place,
        env: { UMBEL_RESULT_BACKEND: 'disabled', ...env },
        isReady: (line) => line.includes(' ready.'),
      }),
  );
  await Promise.all(workers.map(({ ready }) => ready));
  const startedAtMs = performance.now();
  await Promise.all(Array.from({ length: poison }, () => taskHandle<[], void>('children.devour').delay()));
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
  const healthy = database.prepare("SELECT count(*) AS count FROM kombu_message WHERE payload LIKE '%children.wait%'");
  // A short queue: what comes back to its end comes again soon.
  let sent = 0;
  for (let left = 0; sent < tasks || left > 0; left = Number(healthy.get()?.count)) {
    if (sent < tasks && left < depth) {
      await Promise.all(Array.from({ length: depth }, () => taskHandle<[number], void>('children.wait').delay(taskMs)));
      sent += depth;
    } else await delay(5);
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  database.close();
  await app.stop();
  for (const worker of workers) await worker.stop();
  return sent / seconds;
}
