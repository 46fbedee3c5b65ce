/**
 * How many messages this worker may hold, and when that is looked at anew.
 *
 * Owns the count and the timer. Tells the subscription of every change; the broker sees to it that no more come.
 */
import type { Subscription } from '../broker/broker.ts';
import type { Pool } from '../pool/pool.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { freePlaces } from './exact-subscription.ts';

/** Settlements between two looks. */
const tuneEvery = 64;
/** And so long, while more is held than the multiplier says: of what runs for hours a worker must not hold what it held of short tasks. */
const tuneEveryMs = 1000;

export interface PrefetchParams {
  readonly pool: Pick<Pool, 'sizeLimit' | 'usefulReserve'>;
  readonly childConcurrency: number;
  readonly prefetchMultiplier: number;
  /** Hold more than the multiplier says while tasks prove so short that children would wait. */
  readonly adaptivePrefetch: boolean;
  /** Hold no message for which no child is free, whatever the multiplier. */
  readonly exactPrefetch?: boolean;
  readonly clock: Clock;
  /** Every request held. */
  held(): Iterable<{ readonly request: { readonly acknowledged: boolean } }>;
  /** So many of those held wait for something else than room. */
  setAside(): number;
  /** null: nothing is consumed. */
  subscription(): Subscription | null;
}

export class Prefetch {
  readonly #params: PrefetchParams;
  #count = 0;
  #setAside = 0;
  #settledSinceTune = 0;
  #timer: Timer | undefined;

  constructor(params: PrefetchParams) {
    this.#params = params;
  }

  /** Unsettled messages at one time; 0: no limit. */
  get count(): number {
    return this.#count;
  }

  /** For a subscription that is about to begin. */
  begin(): number {
    this.#count = this.#wanted().count;
    return this.#count;
  }

  settled(): void {
    this.#settledSinceTune += 1;
    if (this.#settledSinceTune >= tuneEvery || this.#params.exactPrefetch) this.tune();
  }

  tune(): void {
    this.#settledSinceTune = 0;
    const subscription = this.#params.subscription();
    if (subscription === null) return;
    const { count, base } = this.#wanted();
    this.#tuneLater(count > base);
    const setAside = this.#params.setAside();
    if (count === this.#count && setAside === this.#setAside) return;
    this.#count = count;
    this.#setAside = setAside;
    subscription.setPrefetch(count, setAside);
  }

  /** Nothing is consumed any more. */
  stop(): void {
    this.#tuneLater(false);
  }

  /** `base`: without what is held in reserve. */
  #wanted(): { readonly count: number; readonly base: number } {
    const { pool, childConcurrency, prefetchMultiplier, adaptivePrefetch, exactPrefetch, held, subscription } = this.#params;
    if (exactPrefetch) {
      const count = freePlaces(pool.sizeLimit * childConcurrency, held());
      return { count, base: count };
    }
    if (prefetchMultiplier === 0) return { count: 0, base: 0 };
    const base = Math.max(1, pool.sizeLimit * childConcurrency * prefetchMultiplier);
    if (!adaptivePrefetch) return { count: base, base };
    return { count: Math.max(base, pool.usefulReserve(subscription()?.roundTripMs ?? 0)), base };
  }

  #tuneLater(needed: boolean): void {
    const { clock } = this.#params;
    clock.clearTimer(this.#timer);
    this.#timer = needed ? clock.setTimer(() => this.tune(), tuneEveryMs, { ref: false }) : undefined;
  }
}
