/** The workers of the Redis and RabbitMQ parts: umbel and Python Celery, each with the same no-op task and two children. */
import { join } from 'node:path';
import { WorkerProcess } from '../scripts/worker-process.ts';

export const python = '/usr/bin/python3';
export const peerFolder = join(import.meta.dirname, 'peer');

/** Where tasks leave their marks, and how many there will be. */
export interface Marks {
  readonly records: string;
  readonly tasks: number;
}

export interface NoopWorkerParams {
  readonly url: string;
  /** null: results are disabled. */
  readonly backend: string | null;
  readonly marks: Marks | null;
}

export interface UmbelProgram {
  /** Command line. */
  readonly umbel: readonly string[];
  /** Where it runs. */
  readonly folder: string;
}

function marksEnv(marks: Marks | null): Record<string, string> {
  return marks === null ? {} : { UMBEL_BENCH_RECORDS: marks.records, UMBEL_BENCH_TASKS: String(marks.tasks) };
}

export function umbelWorker({ umbel, folder }: UmbelProgram, { url, backend, marks }: NoopWorkerParams): WorkerProcess {
  const [command = '', ...args] = umbel;
  const tasks = join(import.meta.dirname, 'tasks/noop.ts');
  return new WorkerProcess({
    command,
    args: [...args, 'worker', '-A', tasks, '-b', url, '-c', '2', '-l', 'warning', '-n', 'bench@localhost'],
    cwd: folder,
    env: { UMBEL_TASK_ACKS_LATE: 'true', UMBEL_RESULT_BACKEND: backend ?? 'disabled', ...marksEnv(marks) },
    isReady: null,
  });
}

export function celeryWorker({ url, backend, marks }: NoopWorkerParams): WorkerProcess {
  const quiet = ['--without-gossip', '--without-mingle', '--without-heartbeat'];
  return new WorkerProcess({
    command: python,
    args: ['-m', 'celery', '-A', 'noop_peer', 'worker', '-c', '2', '-l', 'warning', '-n', 'peer@localhost', ...quiet],
    cwd: peerFolder,
    env: {
      C_FORCE_ROOT: '1',
      PYTHONDONTWRITEBYTECODE: '1',
      UMBEL_BENCH_BROKER: url,
      UMBEL_BENCH_BACKEND: backend ?? '',
      ...marksEnv(marks),
    },
    isReady: null,
  });
}
