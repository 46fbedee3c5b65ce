/**
 * What a task author gets back from `delay()` and `applyAsync()`.
 *
 * Owns the shape only; the client and the child runtime each bring their own implementation.
 */
import type { ResultTuple } from '../protocol/result-tuple.ts';

export interface GetOptions {
  /** How long to wait; without it, for ever. Passing it rejects with RESULT_TIMEOUT. */
  readonly timeoutMs?: number | undefined;
  /** Default true: a failed task rejects with its error. False: resolves with that error instead. */
  readonly propagate?: boolean | undefined;
}

/** The result of one task, or of many. */
export type AnyResult = AsyncResult<unknown> | GroupResult<unknown>;

interface ResultHandle {
  /** Of the task, or of the group. */
  readonly id: string;
  /** The step before it in a chain; of a chord's body the header. */
  readonly parent: AnyResult | null;
  /** Has it ended, well or not? Of a group: have all? */
  ready(): Promise<boolean>;
  /** Has it (have all) succeeded? */
  successful(): Promise<boolean>;
  /** Has it (has one) failed? */
  failed(): Promise<boolean>;
  /** Delete what is stored. */
  forget(): Promise<void>;
  /** As Celery writes it: `[[id, parent], children]`. A task that returns a result returns this. */
  asTuple(): ResultTuple;
}

export interface AsyncResult<R> extends ResultHandle {
  /** Wait for the result. */
  get(options?: GetOptions): Promise<R>;
  /** PENDING, STARTED, SUCCESS, FAILURE, RETRY, REVOKED or a state of the task's own. */
  state(): Promise<string>;
  /** Of what it failed with, or is tried again for; null where there is none. */
  traceback(): Promise<string | null>;
  /** What the task has called and what followed from it, as far as its stored result says. */
  children(): Promise<readonly AnyResult[]>;
}

export interface GroupResult<R> extends ResultHandle {
  readonly results: readonly AnyResult[];
  /** Wait for all results, in the order of the group. Rejects with the first error. */
  join(options?: GetOptions): Promise<R[]>;
  /** The same. */
  get(options?: GetOptions): Promise<R[]>;
  /** Is one of them not ready? */
  waiting(): Promise<boolean>;
  /** How many have succeeded. */
  completedCount(): Promise<number>;
  /** Keep it, so that any process can restore it by its id. */
  save(): Promise<void>;
  /** Delete what `save` has kept. */
  delete(): Promise<void>;
}

/** What is given by the result with this handle. */
export type ValueOf<H> = H extends AsyncResult<infer R> ? R : H extends GroupResult<infer R> ? R[] : unknown;
