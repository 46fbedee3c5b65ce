/**
 * How many children the load asks for, within a range.
 *
 * Owns the range and Celery's rule: as many children as there are jobs, at once when there are too few, and fewer only when there was no
 * growth for a while (worker-behaviour.md §10). Looked at with every job, and while there are more children than the least of the range. A
 * module of the operator may decide instead. Never harms a job: what it takes away finishes first.
 */
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Clock, Timer } from '../std/clock.ts';

export interface AutoscaleRange {
  readonly max: number;
  readonly min: number;
}

/** What a module that decides is told. */
export interface AutoscaleState extends AutoscaleRange {
  /** Jobs waiting, sent and running. */
  readonly reserved: number;
  /** Children wanted now. */
  readonly processes: number;
}

/** How many children there should be; what is outside of the range is brought into it. */
export type AutoscaleFunction = (state: AutoscaleState) => number;

export interface AutoscalerParams extends AutoscaleRange {
  /** No children are taken away for so long after some were added. */
  readonly keepaliveMs: number;
  /** Jobs one child runs at one time. */
  readonly slots: number;
  /** Loads what decides instead of the rule; null: the rule. */
  readonly load: (() => Promise<AutoscaleFunction>) | null;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the pool. */
  size(): number;
  jobCount(): number;
  resize(size: number): void;
}

/** With jobs a module is asked no more often than this, of the last of them as well; and every so often without one. */
const askAgainMs = 100;
const askIdleMs = 1000;

export class Autoscaler {
  readonly #params: AutoscalerParams;
  #max: number;
  #min: number;
  #grewAtMs = Number.NEGATIVE_INFINITY;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #hasFailed = false;
  #timer: Timer | undefined;
  /** For the jobs that came too soon after it was asked. */
  #askAgain: Timer | undefined;
  #running = false;
  #decide: AutoscaleFunction | null = null;

  constructor(params: AutoscalerParams) {
    this.#params = params;
    this.#max = params.max;
    this.#min = Math.max(1, params.min);
  }

  get max(): number {
    return this.#max;
  }

  /** As `inspect stats` shows it. */
  get info(): { readonly max: number; readonly min: number; readonly current: number; readonly qty: number } {
    return { max: this.#max, min: this.#min, current: this.#params.size(), qty: this.#params.jobCount() };
  }

  /** Rejects with what is wrong with the module. */
  async start(): Promise<void> {
    this.#decide = (await this.#params.load?.()) ?? null;
    this.#running = true;
    this.#arm();
  }

  stop(): void {
    this.#running = false;
    this.#params.clock.clearTimer(this.#timer);
    this.#params.clock.clearTimer(this.#askAgain);
    this.#timer = undefined;
    this.#askAgain = undefined;
  }

  /** There is one more job. */
  onJob(): void {
    if (this.#decide !== null) this.#askSoon();
    else if (this.#params.size() !== this.#max) this.#scale();
  }

  #askSoon(): void {
    const { clock } = this.#params;
    if (!this.#running || this.#askAgain !== undefined) return;
    const waitMs = this.#askedAtMs + askAgainMs - clock.monotonic();
    if (waitMs <= 0) {
      this.#scale();
      return;
    }
    const ask = (): void => {
      this.#askAgain = undefined;
      this.#scale();
    };
    this.#askAgain = clock.setTimer(ask, Math.ceil(waitMs), { ref: false });
  }

  /** Another range; null: as it is. Returns the one there is then. Throws USAGE. */
  update(max: number | null, min: number | null): AutoscaleRange {
    const next = { max: max ?? this.#max, min: Math.max(1, min ?? this.#min) };
    if (!Number.isSafeInteger(next.max) || !Number.isSafeInteger(next.min) || next.max < next.min)
      throw new UmbelError(
        'USAGE',
        `an autoscale range must be two integers, the most and not more than that, got ${next.max},${next.min}`,
      );
    this.#max = next.max;
    this.#min = next.min;
    const size = this.#params.size();
    this.#resize(Math.min(Math.max(size, next.min), next.max));
    this.#arm();
    return next;
  }

  #scale(): void {
    if (!this.#running) return;
    const size = this.#params.size();
    const wanted = Math.min(Math.max(this.#wanted(size), this.#min), this.#max);
    if (wanted > size || this.#mayShrink()) this.#resize(wanted);
    this.#arm();
  }

  #wanted(processes: number): number {
    const { slots, clock, log } = this.#params;
    const decide = this.#decide;
    const reserved = this.#params.jobCount();
    if (decide === null) return Math.ceil(reserved / slots);
    this.#askedAtMs = clock.monotonic();
    try {
      const wanted: unknown = decide({ reserved, processes, min: this.#min, max: this.#max });
      if (typeof wanted !== 'number' || !Number.isSafeInteger(wanted))
        throw new UmbelError('AUTOSCALER_FAILED', `worker.autoscaler must return an integer, got ${String(wanted)}`);
      this.#hasFailed = false;
      return wanted;
    } catch (error) {
      if (!this.#hasFailed)
        log.error('pool.autoscaler-failed', `worker.autoscaler has failed; there are as many children as before: ${messageOf(error)}`);
      this.#hasFailed = true;
      return processes;
    }
  }

  /** A module decides for itself when. */
  #mayShrink(): boolean {
    const { clock, keepaliveMs } = this.#params;
    return this.#decide !== null || clock.monotonic() - this.#grewAtMs > keepaliveMs;
  }

  #resize(wanted: number): void {
    const { log, clock } = this.#params;
    const difference = wanted - this.#params.size();
    if (difference === 0) return;
    if (difference > 0) this.#grewAtMs = clock.monotonic();
    const count = Math.abs(difference);
    log.info('pool.scaled', `Scaling ${difference > 0 ? 'up' : 'down'} ${count} processes.`, { size: wanted });
    this.#params.resize(wanted);
  }

  /** An idle pool that is as small as may be sleeps. */
  #arm(): void {
    const { clock, keepaliveMs } = this.#params;
    const decide = this.#decide;
    if (!this.#running || this.#timer !== undefined) return;
    if (decide === null && this.#params.size() <= this.#min) return;
    const look = (): void => {
      this.#timer = undefined;
      this.#scale();
    };
    const sinceGrowthMs = clock.monotonic() - this.#grewAtMs;
    const delayMs = decide === null && sinceGrowthMs < keepaliveMs ? keepaliveMs - sinceGrowthMs + 1 : keepaliveMs;
    this.#timer = clock.setTimer(look, decide === null ? delayMs : Math.min(askIdleMs, keepaliveMs), { ref: false });
  }
}
