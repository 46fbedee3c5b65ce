/**
 * What a task author gets back from `delay()` and `applyAsync()`.
 *
 * Owns the shape only; the client and the child runtime each bring their own implementation.
 */

export interface GetOptions {
  /** How long to wait; without it, for ever. Passing it rejects with RESULT_TIMEOUT. */
  readonly timeoutMs?: number | undefined;
  /** Default true: a failed task rejects with its error. False: resolves with that error instead. */
  readonly propagate?: boolean | undefined;
}

export interface AsyncResult<R> {
  /** The task id. */
  readonly id: string;
  /** Wait for the result. */
  get(options?: GetOptions): Promise<R>;
  /** PENDING, STARTED, SUCCESS, FAILURE, RETRY, REVOKED or a state of the task's own. */
  state(): Promise<string>;
  /** Delete the stored result. */
  forget(): Promise<void>;
}
