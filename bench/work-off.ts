/** One worker works off a queue filled beforehand. Then the check for exact delivery. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerProcess } from '../scripts/worker-process.ts';
import { checkRecords, lastStart } from './delivery-records.ts';
import type { Marks } from './noop-workers.ts';

export interface WorkOffParams<Cost> {
  readonly folder: string;
  readonly tasks: number;
  /** Messages that the server still has; as many as tasks before the worker takes the first. */
  left(): Promise<number>;
  cost(parentPid: number): Cost | Promise<Cost>;
  start(marks: Marks): WorkerProcess;
}

export interface WorkedOff<Cost> {
  /** What the processes have cost from the first message on, and to the last. */
  readonly before: Cost;
  readonly after: Cost;
  /** On the monotonic clock: the first task started, the last one did (0: it left no mark), the server was seen to have no message left. */
  readonly firstAtNs: bigint;
  readonly lastAtNs: bigint;
  readonly emptyAtNs: bigint;
}

const lookEveryMs = 5;
let runs = 0;

/** An empty folder for the marks of one run. */
export function recordsFolder(folder: string): string {
  const records = join(folder, `records-${runs++}`);
  mkdirSync(records);
  return records;
}

/** `settleMs`: what the server does not count may still be on its way when nothing is left. */
export async function workOff<Cost>(params: WorkOffParams<Cost>, settleMs = 0): Promise<WorkedOff<Cost>> {
  const { folder, tasks, left } = params;
  const records = recordsFolder(folder);
  const worker = params.start({ records, tasks });
  let ended = false;
  void worker.exited.then(() => {
    ended = true;
  });
  while ((await left()) === tasks && !ended) await delay(lookEveryMs);
  const before = await params.cost(worker.pid);
  while ((await left()) > 0) {
    if (ended) throw new Error(`the worker must not end before the queue is empty, but ended with ${(await worker.exited).code}`);
    await delay(lookEveryMs);
  }
  const emptyAtNs = process.hrtime.bigint();
  if (settleMs > 0) await delay(settleMs);
  const after = await params.cost(worker.pid);
  const exit = await worker.stop();
  if (exit.code !== 0) throw new Error(`the worker must end with status 0, got ${exit.signal ?? exit.code}`);
  return { before, after, firstAtNs: checkRecords(records, tasks), lastAtNs: lastStart(records), emptyAtNs };
}
