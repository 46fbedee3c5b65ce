/**
 * How many messages this worker may hold, and when that is looked at anew.
 *
 * Owns the count and the timer. Tells the subscription of every change; the broker sees to it that no more come.
 *
 * While the broker takes no messages (an alarm of RabbitMQ), requests that have ended wait for their replies and follow-ups to be taken before their
 * messages are acknowledged. They would fill the prefetch, and nothing more would run until somebody ends the alarm, which often takes that work is
 * done. So they do not count meanwhile. Nor do those that are acknowledged already, where a message is taken only for a free child: there they count
 * as long as they are held, so that a result backend that is away does not have this worker empty its queues.
 */
import type { Broker, Subscription } from '../broker/broker.ts';
import type { Job } from '../pool/job.ts';
import type { Pool } from '../pool/pool.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { freePlaces } from './exact-subscription.ts';
import type { Request } from './request.ts';

/** Settlements between two looks. */
const tuneEvery = 64;
/** And so long, while more is held than the multiplier says: of what runs for hours a worker must not hold what it held of short tasks. */
const tuneEveryMs = 1000;
/** And so long, while the broker takes no messages: the next ones may run as soon as others have ended. */
const tuneBlockedMs = 100;
/** Most that have ended and do not count: their results are kept in memory, and if the worker crashes they are run again. */
const mostUnrecorded = 1000;

interface Held {
  readonly request: Pick<Request, 'state' | 'acknowledged' | 'lost' | 'orphaned'>;
  readonly job: Pick<Job, 'inChild'>;
}

interface Unrecorded {
  readonly acknowledged: number;
  readonly unacknowledged: number;
}

const noneUnrecorded: Unrecorded = { acknowledged: 0, unacknowledged: 0 };

export interface PrefetchParams {
  readonly broker: Pick<Broker, 'blocked' | 'onBlocked'>;
  readonly pool: Pick<Pool, 'sizeLimit' | 'usefulReserve'>;
  readonly childConcurrency: number;
  readonly prefetchMultiplier: number;
  /** Hold more than the multiplier says while tasks prove so short that children would wait. */
  readonly adaptivePrefetch: boolean;
  /** Hold no message for which no child is free, whatever the multiplier. */
  readonly exactPrefetch?: boolean;
  readonly clock: Clock;
  /** Every request held. */
  held(): Iterable<Held>;
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
  #unlisten: (() => void) | undefined;

  constructor(params: PrefetchParams) {
    this.#params = params;
  }

  /** Unsettled messages at one time; 0: no limit. */
  get count(): number {
    return this.#count;
  }

  /** For a subscription that is about to begin. */
  begin(): number {
    this.#unlisten ??= this.#params.broker.onBlocked?.(() => this.tune());
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
    const isBlocked = (this.#params.broker.blocked ?? null) !== null;
    const unrecorded = isBlocked ? this.#unrecorded() : noneUnrecorded;
    const { count, base } = this.#wanted(unrecorded);
    this.#tuneIn(isBlocked ? tuneBlockedMs : count > base ? tuneEveryMs : null);
    const setAside = this.#params.setAside() + unrecorded.unacknowledged;
    if (count === this.#count && setAside === this.#setAside) return;
    this.#count = count;
    this.#setAside = setAside;
    subscription.setPrefetch(count, setAside);
  }

  /** Nothing is consumed any more. */
  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#tuneIn(null);
  }

  /** Those that have ended and would fill a place. */
  #unrecorded(): Unrecorded {
    let acknowledged = 0;
    let unacknowledged = 0;
    for (const { request, job } of this.#params.held()) {
      if (acknowledged + unacknowledged === mostUnrecorded) break;
      if (request.state !== 'active' || job.inChild) continue;
      if (request.acknowledged) acknowledged += this.#params.exactPrefetch ? 1 : 0;
      // No channel holds what went with the last one.
      else if (!request.lost && !request.orphaned) unacknowledged += 1;
    }
    return { acknowledged, unacknowledged };
  }

  /** `base`: without what is held in reserve. */
  #wanted(unrecorded = noneUnrecorded): { readonly count: number; readonly base: number } {
    const { pool, childConcurrency, prefetchMultiplier, adaptivePrefetch, exactPrefetch, held, subscription } = this.#params;
    if (exactPrefetch) {
      const count = freePlaces(pool.sizeLimit * childConcurrency, held()) + unrecorded.acknowledged;
      return { count, base: count };
    }
    if (prefetchMultiplier === 0) return { count: 0, base: 0 };
    const base = Math.max(1, pool.sizeLimit * childConcurrency * prefetchMultiplier);
    if (!adaptivePrefetch) return { count: base, base };
    return { count: Math.max(base, pool.usefulReserve(subscription()?.roundTripMs ?? 0)), base };
  }

  #tuneIn(ms: number | null): void {
    const { clock } = this.#params;
    clock.clearTimer(this.#timer);
    this.#timer = ms === null ? undefined : clock.setTimer(() => this.tune(), ms, { ref: false });
  }
}
