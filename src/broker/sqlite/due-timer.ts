/**
 * Makes delayed messages visible when their time has come.
 *
 * Owns: one timer on the earliest due time of the whole file. Never holds a message: a million delayed rows cost it one number.
 * Every broker with a subscription runs one; the first to get there does the work, the others find nothing.
 */
import type { SqliteFailure } from '../../driver/sqlite.ts';
import { type SqliteStore, sqliteTopic } from '../../driver/sqlite-store.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import { earliestDueMs, promoteDue } from './message-table.ts';

/** Look at the wall clock at least so often: it may be set, and the machine may sleep. */
const longestWaitMs = 60_000;
const retryMs = 500;

export interface DueTimerParams {
  readonly store: SqliteStore;
  readonly clock: Clock;
}

export class DueTimer {
  readonly #params: DueTimerParams;
  #running = false;
  #timer: Timer | undefined;
  #dueAtMs: number | null = null;
  #promoting = false;

  constructor(params: DueTimerParams) {
    this.#params = params;
  }

  start(): void {
    this.#running = true;
    this.refresh();
  }

  stop(): void {
    this.#running = false;
    this.#disarm();
  }

  /** Rows may have been added: look for the earliest. */
  refresh(): void {
    if (!this.#running || this.#promoting) return;
    const dueAtMs = this.#params.store.peek(earliestDueMs, this.#dueAtMs);
    if (dueAtMs === this.#dueAtMs && this.#timer !== undefined) return;
    this.#dueAtMs = dueAtMs;
    this.#arm();
  }

  #disarm(): void {
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    this.#disarm();
    if (this.#dueAtMs === null) return;
    const waitMs = Math.max(0, Math.min(this.#dueAtMs - this.#params.clock.now(), longestWaitMs));
    this.#timer = this.#params.clock.setTimer(() => this.#onTimer(), waitMs, { ref: false });
  }

  #onTimer(): void {
    this.#timer = undefined;
    const { clock, store } = this.#params;
    // Timers are allowed to be a millisecond early.
    if (this.#dueAtMs !== null && this.#dueAtMs > clock.now()) {
      this.#arm();
      return;
    }
    this.#promoting = true;
    store
      .write((database) => promoteDue(database, clock.now()), { topics: sqliteTopic.message })
      .then(
        () => {
          this.#promoting = false;
          this.#dueAtMs = null;
          this.refresh();
        },
        (_failure: SqliteFailure) => {
          this.#promoting = false;
          if (this.#running) this.#timer = clock.setTimer(() => this.#onTimer(), retryMs, { ref: false });
        },
      );
  }
}
