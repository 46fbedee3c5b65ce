/**
 * The judge of a chaos run on RabbitMQ: which executions were repeated, and whether each repeat was allowed.
 *
 * A message is delivered unmarked once. So of all starts of a task at most one may be unmarked, whichever comes first: a worker may start
 * what was sent to it while the server already gives it to another, before it hears that its connection is gone. A repeat needs a cause: one
 * of the workers involved, or a child, was killed or lost its connection. And no worker starts a task that it is running.
 */
import type { RunLine } from './run-log.ts';

/** Connections that ended, of these workers by pid; null: everybody's. */
export interface Break {
  readonly pid: number | null;
  readonly atMs: number;
}

export interface RedeliveryParams {
  readonly lines: readonly RunLine[];
  /** When processes, workers or children, were killed or told to end, by pid. */
  readonly killedAtMs: ReadonlyMap<number, number>;
  readonly breaks: readonly Break[];
  /** A worker may hold a message for so long before it starts it, or learn so late that its connection is gone. */
  readonly reserveMs: number;
}

export interface RedeliveryVerdict {
  readonly runs: number;
  readonly repeats: number;
  /** More than one start was not marked redelivered. */
  readonly unmarked: readonly string[];
  /** Nothing had happened to anybody who had the message. */
  readonly uncaused: readonly string[];
  /** Started by a worker in which it was running. */
  readonly beside: readonly string[];
}

export function judgeRedeliveries({ lines, killedAtMs, breaks, reserveMs }: RedeliveryParams): RedeliveryVerdict {
  const unmarked: string[] = [];
  const uncaused: string[] = [];
  const beside: string[] = [];
  let runs = 0;
  let repeats = 0;
  const died = (pid: number, beforeMs: number): boolean => (killedAtMs.get(pid) ?? Number.POSITIVE_INFINITY) < beforeMs;

  for (const [taskId, ofTask] of Map.groupBy(lines, (line) => line.taskId)) {
    const starts = ofTask.filter(({ what }) => what === 'start');
    runs += starts.length;
    if (starts.length < 2) continue;
    repeats += starts.length - 1;
    const story = `${taskId}:\n${ofTask.map((line) => `    ${describe(line)}`).join('\n')}`;
    if (starts.filter(({ redelivered }) => !redelivered).length > 1) unmarked.push(story);
    for (const [at, run] of starts.entries()) {
      if (at === 0) continue;
      const earlier = starts.slice(0, at);
      const [first] = earlier as [RunLine];
      const involved = [...earlier, run].flatMap(({ worker, child }) => [worker, child]);
      const caused =
        involved.some((pid) => died(pid, run.atMs)) ||
        breaks.some(({ pid, atMs }) => (pid === null || involved.includes(pid)) && atMs > first.atMs - reserveMs && atMs < run.atMs);
      if (!caused) uncaused.push(story);
      const ended = (one: RunLine): boolean =>
        ofTask.some(({ what, child, atMs }) => what === 'end' && child === one.child && atMs > one.atMs && atMs < run.atMs);
      if (earlier.some((one) => one.worker === run.worker && !died(one.child, run.atMs) && !ended(one))) beside.push(story);
    }
  }
  return { runs, repeats, unmarked, uncaused, beside };
}

function describe({ what, kind, worker, child, redelivered, atMs }: RunLine): string {
  return `${what} ${kind} worker ${worker} child ${child}${redelivered ? ' redelivered' : ''} at ${atMs.toFixed(1)} ms`;
}
