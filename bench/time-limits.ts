/**
 * How late time limits are enforced, on tasks that are stuck in six ways, while two more children work off short tasks as fast as they can.
 *
 * From the moment a task writes down as its beginning. Soft: until the worker has told the child, and said so. Hard: until the child is gone.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkerProcess } from '../scripts/worker-process.ts';
import { App, taskHandle } from '../src/client/umbel.ts';
import { ms, type Row } from './table.ts';

const shapes = {
  loop: 'an endless loop',
  regex: 'a regular expression',
  exec: 'execFileSync',
  fifo: 'openSync of a fifo',
  atomics: 'Atomics.wait',
  waiting: 'an endless await',
} as const;
type Shape = keyof typeof shapes;
const names = Object.keys(shapes) as Shape[];

const softSeconds = 2;
const hardSeconds = 4;
const mostSoftMs = 250;
const mostHardMs = 1000;
/** Of the load, sent and not yet answered for by the broker. */
const inFlight = 500;
const giveUpMs = 60_000;

interface Line {
  readonly ts: string;
  readonly event: string;
  readonly taskId?: string;
  readonly child?: number;
}

export async function measureTimeLimits({ umbel, folder }: { umbel: string; folder: string }): Promise<Row[]> {
  const place = mkdtempSync(join(folder, 'limits-'));
  const starts = join(place, 'starts');
  const fifo = join(place, 'fifo');
  writeFileSync(starts, '');
  execFileSync('mkfifo', [fifo]);
  const url = `sqlite:///${join(place, 'broker.db')}`;
  const lines: Line[] = [];
  const tasks = join(import.meta.dirname, 'tasks/stuck.ts');
  const worker = new WorkerProcess({
    command: umbel,
    args: ['worker', '-A', tasks, '-b', url, '-c', String(names.length + 2), '-l', 'info', '--log-format', 'json', '-n', 'bench@localhost'],
    cwd: place,
    env: { UMBEL_RESULT_BACKEND: url },
    isReady: (line) => line.includes('"worker.ready"'),
    onLine: (line) => {
      if (/"event":"(task\.(soft|hard)-limit|child\.killed)"/.test(line)) lines.push(JSON.parse(line) as Line);
    },
  });
  await worker.ready;
  const app = new App({ broker: url, backend: url });
  await app.start();
  try {
    for (const shape of names) {
      const args = [starts, fifo].slice(0, shape === 'fifo' ? 2 : 1);
      const limits = { softTimeLimit: softSeconds, timeLimit: hardSeconds };
      await taskHandle(`stuck.${shape}`).applyAsync({ args, taskId: shape, ...limits });
    }
    const isOver = (): boolean => lines.filter(({ event }) => event === 'child.killed').length === names.length;
    const giveUpAtMs = performance.now() + giveUpMs;
    while (!isOver() && performance.now() < giveUpAtMs) {
      await Promise.all(Array.from({ length: inFlight }, () => taskHandle('stuck.noop').applyAsync({ ignoreResult: true })));
      await delay(1);
    }
    if (!isOver()) throw new Error(`every stuck task must be killed within ${giveUpMs / 1000}s, got ${JSON.stringify(lines)}`);
    return names.map((shape) => rowOf(shape, startOf(starts, shape), lines));
  } finally {
    await app.stop();
    await worker.stop('SIGQUIT');
  }
}

function startOf(starts: string, shape: Shape): number {
  const line = readFileSync(starts, 'utf8')
    .split('\n')
    .filter((one) => one.startsWith(`${shape} `));
  if (line.length !== 1) throw new Error(`${shape} must have started once, got ${line.length} starts`);
  return Number(line[0]?.split(' ')[1]);
}

function rowOf(shape: Shape, startedMs: number, lines: readonly Line[]): Row {
  const of = (event: string): Line | undefined => lines.find((line) => line.event === event && line.taskId === shape);
  const soft = of('task.soft-limit');
  const hard = of('task.hard-limit');
  const killed = lines.find(({ event, child }) => event === 'child.killed' && child === hard?.child);
  if (soft === undefined || killed === undefined)
    throw new Error(`the limits of ${shape} must have been enforced, got ${JSON.stringify(lines)}`);
  const softMs = Date.parse(soft.ts) - startedMs - softSeconds * 1000;
  const hardMs = Date.parse(killed.ts) - startedMs - hardSeconds * 1000;
  return {
    what: `limits of a task in ${shapes[shape]}`,
    measured: `soft ${ms(softMs)}, hard ${ms(hardMs)} late`,
    reference: '',
    target: `<= ${mostSoftMs} and ${mostHardMs} ms`,
    met: softMs <= mostSoftMs && hardMs <= mostHardMs,
  };
}
