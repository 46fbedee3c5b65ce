/**
 * The signs of life that systemd asks for with WatchdogSec, for as long as the worker starts, runs and stops.
 *
 * They come from the event loop, so they stop when it does: systemd then ends the worker and starts it again. Does nothing when nobody
 * asks. Never looks at brokers or children, which have watches of their own.
 */
import type { Component } from '../lifecycle/component.ts';
import type { SdNotify } from '../os/sd-notify.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';

export class Watchdog implements Component {
  readonly name = 'watchdog';
  readonly #notify: Pick<SdNotify, 'watchdogIntervalMs' | 'watchdog'>;
  readonly #clock: Clock;
  #timer: Timer | undefined;

  constructor(notify: Pick<SdNotify, 'watchdogIntervalMs' | 'watchdog'>, clock: Clock = systemClock) {
    this.#notify = notify;
    this.#clock = clock;
  }

  /** The first sign at once: after a restart in place systemd still counts from the last one of the program before. */
  async start(): Promise<void> {
    const { watchdogIntervalMs: intervalMs } = this.#notify;
    if (intervalMs !== null && this.#timer === undefined) this.#sign(intervalMs);
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  #sign(intervalMs: number): void {
    this.#notify.watchdog();
    this.#timer = this.#clock.setTimer(() => this.#sign(intervalMs), intervalMs, { ref: false });
  }
}
