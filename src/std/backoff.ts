/**
 * How long to wait before the next attempt. Pure: the random source is passed in.
 */

/** Returns a number in [0, 1), as Math.random does. */
export type Random = () => number;

/** In whatever unit the caller keeps. */
export interface BackoffParams {
  /** Wait after the first failure. */
  readonly factor: number;
  /** Failures so far, counted from 0. */
  readonly retries: number;
  /** No wait is longer than this. */
  readonly maximum: number;
  /** Draw a whole number between 0 and the wait, both included, so that many do not come back at once. Default false. */
  readonly jitter?: boolean;
}

/** `min(maximum, factor * 2^retries)`, never negative: Celery's rule for `retry_backoff`. */
export function exponentialBackoff(params: BackoffParams, random: Random = Math.random): number {
  const wait = Math.min(params.maximum, params.factor * 2 ** params.retries);
  if (!(wait > 0)) return 0;
  return params.jitter === true ? Math.floor(random() * (Math.floor(wait) + 1)) : wait;
}

export interface BackoffDelayParams {
  /** Failures in a row before this wait, counted from 0. */
  readonly attempt: number;
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Milliseconds before a restart or a reconnect: doubles from `baseMs` to `maxMs`, drawn from the upper half, because coming back
 * at once is never right and all coming back together is worse.
 */
export function backoffDelayMs(params: BackoffDelayParams, random: Random = Math.random): number {
  const waitMs = exponentialBackoff({ factor: params.baseMs, retries: Math.max(0, params.attempt), maximum: params.maxMs });
  return waitMs / 2 + (waitMs / 2) * random();
}
