/**
 * Takes snapshots of the state of the cluster, every so often, for whoever keeps them.
 *
 * Owns the timers and what happens between two snapshots: the next one waits for the last to be done. A snapshot that fails is said, and the
 * next one is taken. The words are those of Celery's cameras.
 */
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { State } from './state.ts';

export interface CameraFunctions {
  /** Take one. May be async. */
  onShutter(state: State): unknown;
  /** Every so often: remove what is too old. */
  onCleanup?(): unknown;
  /** Forget after each snapshot which workers there are, and the tasks that have ended. Default: false. */
  readonly clearAfter?: boolean;
}

export interface CameraParams {
  readonly functions: CameraFunctions;
  readonly state: State;
  readonly intervalMs: number;
  /** Default: an hour. */
  readonly cleanupIntervalMs?: number;
  /** No more than one in so long. Default: as often as the interval says. */
  readonly minIntervalMs?: number;
  readonly log: Logger;
  readonly clock?: Clock;
}

export class Camera {
  readonly #params: CameraParams;
  readonly #clock: Clock;
  #shutter: Timer | undefined;
  #cleanup: Timer | undefined;
  #running = false;
  #takenAtMs = Number.NEGATIVE_INFINITY;
  #last: Promise<void> = Promise.resolve();

  constructor(params: CameraParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  start(): void {
    this.#running = true;
    this.#armShutter();
    this.#armCleanup();
  }

  /** One more, of what has come since the last. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#clock.clearTimer(this.#shutter);
    this.#clock.clearTimer(this.#cleanup);
    await this.#last;
    await this.#take();
  }

  #armShutter(): void {
    this.#shutter = this.#clock.setTimer(() => {
      const nowMs = this.#clock.monotonic();
      const isAllowed = nowMs - this.#takenAtMs >= (this.#params.minIntervalMs ?? 0);
      if (isAllowed) this.#takenAtMs = nowMs;
      this.#last = isAllowed ? this.#take() : Promise.resolve();
      void this.#last.then(() => {
        if (this.#running) this.#armShutter();
      });
    }, this.#params.intervalMs);
  }

  #armCleanup(): void {
    this.#cleanup = this.#clock.setTimer(() => {
      void this.#guard('cleanup', () => this.#params.functions.onCleanup?.()).then(() => {
        if (this.#running) this.#armCleanup();
      });
    }, this.#params.cleanupIntervalMs ?? 3_600_000);
  }

  async #take(): Promise<void> {
    const { functions, state } = this.#params;
    await this.#guard('snapshot', () => functions.onShutter(state));
    if (functions.clearAfter === true) state.clear();
  }

  async #guard(what: string, run: () => unknown): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#params.log.error('event.camera-failed', `The ${what} of the camera failed: ${messageOf(error)}`);
    }
  }
}
