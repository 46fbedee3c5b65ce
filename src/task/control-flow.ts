/**
 * What a task throws to say something other than "I failed": Ignore, Reject, Retry; and the end of all retries.
 *
 * Owns the values and their texts. The child runtime acts on them.
 * Source: protocol notes, messages.md §9.1 and worker-behaviour.md §2.
 */
import { UmbelError } from '../errors.ts';
import { repr, reprArgs, reprKwargs } from '../std/safe-repr.ts';
import type { Kwargs } from './call-options.ts';
import type { Signature } from './signature.ts';

/** End the task without a state, a result or an error. */
export class Ignore extends Error {
  override readonly name: string = 'Ignore';
}

/** Another task takes this one's place. Thrown by `context.replace()`. */
export class Replaced extends Ignore {
  override readonly name: string = 'Replaced';
  readonly signature: Signature<unknown>;

  /** Throws TASK_OPTION_INVALID for what cannot take a task's place. */
  constructor(signature: Signature<unknown>) {
    super('Replaced by new task');
    if (signature.options.chord !== undefined)
      throw new UmbelError('TASK_OPTION_INVALID', 'a signature that replaces a task must not be a part of a chord');
    const { tasks } = signature.kwargs;
    if (signature.subtask_type === 'chain' && Array.isArray(tasks) && tasks.length === 0)
      throw new UmbelError('TASK_OPTION_INVALID', 'a chain that replaces a task must have a task, got an empty one');
    this.signature = signature;
  }
}

/** Reject the message: dropped (or dead-lettered) by default, back to its queue with `requeue`. Takes effect with late acks. */
export class Reject extends Error {
  override readonly name: string = 'Reject';
  readonly reason: unknown;
  readonly requeue: boolean;

  constructor(reason?: unknown, options?: { readonly requeue?: boolean }) {
    const requeue = options?.requeue ?? false;
    super(`reject requeue=${requeue ? 'True' : 'False'}: ${reason instanceof Error || typeof reason !== 'string' ? repr(reason) : reason}`);
    this.reason = reason;
    this.requeue = requeue;
  }
}

export interface RetryParams {
  /** What made the retry necessary; stored as the RETRY state's result. */
  readonly exc?: unknown;
  /** Seconds from now, or a time. null: called directly, nobody will retry. */
  readonly when: number | Date | null;
  /** Replaces the arguments of the next try. */
  readonly args?: readonly unknown[] | undefined;
  readonly kwargs?: Kwargs | undefined;
  readonly message?: string;
  /** false: it was interrupted, which does not count. Default true. */
  readonly isAttempt?: boolean;
  /** Unix milliseconds by which any further retry must begin; null: whenever. */
  readonly untilMs?: number | null;
  readonly queue?: string | undefined;
  readonly priority?: number | undefined;
  readonly timeLimit?: number | undefined;
  readonly softTimeLimit?: number | undefined;
}

/** The task is to run again later. Thrown by `context.retry()`. */
export class Retry extends Error {
  override readonly name: string = 'Retry';
  readonly exc: unknown;
  readonly when: number | Date | null;
  /** Unix milliseconds the next try is due at. */
  readonly etaMs: number;
  /** undefined: the same as before. */
  readonly args: readonly unknown[] | undefined;
  readonly kwargs: Kwargs | undefined;
  readonly isAttempt: boolean;
  readonly untilMs: number | null;
  /** What else is to be different. */
  readonly changes: Pick<RetryParams, 'queue' | 'priority' | 'timeLimit' | 'softTimeLimit'>;

  constructor(params: RetryParams) {
    super(params.message ?? retryText(params.when, params.exc));
    this.exc = params.exc;
    this.when = params.when;
    this.etaMs = params.when instanceof Date ? params.when.getTime() : Date.now() + (params.when ?? 0) * 1000;
    this.args = params.args;
    this.kwargs = params.kwargs;
    this.isAttempt = params.isAttempt ?? true;
    this.untilMs = params.untilMs ?? null;
    const { queue, priority, timeLimit, softTimeLimit } = params;
    this.changes = { queue, priority, timeLimit, softTimeLimit };
  }

  /** Seconds the retry was asked to wait; null when a time was given. */
  get countdown(): number | null {
    return typeof this.when === 'number' ? this.when : null;
  }

  /** `in 2s`, or `at 2030-01-02 03:04:05+00:00`. */
  humanize(): string {
    return humanize(this.when);
  }
}

/** `retry()` was called once more than the task allows. */
export class MaxRetriesExceededError extends Error {
  override readonly name: string = 'MaxRetriesExceededError';
  readonly taskArgs: readonly unknown[];
  readonly taskKwargs: Kwargs;

  constructor(taskName: string, taskId: string, args: readonly unknown[], kwargs: Kwargs) {
    super(`Can't retry ${taskName}[${taskId}] args:${reprArgs(args)} kwargs:${reprKwargs(kwargs)}`);
    this.taskArgs = args;
    this.taskKwargs = kwargs;
  }
}

function retryText(when: number | Date | null, exc: unknown): string {
  const cause = exc === undefined || exc === null ? '' : `: ${typeof exc === 'string' ? exc : repr(exc)}`;
  return `Retry ${humanize(when)}${cause}`;
}

function humanize(when: number | Date | null): string {
  return typeof when === 'number' ? `in ${when}s` : `at ${when === null ? 'None' : pythonTime(when)}`;
}

/** As Python prints an aware datetime in UTC. */
function pythonTime(time: Date): string {
  const iso = time.toISOString();
  const milliseconds = time.getUTCMilliseconds();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${milliseconds === 0 ? '' : `.${iso.slice(20, 23)}000`}+00:00`;
}
