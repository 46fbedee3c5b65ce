/**
 * Start-up time and memory, of umbel and, where it is installed, of Python Celery: from exec to the ready line, the proportional
 * set size of an idle pool child, and how long `umbel --version` takes.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pssMegabytes, WorkerProcess } from '../scripts/worker-process.ts';
import { quantile } from './quantile.ts';
import { startWorker } from './start-worker.ts';

/** Of both programs: the larger the pool, the less of the shared pages falls to one child, in Python as here. */
export const memoryChildren = 8;
/** exec to ready is measured with one child per processor of the machine the targets are for. */
const readyChildren = 2;

export interface Startup {
  readonly readyMs: number;
  readonly childMegabytes: number;
}

const python = '/usr/bin/python3';
/** After this a started worker has nothing left to do. */
const settleMs = 1_500;

export function measureVersion(umbel: string, runs: number): number {
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const startedAtMs = performance.now();
    const { status } = spawnSync(umbel, ['--version'], { stdio: 'ignore' });
    if (status !== 0) throw new Error(`umbel --version must end with status 0, got ${status}`);
    times.push(performance.now() - startedAtMs);
  }
  return quantile(times, 0.5);
}

export function measureStartup(umbel: string, folder: string, runs: number): Promise<Startup> {
  return measure(runs, (run, children) =>
    startWorker(umbel, folder, `sqlite:///${join(folder, `startup-${children}-${run}.db`)}`, children),
  );
}

/** Null when Python Celery is not installed. */
export async function measureCeleryStartup(folder: string, runs: number): Promise<Startup | null> {
  if (spawnSync(python, ['-c', 'import celery, sqlalchemy'], { stdio: 'ignore' }).status !== 0) return null;
  return measure(runs, (run, children) => {
    const url = `sqla+sqlite:///${join(folder, `celery-${children}-${run}.db`)}`;
    return new WorkerProcess({
      command: python,
      args: ['-m', 'celery', '-A', 'celery_peer', '-b', url, 'worker', '-c', String(children), '-l', 'info', '-n', 'peer@localhost'],
      cwd: join(import.meta.dirname, 'peer'),
      env: { C_FORCE_ROOT: '1', PYTHONDONTWRITEBYTECODE: '1' },
      isReady: (line) => line.endsWith(' ready.'),
    });
  });
}

/** Medians over the runs. */
async function measure(runs: number, start: (run: number, children: number) => WorkerProcess): Promise<Startup> {
  const readyMs: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const worker = start(run, readyChildren);
    readyMs.push(await worker.ready);
    await worker.stop();
  }
  const worker = start(0, memoryChildren);
  await worker.ready;
  await delay(settleMs);
  const megabytes = worker.children().map(pssMegabytes);
  await worker.stop();
  if (megabytes.length !== memoryChildren) throw new Error(`the worker must have ${memoryChildren} children, got ${megabytes.length}`);
  return { readyMs: quantile(readyMs, 0.5), childMegabytes: quantile(megabytes, 0.5) };
}
