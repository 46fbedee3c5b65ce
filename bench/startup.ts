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
  return measure(runs, (run) => startWorker(umbel, folder, `sqlite:///${join(folder, `startup-${run}.db`)}`));
}

/** Null when Python Celery is not installed. */
export async function measureCeleryStartup(folder: string, runs: number): Promise<Startup | null> {
  if (spawnSync(python, ['-c', 'import celery, sqlalchemy'], { stdio: 'ignore' }).status !== 0) return null;
  return measure(runs, (run) => {
    const url = `sqla+sqlite:///${join(folder, `celery-${run}.db`)}`;
    return new WorkerProcess({
      command: python,
      args: ['-m', 'celery', '-A', 'celery_peer', '-b', url, 'worker', '-c', '2', '-l', 'info', '-n', 'peer@localhost'],
      cwd: join(import.meta.dirname, 'peer'),
      env: { C_FORCE_ROOT: '1', PYTHONDONTWRITEBYTECODE: '1' },
      isReady: (line) => line.endsWith(' ready.'),
    });
  });
}

/** Medians over the runs. */
async function measure(runs: number, start: (run: number) => WorkerProcess): Promise<Startup> {
  const readyMs: number[] = [];
  const megabytes: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const worker = start(run);
    readyMs.push(await worker.ready);
    await delay(settleMs);
    for (const pid of worker.children()) megabytes.push(pssMegabytes(pid));
    await worker.stop();
  }
  return { readyMs: quantile(readyMs, 0.5), childMegabytes: quantile(megabytes, 0.5) };
}
