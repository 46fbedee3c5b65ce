/**
 * Ends a child because of one job that it runs: a hard time limit, a termination by request.
 *
 * Owns the certainty that it is that job which is hit: the child is stopped in its tracks, all that it has said is read, and only when the job has not
 * ended by then is the child ended; otherwise it goes on as if nothing had been. So no later task can be hit. (A thread cannot be stopped like that: there
 * a task that begins in the very last moment may go with it, which its listener is told.) What the job's end means is the consumer's business: it
 * finds `ChildExit.killed`.
 */
import type { ChildHandle } from './child-handle.ts';
import type { Job, KillOutcome } from './job.ts';

export interface KillParams {
  readonly job: Job;
  readonly outcome: KillOutcome;
  /** What ends the child. Default: SIGKILL. */
  readonly signal?: NodeJS.Signals | number;
  /** Called when it is certain and the signal is about to be sent. */
  onCertain?(child: ChildHandle): void;
}

/** Longer than a busy child is not listened to. */
const listenMs = 2;

/** Two at a time would let each other's child go on. */
const pending = new WeakMap<ChildHandle, Promise<unknown>>();

/** false: the job has not started, or has ended, or its child is being ended already: nothing was done. */
export function killForJob(params: KillParams): Promise<boolean> {
  const { child } = params.job;
  if (child === null || !params.job.started) return Promise.resolve(false);
  const kill = (pending.get(child) ?? Promise.resolve()).then(() => killNow(child, params));
  pending.set(child, kill);
  return kill;
}

async function killNow(child: ChildHandle, { job, outcome, signal = 'SIGKILL', onCertain }: KillParams): Promise<boolean> {
  const runsThere = (): boolean => child.killed === null && child.jobs.get(job.id) === job && job.started;
  if (!runsThere()) return false;
  if (await child.freeze()) await everythingHeard(child);
  if (!runsThere()) {
    child.thaw();
    return false;
  }
  child.killed = { job, outcome };
  onCertain?.(child);
  child.kill(signal);
  // A stopped process gets no other signal before it goes on.
  if (signal !== 'SIGKILL') child.thaw();
  return true;
}

/** What it had said before it was stopped is in its pipe, and that is read in a turn of the event loop or some. */
async function everythingHeard(child: ChildHandle): Promise<void> {
  for (let before = -1; before !== child.heardBytes; ) {
    before = child.heardBytes;
    await new Promise((resolve) => setTimeout(resolve, listenMs));
    await turn();
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
