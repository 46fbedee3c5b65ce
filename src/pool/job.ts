/**
 * A job: one task handed to the pool, and how it comes back.
 *
 * Every job ends in exactly one call of its `JobListener`: `onSucceeded`, `onEnded`, `onWorkerLost` or `onReturned`.
 * The pool writes the fields marked so; the consumer, which makes jobs, only reads them.
 */
import type { EndedMeta, FollowUpMeta, SucceededMeta } from '../ipc/exchange.ts';
import type { DeadlineEntry } from '../std/deadline-heap.ts';
import { taskLabel } from '../std/task-label.ts';
import type { ChildHandle } from './child-handle.ts';
import type { TimeLimit } from './time-limits.ts';

/** A message the child made for publishing when its job settles. */
export interface FollowUp {
  readonly meta: FollowUpMeta;
  readonly body: Buffer;
}

/** Why a child that had started a job is gone. */
export interface ChildExit {
  readonly pid: number;
  readonly index: number;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why the pool killed it, a sentence; null: it did not. */
  readonly because?: string | null;
  /** The most memory it was seen to hold; null: nobody looked. */
  readonly peakRssBytes?: number | null;
  /** Where it stood, or the last it wrote to its standard error; null: not known. */
  readonly stack?: string | null;
  /** Not by itself: the pool ended it because of one job, maybe of another one. */
  readonly killed?: JobKill | null;
}

/** What became of the job for whose sake a child was ended. */
export type KillOutcome =
  | {
      readonly kind: 'time-limit';
      readonly limitSeconds: number;
      /** Where its JavaScript stood, one line per frame; null: it was not blocked. */
      readonly stack: readonly string[] | null;
    }
  /** Somebody asked for it. */
  | { readonly kind: 'terminated'; readonly signal: string };

export interface JobKill {
  readonly job: Job;
  readonly outcome: KillOutcome;
}

export interface JobListener {
  /** The child is about to run the task. `pid` and unix seconds. */
  onStarted(job: Job, pid: number, atSeconds: number): void;
  onSucceeded(job: Job, runtimeSeconds: number, meta: SucceededMeta | null, resultJson: string): void;
  onEnded(job: Job, runtimeSeconds: number, meta: EndedMeta, resultJson: string): void;
  /** The child died while this job had started, or nobody knows whether it had. */
  onWorkerLost(job: Job, exit: ChildExit): void;
  /** Never started: the pool is stopping or the job was withdrawn. It is the consumer's again. */
  onReturned(job: Job): void;
}

export interface JobParams {
  readonly id: number;
  readonly taskName: string;
  readonly taskId: string;
  readonly meta: string;
  readonly body: Buffer | string;
  readonly listener: JobListener;
  readonly shadow?: string | null;
  readonly timeLimit?: TimeLimit | null;
}

export class Job {
  /** Unique within the pool. */
  readonly id: number;
  readonly taskName: string;
  readonly taskId: string;
  /** JSON text of a RunMeta; '' when the body is the envelope, or the frames, of a message in the plain form. */
  readonly meta: string;
  readonly body: Buffer | string;
  readonly listener: JobListener;
  /** Name shown in logs instead of the task's. */
  readonly shadow: string | null;
  /** Of its message; null: it names none. */
  readonly timeLimit: TimeLimit | null;
  /** Written by pool/task-deadlines.ts: when its next limit is over. */
  deadline: DeadlineEntry<unknown> | null = null;
  /** Written by the pool: the child that holds it. */
  child: ChildHandle | null = null;
  /** Written by the child handle: performance.now() when the start was heard of; 0 before. */
  startedAtMs = 0;
  /** Written by the consumer: its message is no longer ours; do not start it. */
  withdrawn = false;
  /** Written by the consumer: it has ended children before. */
  suspect = false;
  /** Written by the child handle. */
  followUps: FollowUp[] | null = null;

  constructor(params: JobParams) {
    this.id = params.id;
    this.taskName = params.taskName;
    this.taskId = params.taskId;
    this.meta = params.meta;
    this.body = params.body;
    this.listener = params.listener;
    this.shadow = params.shadow ?? null;
    this.timeLimit = params.timeLimit ?? null;
  }

  /** `name[id]`, as log lines show it. */
  get label(): string {
    return taskLabel(this.shadow ?? this.taskName, this.taskId);
  }

  get started(): boolean {
    return this.startedAtMs !== 0;
  }

  /** A child has it. One that was started and is in none has ended, and its end may still have to be recorded. */
  get inChild(): boolean {
    return this.child?.jobs.has(this.id) === true;
  }
}
