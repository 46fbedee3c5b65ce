/**
 * A token bucket that holds one token: Celery's rule for rate limits. After a pause one may be taken at once, and the next when its time has come;
 * nothing saved up makes a burst.
 *
 * Pure: the time is passed in, in milliseconds that never go back.
 */

/** Who waits is woken by timers, which are late: so much of it is made up for, so that the rate is kept to over time. */
const mostLateMs = 20;

export class TokenBucket {
  #intervalMs: number;
  /** When the last token was due. */
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#intervalMs = 1000 / perSecond;
  }

  /** When the next token can be taken. */
  get nextMs(): number {
    return this.#lastMs + this.#intervalMs;
  }

  /** `waited`: it was wanted before, when there was none. */
  take(nowMs: number, waited: boolean): boolean {
    if (nowMs < this.nextMs) return false;
    this.#lastMs = waited ? Math.max(this.nextMs, nowMs - mostLateMs) : nowMs;
    return true;
  }

  /** From now on another rate; it counts from the last token. */
  setRate(perSecond: number): void {
    this.#intervalMs = 1000 / perSecond;
  }
}
