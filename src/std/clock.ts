/**
 * Time as a value that can be passed in, so that nothing which waits has to be tested by waiting.
 *
 * Owns the system clock and a fake one that moves only when told to. `now` is Unix time in milliseconds and may jump;
 * `monotonic` is milliseconds from an arbitrary origin and never goes back: deadlines belong to it. The system's has one origin for
 * all processes of the machine, so that a deadline may be handed to a child.
 */

/** An armed timer; give it back to `clearTimer`. */
export interface Timer {
  readonly delayMs: number;
}

export interface TimerOptions {
  /** false: the timer alone does not keep the process alive. Default true. */
  readonly ref?: boolean;
}

export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Milliseconds that never go back; of the system clock comparable between the processes of a machine. */
  monotonic(): number;
  /** Call back once, `delayMs` from now. Any delay is honoured, also those above the 24.8 days of setTimeout. */
  setTimer(callback: () => void, delayMs: number, options?: TimerOptions): Timer;
  /** Safe for a timer that has fired, and for undefined. */
  clearTimer(timer: Timer | undefined): void;
}

/** setTimeout turns a longer delay into 1 ms. */
const longestTimeoutMs = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly delayMs: number;
  handle: NodeJS.Timeout | undefined;

  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  arm(callback: () => void, delayMs: number, ref: boolean): void {
    if (delayMs > longestTimeoutMs) {
      this.handle = setTimeout(() => this.arm(callback, delayMs - longestTimeoutMs, ref), longestTimeoutMs);
    } else {
      this.handle = setTimeout(callback, delayMs);
    }
    if (!ref) this.handle.unref();
  }
}

/** Two readings this close to each other are taken for one. */
const closeEnoughMs = 0.01;
const originTries = 1000;

/**
 * Where a clock that counts from the start of the process began, on the one of the machine. They cannot be read at the same instant,
 * and a process may stand still in between: one whose clock was late would start tasks that are no longer its own. So the machine's is
 * read between two readings of the process's, again until they are close or there were enough tries, and the closest are taken.
 */
export function clockOriginMs(processMs: () => number, machineMs: () => number): number {
  let originMs = 0;
  let closestMs = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < originTries && closestMs > closeEnoughMs; tries += 1) {
    const beforeMs = processMs();
    const atMs = machineMs();
    const apartMs = processMs() - beforeMs;
    if (apartMs >= closestMs) continue;
    closestMs = apartMs;
    originMs = atMs - beforeMs;
  }
  return originMs;
}

/** performance.now() counts from the start of the process and is much cheaper than process.hrtime(), which does not. */
const processOriginMs = clockOriginMs(
  () => performance.now(),
  () => Number(process.hrtime.bigint()) / 1e6,
);

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now() + processOriginMs,
  setTimer(callback, delayMs, options) {
    const timer = new SystemTimer(delayMs);
    timer.arm(callback, delayMs, options?.ref ?? true);
    return timer;
  },
  clearTimer(timer) {
    if (timer instanceof SystemTimer) clearTimeout(timer.handle);
  },
};

interface FakeTimer extends Timer {
  readonly dueMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** A clock for tests: time stands still until `advance`. */
export class FakeClock implements Clock {
  #now: number;
  #monotonic = 0;
  #sequence = 0;
  readonly #timers = new Set<FakeTimer>();

  constructor(startUnixMs = Date.UTC(2026, 0, 1)) {
    this.#now = startUnixMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Timers armed and not yet due. */
  get pending(): number {
    return this.#timers.size;
  }

  setTimer(callback: () => void, delayMs: number): Timer {
    const timer: FakeTimer = { delayMs, dueMs: this.#monotonic + Math.max(0, delayMs), sequence: this.#sequence++, callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimer(timer: Timer | undefined): void {
    if (timer !== undefined) this.#timers.delete(timer as FakeTimer);
  }

  /** Move on by `ms`, running what falls due in order, each at its own time; timers armed meanwhile count too. */
  advance(ms: number): void {
    const endMs = this.#monotonic + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.delete(next);
      this.#moveTo(next.dueMs);
      next.callback();
    }
    this.#moveTo(endMs);
  }

  /** As `advance`, but promises and immediates get their turn after every timer. */
  async advanceAsync(ms: number): Promise<void> {
    const endMs = this.#monotonic + ms;
    await nextTurn();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.delete(next);
      this.#moveTo(next.dueMs);
      next.callback();
      await nextTurn();
    }
    this.#moveTo(endMs);
  }

  /** The wall clock is set to another time; monotonic time and timers do not notice. */
  jumpTo(unixMs: number): void {
    this.#now = unixMs;
  }

  #moveTo(monotonicMs: number): void {
    if (monotonicMs <= this.#monotonic) return;
    this.#now += monotonicMs - this.#monotonic;
    this.#monotonic = monotonicMs;
  }

  #next(endMs: number): FakeTimer | undefined {
    let first: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs > endMs) continue;
      if (first === undefined || timer.dueMs < first.dueMs || (timer.dueMs === first.dueMs && timer.sequence < first.sequence))
        first = timer;
    }
    return first;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
