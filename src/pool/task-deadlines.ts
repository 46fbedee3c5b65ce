/**
 * When the limits of running tasks are over: one heap and one timer for all of them.
 *
 * Owns heap and timer. A timer that is armed for a task that has ended since is left to fire, so that a short task costs an insertion
 * and a removal in a small heap and nothing else. What is done about a limit that is over is pool/limit-enforcer.ts.
 */
import type { Clock, Timer } from '../std/clock.ts';
import { DeadlineHeap } from '../std/deadline-heap.ts';
import type { Job } from './job.ts';
import { softComesTooLate, type TimeLimit, type TimeLimits } from './time-limits.ts';

export interface TaskDeadlinesParams {
  readonly limits: TimeLimits;
  readonly clock: Clock;
  onSoft(job: Job, limit: TimeLimit): void;
  /** Its hard limit is near: what is to be known of the task had better be found out now. */
  onHardNear(job: Job): void;
  onHard(job: Job, limitSeconds: number): void;
}

/** How long before a hard limit that is, unless half the limit is shorter. */
const nearMs = 2000;

type Step = 'soft' | 'near' | 'hard';

interface Due {
  readonly job: Job;
  readonly limit: TimeLimit;
  readonly startedMs: number;
  readonly step: Step;
}

export class TaskDeadlines {
  readonly #params: TaskDeadlinesParams;
  readonly #heap = new DeadlineHeap<Due>();
  #timer: Timer | undefined;
  /** Clock.monotonic the timer fires at. */
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(params: TaskDeadlinesParams) {
    this.#params = params;
  }

  /** Tasks with a limit that is not over. */
  get size(): number {
    return this.#heap.size;
  }

  /** It was heard that this job has started. */
  started(job: Job): void {
    const limit = this.#params.limits.of(job);
    if (limit === null) return;
    const startedMs = this.#params.clock.monotonic();
    // A soft limit that is not below the hard one never comes.
    const step = limit.softSeconds !== null && !softComesTooLate(limit) ? 'soft' : 'near';
    this.#push({ job, limit, startedMs, step });
  }

  /** It is over, whatever its end. */
  ended(job: Job): void {
    if (job.deadline === null) return;
    this.#heap.remove(job.deadline);
    job.deadline = null;
  }

  stop(): void {
    this.#params.clock.clearTimer(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#heap.clear();
  }

  #push(due: Due): void {
    const atMs = dueAtMs(due);
    due.job.deadline = this.#heap.push(atMs, due);
    if (atMs < this.#timerAtMs) this.#arm(atMs);
  }

  #arm(atMs: number): void {
    const { clock } = this.#params;
    clock.clearTimer(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = clock.setTimer(() => this.#fire(), Math.max(1, Math.ceil(atMs - clock.monotonic())), { ref: false });
  }

  #fire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#params.clock.monotonic();
    for (let entry = this.#heap.popDue(nowMs); entry !== undefined; entry = this.#heap.popDue(nowMs)) this.#onDue(entry.value);
    const next = this.#heap.peek();
    if (next !== undefined && next.at < this.#timerAtMs) this.#arm(next.at);
  }

  #onDue(due: Due): void {
    const { job, limit, step } = due;
    job.deadline = null;
    if (step === 'hard') {
      this.#params.onHard(job, limit.hardSeconds ?? 0);
      return;
    }
    if (limit.hardSeconds !== null) this.#push({ ...due, step: step === 'soft' ? 'near' : 'hard' });
    if (step === 'soft') this.#params.onSoft(job, limit);
    else this.#params.onHardNear(job);
  }
}

function dueAtMs({ limit, startedMs, step }: Due): number {
  if (step === 'soft') return startedMs + (limit.softSeconds ?? 0) * 1000;
  const hardMs = (limit.hardSeconds ?? 0) * 1000;
  return startedMs + hardMs - (step === 'near' ? Math.min(nearMs, hardMs / 2) : 0);
}
