/**
 * How long to wait before the next attempt. Pure: the random source is passed in, the unit is the caller's.
 */

/** Returns a number in [0, 1), as Math.random does. */
export type Random = () => number;

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

/**
 * The same wait spread over its upper half, fractions included: for restarts and reconnects, where coming back at once is
 * never right but all coming back together is worse.
 */
export function spreadBackoff(params: Omit<BackoffParams, 'jitter'>, random: Random = Math.random): number {
  const wait = exponentialBackoff(params);
  return wait / 2 + (wait / 2) * random();
}
