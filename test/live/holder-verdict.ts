/**
 * The judge of a chaos run: which executions were repeated, and whether each repeat was allowed.
 *
 * A repeat is allowed when the holder of every earlier run had died before it, or had lost its lease because it stood still. Of a
 * Python holder the lease ends with the visibility timeout after it took the message: it renews nothing, and what it took it may start
 * at any time later.
 *
 * A child that is stopped after its look at the clock and before the first line of its task starts that one task when it goes on, whoever
 * has it by then: nothing can be looked at between the last look and the first line. So much is allowed: the look before the child went
 * on, the first line after it.
 */
import type { RunLine } from './run-log.ts';

export interface Standstill {
  readonly pid: number;
  /** Those that stood still with it. */
  readonly children: readonly number[];
  readonly fromMs: number;
  readonly toMs: number;
}

export interface VerdictParams {
  readonly lines: readonly RunLine[];
  /** When processes, workers or children, were killed or told to end, by pid. */
  readonly killedAtMs: ReadonlyMap<number, number>;
  readonly standstills: readonly Standstill[];
  /** A worker that stood still for less than this has not lost its lease. */
  readonly shortestLeaseMs: number;
  readonly visibilityTimeoutMs: number;
}

export interface Verdict {
  readonly runs: number;
  readonly repeats: number;
  /** Repeats as kombu has them: its holder renews nothing. */
  readonly byKombu: number;
  /** Starts that a child had begun when it was stopped. */
  readonly caught: number;
  /** Started again while the holder of an earlier run lived and had its lease. */
  readonly doubled: readonly string[];
  /** Started again and not marked redelivered. */
  readonly unmarked: readonly string[];
}

export function judge(params: VerdictParams): Verdict {
  const { lines, killedAtMs, standstills, shortestLeaseMs, visibilityTimeoutMs } = params;
  const received = lines.filter(({ what }) => what === 'received');
  const receivedOf = Map.groupBy(received, ({ taskId }) => taskId);
  const starts = lines.filter(({ what }) => what === 'start');
  const doubled: string[] = [];
  const unmarked: string[] = [];
  let repeats = 0;
  let byKombu = 0;
  let caught = 0;

  /** Stopped between its look at the clock and the first line of the task. */
  const isCaught = ({ child, lookedAtMs, atMs }: RunLine): boolean =>
    lookedAtMs !== null && standstills.some(({ children, toMs }) => children.includes(child) && lookedAtMs < toMs && atMs >= toMs);

  /** When the run's worker took the message, as far as it says. */
  const takenAtMs = (run: RunLine): number =>
    (receivedOf.get(run.taskId) ?? []).findLast(({ worker, atMs }) => worker === run.worker && atMs <= run.atMs)?.atMs ?? run.atMs;

  const diedBefore = (run: RunLine, atMs: number): boolean =>
    [run.worker, run.child].some((pid) => (killedAtMs.get(pid) ?? Number.POSITIVE_INFINITY) < atMs);

  // Only what it had begun before it went on: what it takes afterwards it has a new lease for.
  const lostLeaseBefore = (run: RunLine, atMs: number): boolean =>
    standstills.some(
      ({ pid, fromMs, toMs }) =>
        pid === run.worker && run.atMs <= toMs && toMs - fromMs >= shortestLeaseMs && atMs - fromMs >= shortestLeaseMs,
    );

  for (const [taskId, runs] of Map.groupBy(starts, (run) => run.taskId)) {
    for (const [at, run] of runs.entries()) {
      if (at === 0) continue;
      repeats += 1;
      const earlier = runs.slice(0, at);
      const story = (): string => `${taskId}:\n${[...earlier, run].map((one) => `    ${describe(one)}`).join('\n')}`;
      const heldByPython = run.kind === 'python' && earlier.some(({ atMs }) => atMs - takenAtMs(run) > visibilityTimeoutMs);
      const kombu = (one: RunLine): boolean => one.kind === 'python' && run.atMs - takenAtMs(one) >= visibilityTimeoutMs;
      const alive = earlier.filter((one) => !diedBefore(one, run.atMs) && !lostLeaseBefore(one, run.atMs));
      if (!run.redelivered && isCaught(run)) {
        caught += 1;
        continue;
      }
      if (heldByPython || (alive.length > 0 && alive.every(kombu))) byKombu += 1;
      else if (alive.length > 0) doubled.push(story());
      if (!run.redelivered && !heldByPython) unmarked.push(story());
    }
  }
  return { runs: starts.length, repeats, byKombu, caught, doubled, unmarked };
}

function describe({ kind, worker, child, redelivered, atMs }: RunLine): string {
  return `${kind} worker ${worker} child ${child}${redelivered ? ' redelivered' : ''} at ${atMs.toFixed(1)} ms`;
}
