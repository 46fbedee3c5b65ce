/**
 * Throughput of the embedded broker: a queue filled beforehand, then worked off by one worker with two children, late acks.
 *
 * Measured from the start of the first task to the moment the queue is empty, so that every acknowledgement is in it and the
 * worker's start is not. Then the exact-delivery check: every number executed, none twice; with results, one row per task.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { WorkerProcess } from '../scripts/worker-process.ts';
import { App, taskHandle } from '../src/client/umbel.ts';
import { checkRecords } from './delivery-records.ts';
import { rawSqliteRate } from './raw-sqlite.ts';

export interface ThroughputParams {
  readonly umbel: string;
  readonly folder: string;
  readonly tasks: number;
}

export interface Throughput {
  readonly publishPerSecond: number;
  readonly rawPerSecond: number;
  readonly withoutResultsPerSecond: number;
  readonly withResultsPerSecond: number;
}

const queue = 'celery';
const inFlight = 1_000;
const benchTasks = join(import.meta.dirname, 'tasks/noop.ts');

export async function measureThroughput(params: ThroughputParams): Promise<Throughput> {
  const { folder, tasks } = params;
  const filled = join(folder, 'filled.db');
  const publishPerSecond = await fill(filled, tasks);
  const raw = join(folder, 'raw.db');
  copyFileSync(filled, raw);
  const rawPerSecond = rawSqliteRate(raw, queue, tasks);
  const withoutResultsPerSecond = await workOff({ ...params, filled, name: 'plain', results: false });
  const withResultsPerSecond = await workOff({ ...params, filled, name: 'results', results: true });
  return { publishPerSecond, rawPerSecond, withoutResultsPerSecond, withResultsPerSecond };
}

/** A database with `tasks` messages of noop, published by the client as any program would. Returns messages per second. */
export async function fill(path: string, tasks: number): Promise<number> {
  const app = new App({ broker: `sqlite:///${path}` });
  await app.start();
  const noop = taskHandle<[number], void>('noop.noop');
  const startedAtMs = performance.now();
  for (let from = 0; from < tasks; from += inFlight) {
    const batch: Promise<unknown>[] = [];
    for (let number = from; number < Math.min(from + inFlight, tasks); number += 1) batch.push(noop.delay(number));
    await Promise.all(batch);
  }
  const seconds = (performance.now() - startedAtMs) / 1_000;
  await app.stop();
  return tasks / seconds;
}

export interface WorkOffParams extends ThroughputParams {
  /** A database filled beforehand; it is copied. */
  readonly filled: string;
  /** Of this run. */
  readonly name: string;
  readonly results: boolean;
  readonly children?: number;
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs beside the worker. Resolves, when it is there, to how to end it. */
  readonly beside?: (url: string) => Promise<() => Promise<void>>;
}

/** Tasks per second. Throws unless each was executed exactly once. */
export async function workOff(params: WorkOffParams): Promise<number> {
  const { umbel, folder, tasks, filled, name, results, children = 2, more = [], env = {} } = params;
  const path = join(folder, `${name}.db`);
  const records = join(folder, `${name}-records`);
  copyFileSync(filled, path);
  mkdirSync(records);
  const url = `sqlite:///${path}`;
  const end = await params.beside?.(url);
  const worker = new WorkerProcess({
    command: umbel,
    args: ['worker', '-A', benchTasks, '-b', url, '-c', String(children), '-l', 'warning', '-n', `bench-${name}@localhost`, ...more],
    cwd: folder,
    env: {
      UMBEL_TASK_ACKS_LATE: 'true',
      UMBEL_RESULT_BACKEND: results ? url : 'disabled',
      UMBEL_BENCH_RECORDS: records,
      UMBEL_BENCH_TASKS: String(tasks),
      ...env,
    },
    isReady: null,
  });
  let ended = false;
  void worker.exited.then(() => {
    ended = true;
  });
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1_000 });
  const oneLeft = database.prepare('SELECT 1 FROM kombu_message LIMIT 1');
  while (oneLeft.get() !== undefined) {
    if (ended) throw new Error('the worker ended before the queue was empty');
    await delay(5);
  }
  const emptyAtNs = process.hrtime.bigint();
  if (results) {
    const stored = database.prepare('SELECT count(*) AS stored FROM umbel_result').get()?.stored;
    if (stored !== tasks) throw new Error(`every task must have one result, got ${String(stored)} for ${tasks} tasks`);
  }
  database.close();
  const exit = await worker.stop();
  await end?.();
  if (exit.code !== 0) throw new Error(`the worker must end with status 0, got ${exit.signal ?? exit.code}`);
  return tasks / (Number(emptyAtNs - checkRecords(records, tasks)) / 1e9);
}
