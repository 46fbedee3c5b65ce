/**
 * Rate limits: tasks of a type that may not start yet wait here, in the order in which they came, and hold no place in the pool.
 *
 * Owns the buckets, one for each limited type of this worker, and what waits in them. A type without a limit costs a look at an empty map. What
 * waits stays reserved, but only `reserve` of it counts beside the prefetch, so that tasks of other types behind it in a queue go on. What has
 * expired or was revoked meanwhile takes no token. Never starts anything itself: a task whose turn has come goes the way of every other.
 */
import type { TaskOffer } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { Job } from '../pool/job.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { perSecond, type RateLimit } from '../std/rate-limit.ts';
import { TokenBucket } from '../std/token-bucket.ts';
import type { Request } from './request.ts';

/** A request and the job that runs it. */
export interface Held {
  readonly request: Request;
  readonly job: Job;
}

export interface RateLimiterParams {
  readonly clock: Clock;
  /** No limit is kept. */
  readonly disabled: boolean;
  /** Most that wait and do not count for the prefetch. */
  readonly reserve: number;
  readonly log: Logger;
  /** It is not to be run any more, and has been dealt with. Asked when its turn may have come. */
  discarded(held: Held): boolean;
  /** Its turn has come. */
  submit(job: Job): void;
  /** `setAside` may have changed. Called once in a turn. */
  onChange(): void;
}

interface LimitedType {
  limit: RateLimit;
  readonly bucket: TokenBucket;
  /** In the order in which they came; those before `head` are gone. */
  waiting: Held[];
  head: number;
  timer: Timer | undefined;
}

/** Gone ones are kept in the list until there are so many. */
const goneAtOnce = 1024;

/** Below this part of the reserve it may be said again that it is used up. */
const sayAgainBelow = 0.5;

export class RateLimiter {
  readonly #params: RateLimiterParams;
  readonly #types = new Map<string, LimitedType>();
  #waiting = 0;
  #changed = false;
  #saidFull = false;
  /** Types whose limit was set from outside: their own counts no more. */
  readonly #setFromOutside = new Set<string>();

  constructor(params: RateLimiterParams) {
    this.#params = params;
  }

