/**
 * USR1: what the parent and every child are doing, into the log, at a level that is always written.
 */
import type { Consumer } from '../consumer/consumer.ts';
import type { Logger } from '../log/logger.ts';
import type { ChildReport, Pool } from '../pool/pool.ts';
import { taskLabel } from '../std/task-label.ts';

export async function dump(params: { log: Logger; pool: Pool; consumer: Consumer; state: string }): Promise<void> {
  const { log, pool, consumer, state } = params;
  // Above warning, so that it comes out whatever the level: somebody has asked.
  const write = (event: string, lines: readonly string[]): void => log.critical(event, lines.join('\n'));
  const parentStack = new Error('here').stack?.split('\n').slice(1) ?? [];
  write('worker.dump', [
    `MainProcess (pid ${process.pid}) is ${state}: ${pool.jobCount} tasks held, ${consumer.active.length} running, prefetch ${consumer.prefetch}, ${consumer.received} received`,
    ...parentStack,
  ]);
  for (const report of await pool.report()) write('child.dump', describe(report));
}

function describe({ index, pid, state, doing, started, stack }: ChildReport): string[] {
  const head = `PoolChild-${index} (pid ${pid})`;
  if (doing === null)
    return [
      `${head} does not answer: its JavaScript is busy. It runs:`,
      ...started.map(line),
      '  Stack:',
      ...(stack ?? []).map((frame) => `    ${frame.trim()}`),
    ];
  if (doing.jobs.length === 0) return [`${head} is ${state} and idle`];
  return [
    `${head} is ${state}, waiting for ${doing.jobs.length} task(s)${doing.waiting === 0 ? '' : `, ${doing.waiting} more sent to it`}:`,
    ...doing.jobs.map(line),
  ];
}

function line(job: { readonly taskName: string; readonly taskId: string; readonly runningMs: number }): string {
  return `    ${taskLabel(job.taskName, job.taskId)} for ${(job.runningMs / 1000).toFixed(1)}s`;
}
