/**
 * The signs of life that systemd asks for with WatchdogSec, for as long as the worker starts, runs and stops.
 *
 * They come from the event loop, so they stop when it does, and they are kept back while the worker should get messages, gets none, and may do
 * nothing more against it: systemd then ends the worker and starts it again. Does nothing when nobody asks. Looks at nothing itself.
 */
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import type { SdNotify } from '../os/sd-notify.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';

export interface WatchdogParams {
  readonly notify: Pick<SdNotify, 'watchdogIntervalMs' | 'watchdog'>;
  /** It should get messages, gets none, and has done all against it that it may. */
  isHelpless(): boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

export class Watchdog implements Component {
  readonly name = 'watchdog';
  readonly #params: WatchdogParams;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #keptBack = false;

  constructor(params: WatchdogParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  /** The first sign at once: after a restart in place systemd still counts from the last one of the program before. */
  async start(): Promise<void> {
    const { watchdogIntervalMs: intervalMs } = this.#params.notify;
    if (intervalMs !== null && this.#timer === undefined) this.#sign(intervalMs);
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  #sign(intervalMs: number): void {
    const { notify, isHelpless, log } = this.#params;
    const keepBack = isHelpless();
    if (!keepBack) notify.watchdog();
    else if (!this.#keptBack)
      log.error(
        'worker.no-sign-of-life',
        'worker: messages are ready and none is delivered, whatever was tried: systemd gets no sign of life any more, and ends the worker after WatchdogSec',
      );
    this.#keptBack = keepBack;
    this.#timer = this.#clock.setTimer(() => this.#sign(intervalMs), intervalMs, { ref: false });
  }
}