  /** The limits of the tasks this worker has. */
  configure(tasks: ReadonlyMap<string, TaskOffer>): void {
    for (const { name, rateLimit } of tasks.values()) if (!this.#setFromOutside.has(name)) this.#set(name, rateLimit ?? 0);
  }

  /** The limits in force, as they were written. */
  get limits(): ReadonlyMap<string, RateLimit> {
    return new Map([...this.#types].map(([name, { limit }]) => [name, limit]));
  }

  /** Those of them that something waits for. */
  get waitingLimits(): ReadonlyMap<string, RateLimit> {
    const waiting = [...this.#types].filter(([, { waiting, head }]) => waiting.length > head);
    return new Map(waiting.map(([name, { limit }]) => [name, limit]));
  }

  /** Tasks that wait, of all types. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Of those that wait, so many do not count for the prefetch. */
  get setAside(): number {
    return Math.min(this.#waiting, this.#params.reserve);
  }

  /** Another limit from now on, for what waits too; 0: none. Throws RangeError for what is no rate. */
  setLimit(taskName: string, limit: RateLimit): void {
    const rate = this.#set(taskName, limit);
    this.#setFromOutside.add(taskName);
    const off = this.#params.disabled ? ' It is not kept: worker.disable_rate_limits is on.' : '';
    const what =
      rate === 0 ? `Rate limits disabled for tasks of type ${taskName}` : `New rate limit for tasks of type ${taskName}: ${limit}.`;
    this.#params.log.info('rate-limit.changed', what + off, { taskName });
  }

  /** true: it waits for its turn, or was discarded in it. false: it may go on at once. */
  takes(held: Held): boolean {
    if (this.#types.size === 0) return false;
    const type = this.#types.get(held.job.taskName);
    if (type === undefined) return false;
    if (type.head === type.waiting.length && type.bucket.take(this.#params.clock.monotonic(), false)) return false;
    type.waiting.push(held);
    this.#params.log.debug('task.limited', `Task ${held.request.label} waits for its rate limit of ${type.limit}`, {
      taskId: held.job.taskId,
      taskName: held.job.taskName,
    });
    this.#count(1);
    this.#arm(type);
    return true;
  }

  /** Take out those that wait and match. */
  takeWaiting(matches: (held: Held) => boolean): Held[] {
    const taken: Held[] = [];
    for (const type of this.#types.values()) {
      const kept: Held[] = [];
      for (const held of type.waiting.slice(type.head)) (matches(held) ? taken : kept).push(held);
      type.waiting = kept;
      type.head = 0;
      this.#arm(type);
    }
    this.#count(-taken.length);
    return taken;
  }

  /** Give back those whose messages are no longer ours. */
  withdraw(): void {
    this.#return(({ job }) => job.withdrawn);
  }

  /** Give back everything that waits; nothing waits here any more. */
  quiet(): void {
    this.#return(() => true);
    for (const { timer } of this.#types.values()) this.#params.clock.clearTimer(timer);
    this.#types.clear();
  }

  #return(matches: (held: Held) => boolean): void {
    if (this.#waiting === 0) return;
    for (const { job } of this.takeWaiting(matches)) job.listener.onReturned(job);
  }

  /** Returns the rate, per second. */
  #set(taskName: string, limit: RateLimit): number {
    const rate = perSecond(limit);
    if (rate === null) throw new RangeError(`a rate limit must be a rate such as '100/m', got ${limit}`);
    if (this.#params.disabled) return rate;
    const before = this.#types.get(taskName);
    if (rate === 0) {
      this.#types.delete(taskName);
      if (before !== undefined) this.#free(before);
      return rate;
    }
    const type = before ?? { limit, bucket: new TokenBucket(rate), waiting: [], head: 0, timer: undefined };
    this.#types.set(taskName, type);
    type.limit = limit;
    type.bucket.setRate(rate);
    this.#params.clock.clearTimer(type.timer);
    type.timer = undefined;
    this.#arm(type);
    return rate;
  }

  /** There is no limit any more: all that wait go on. */
  #free(type: LimitedType): void {
    this.#params.clock.clearTimer(type.timer);
    const freed = type.waiting.slice(type.head);
    this.#count(-freed.length);
    for (const held of freed) if (!this.#params.discarded(held)) this.#params.submit(held.job);
  }

  #arm(type: LimitedType): void {
    const { clock } = this.#params;
    if (type.head === type.waiting.length) {
      clock.clearTimer(type.timer);
      type.timer = undefined;
      return;
    }
    if (type.timer !== undefined) return;
    // A timer is cut to whole milliseconds, and must not come too soon.
    const delayMs = Math.max(0, Math.ceil(type.bucket.nextMs - clock.monotonic()));
    type.timer = clock.setTimer(() => this.#onToken(type), delayMs);
  }

  #onToken(type: LimitedType): void {
    type.timer = undefined;
    const { clock, discarded, submit } = this.#params;
    const nowMs = clock.monotonic();
    const from = type.head;
    for (let held = type.waiting[from]; held !== undefined; held = type.waiting[type.head]) {
      if (!discarded(held)) {
        if (!type.bucket.take(nowMs, true)) break;
        submit(held.job);
      }
      type.head += 1;
    }
    this.#count(from - type.head);
    if (type.head >= goneAtOnce || type.head === type.waiting.length) {
      type.waiting = type.waiting.slice(type.head);
      type.head = 0;
    }
    this.#arm(type);
  }

  #count(by: number): void {
    if (by === 0) return;
    this.#waiting += by;
    this.#sayWhenFull();
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      this.#params.onChange();
    });
  }

  #sayWhenFull(): void {
    const { reserve, log } = this.#params;
    if (this.#waiting < reserve * sayAgainBelow) this.#saidFull = false;
    if (this.#saidFull || this.#waiting < reserve || reserve === 0) return;
    this.#saidFull = true;
    log.warning(
      'consumer.limited',
      `consumer: ${this.#waiting} tasks wait for their rate limits, as many as worker.rate_limit_reserve allows: tasks of other types may now wait behind them. A queue of their own helps`,
      { waiting: this.#waiting },
    );
  }
}
