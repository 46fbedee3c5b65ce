/**
 * Until when what is held under a lease is certainly ours: the time `Subscription.heldUntilMs` shows.
 *
 * Owns the time and its safety margin, and notices when it moves on after it had passed. What proves that something is held, and
 * what must have been found out before it moves on again, is the lease's business.
 */
import type { Clock } from '../std/clock.ts';

/** Never more than this, nor than a tenth of the lease. */
const longestMarginMs = 1000;

export interface HeldUntilParams {
  readonly clock: Clock;
  /** The shortest time after which something held may be taken by others. */
  readonly leaseMs: number;
  /** It had passed and has moved on. */
  onHeld(): void;
}

export class HeldUntil {
  readonly #params: HeldUntilParams;
  /** For what lies between a look at the clock and what is done then, and for a clock of the other side that is set a little. */
  readonly #marginMs: number;
  #ms = Number.NEGATIVE_INFINITY;

  constructor(params: HeldUntilParams) {
    this.#params = params;
    this.#marginMs = Math.min(longestMarginMs, params.leaseMs / 10);
  }

  /** Monotonic. */
  get ms(): number {
    return this.#ms;
  }

  get passed(): boolean {
    return this.#params.clock.monotonic() >= this.#ms;
  }

  /** Nothing held can be taken before `endMs`; -Infinity: nothing is certain. If it had passed, what was lost must have been told. */
  moveTo(endMs: number): void {
    const hadPassed = this.passed;
    this.#ms = endMs - this.#marginMs;
    if (hadPassed && !this.passed) this.#params.onHeld();
  }
}
