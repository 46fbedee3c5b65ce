/**
 * Which child gets which job, and when.
 *
 * Owns the jobs that wait in the parent and what is known of how long their types take. A child gets one job per slot unless
 * the jobs' types have proved to be short (pool/task-pace.ts): then more are sent ahead, as long as the expected wait behind
 * the others stays under `pipelineBudgetMs`. If a job turns out long after all, those sent behind it are recalled for another
 * child. Never starts or ends a child.
 *
 * What waits is started only while it is certainly ours (pool/start-gate.ts).
 */
import type { ChildHandle } from './child-handle.ts';
import type { Job } from './job.ts';
import { JobQueue } from './job-queue.ts';
import type { StartGate } from './start-gate.ts';
import { TaskPace } from './task-pace.ts';

/** Expected wait behind jobs sent ahead that is still worth the saved round trip. */
const pipelineBudgetMs = 4;
/** Work in hand with which a child is not listened to for a moment. */
const restAboveMs = 2;
/** Most jobs a child holds at one time. */
export const maxWindow = 256;
/** A job running longer than this with others sent behind it has them recalled. */
const recallAfterMs = 20;

export interface DispatcherParams {
  /** Jobs one child runs at one time. */
  readonly slots: number;
  /** -O fair: never send ahead. */
  readonly fair: boolean;
  readonly children: ReadonlyMap<number, ChildHandle>;
  /** Those that take no more jobs, or none yet. */
  others(): readonly ChildHandle[];
  readonly gate: StartGate;
  /** This child was given the last job it may have. */
  onUsed(child: ChildHandle): void;
  /** This child was given a job that has ended others. */
  onSuspect(child: ChildHandle): unknown;
}

export class Dispatcher {
  readonly #params: DispatcherParams;
  readonly #waiting = new JobQueue();
  readonly #pace = new TaskPace();
  /** Runs only while a child may hold jobs that were sent ahead: an idle worker sleeps. */
  #recallTimer: NodeJS.Timeout | null = null;

  constructor(params: DispatcherParams) {
    this.#params = params;
  }

  /** To a child with room, or into the queue behind those that wait already. */
  submit(job: Job): void {
    if (this.#waiting.size > 0 || !this.#send(job)) this.#waiting.push(job);
  }

  /** Jobs that come back unstarted, in front of those that wait, for any child before `from`. */
  resubmit(jobs: readonly Job[], from: ChildHandle | null): void {
    this.#waiting.unshift(jobs);
    for (const child of this.#params.children.values()) if (child !== from) this.fill(child);
    // It may have become free while its answer was on the way, and then nothing else would wake it.
    if (from !== null && from.jobs.size < this.#params.slots) this.fill(from);
  }

  /** Take out those that wait and match. */
  takeWaiting(matches: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    const kept: Job[] = [];
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) (matches(job) ? taken : kept).push(job);
    this.#waiting.unshift(kept);
    return taken;
  }

  noteDone(job: Job, runtimeSeconds: number): void {
    this.#pace.note(job.taskName, runtimeSeconds);
  }

  /** Give a child that has room as much as is good for it. */
  fill(child: ChildHandle): void {
    const { gate } = this.#params;
    while (child.state === 'ready') {
      const next = this.#waiting.peek();
      if (next === undefined || !this.#hasRoom(child, next) || gate.holdsBack()) return;
      this.#waiting.shift();
      this.#run(child, next);
    }
  }

  /** What waits is certainly ours again. */
  held(): void {
    this.#params.gate.holdsBack();
    for (const child of this.#params.children.values()) this.fill(child);
  }

  /** Nothing is looked after any more. */
  stop(): void {
    if (this.#recallTimer !== null) clearInterval(this.#recallTimer);
    this.#recallTimer = null;
  }

  /** It has so much short work in hand that it need not be listened to for a moment. */
  mayRest(child: ChildHandle): boolean {
    if (child.jobs.size <= this.#params.slots * 8) return false;
    const front = child.oldestStarted();
    return front !== undefined && child.jobs.size * this.#pace.estimateMs(front.taskName) >= restAboveMs;
  }

  /** Milliseconds one execution takes; Infinity: not known. */
  estimateMs(taskName: string): number {
    return this.#pace.estimateMs(taskName);
  }

  /** Ask every child for what it has not started. */
  recallSentAhead(): void {
    for (const child of [...this.#params.children.values(), ...this.#params.others()]) {
      for (const job of child.jobs.values()) {
        if (job.started) continue;
        child.recall();
        break;
      }
    }
  }

  #run(child: ChildHandle, job: Job): void {
    child.run(job, this.#params.gate.startBeforeMs);
    if (job.suspect) this.#params.onSuspect(child);
    if (child.tenure.used) this.#params.onUsed(child);
    if (this.#recallTimer !== null || child.jobs.size <= this.#params.slots) return;
    this.#recallTimer = setInterval(() => this.#recallBehindLongJobs(), recallAfterMs);
    this.#recallTimer.unref();
  }

  /** What was sent behind a job that takes long is better off elsewhere. */
  #recallBehindLongJobs(): void {
    const now = performance.now();
    let sentAhead = false;
    for (const child of [...this.#params.children.values(), ...this.#params.others()]) {
      if (child.jobs.size <= this.#params.slots) continue;
      sentAhead = true;
      const front = child.oldestStarted();
      if (front !== undefined && now - front.startedAtMs > recallAfterMs) child.recall();
    }
    if (!sentAhead) this.stop();
  }

  /** To the child with the fewest jobs; false when none has room. */
  #send(job: Job): boolean {
    let best: ChildHandle | null = null;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (const child of this.#params.children.values()) {
      const load = child.jobs.size;
      if (child.state !== 'ready' || load >= bestLoad || !this.#hasRoom(child, job)) continue;
      best = child;
      bestLoad = load;
      if (load === 0) break;
    }
    if (best === null || this.#params.gate.holdsBack()) return false;
    this.#run(best, job);
    return true;
  }

  #hasRoom(child: ChildHandle, job: Job): boolean {
    const load = child.jobs.size;
    const { slots, fair } = this.#params;
    const { tenure } = child;
    if (tenure.used) return false;
    if (tenure.predecessor !== null) {
      if (tenure.predecessor.size > 0) return load + tenure.predecessor.size < slots;
      tenure.predecessor = null;
    }
    if (load < slots) return true;
    if (fair || load >= maxWindow) return false;
    const estimateMs = this.#pace.estimateMs(job.taskName);
    if ((load / slots) * estimateMs > pipelineBudgetMs) return false;
    const front = child.oldestStarted();
    if (front !== undefined && performance.now() - front.startedAtMs > recallAfterMs) return false;
    return this.#slotsAreShort(child);
  }

  /** Jobs sent ahead were short when sent; those that took a slot of their own may be anything. */
  #slotsAreShort(child: ChildHandle): boolean {
    let looked = 0;
    for (const job of child.jobs.values()) {
      if (this.#pace.estimateMs(job.taskName) > pipelineBudgetMs) return false;
      looked += 1;
      if (looked === this.#params.slots) return true;
    }
    return true;
  }
}
