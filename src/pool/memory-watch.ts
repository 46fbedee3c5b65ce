/**
 * How much memory the children hold: looked at while they work and after their tasks.
 *
 * Owns the two limits. A child above the soft one is replaced when its task is done; one above the hard one is killed at once, it
 * alone. Looks from outside, so that a task that never yields is seen too, and more often at what comes near its limit; an idle pool is
 * not looked at. Memory is the resident size of the child itself, without that of processes it has spawned.
 */
import type { Logger } from '../log/logger.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { ChildHandle } from './child-handle.ts';

/** Between two looks at a child that works: with a hard limit, with a soft one, only to know its peak. */
const hardIntervalMs = 100;
/** While one has this part of the hard limit: it may have the rest, and as much again, before the next look would come. */
const closeIntervalMs = 20;
const closeAbove = 0.5;
const softIntervalMs = 250;
const peakIntervalMs = 1000;
/** Part of the hard limit above which it is asked where it stands: killed, it can no longer say. */
const stackAbove = 0.75;
/** Short tasks are not looked at after every one. */
const afterJobMs = 50;

export interface MemoryWatchParams {
  readonly softBytes: number | null;
  readonly hardBytes: number | null;
  /** Jobs wait or run. */
  hasWork(): boolean;
  /** All that may hold jobs. */
  children(): Iterable<ChildHandle>;
  /** Resident size; null: not known. */
  rssBytes(pid: number): number | null;
  /** Where its JavaScript stands; null: not known. */
  stackOf(child: ChildHandle): Promise<string | null>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Once per child. */
  onOutgrown(child: ChildHandle): void;
}

export class MemoryWatch {
  readonly #params: MemoryWatchParams;
  readonly #intervalMs: number;
  /** At the last look. */
  #isClose = false;
  #timer: Timer | undefined;
  #hasWarned = false;

  constructor(params: MemoryWatchParams) {
    this.#params = params;
    this.#intervalMs = params.hardBytes !== null ? hardIntervalMs : params.softBytes !== null ? softIntervalMs : peakIntervalMs;
  }

  /** There is work. */
  wake(): void {
    const delayMs = this.#isClose ? closeIntervalMs : this.#intervalMs;
    this.#timer ??= this.#params.clock.setTimer(() => this.#tick(), delayMs, { ref: false });
  }

  stop(): void {
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  /** It has loaded its modules and done nothing. */
  onReady(child: ChildHandle): void {
    const { softBytes, hardBytes, rssBytes, log } = this.#params;
    const limit = Math.min(softBytes ?? Number.POSITIVE_INFINITY, hardBytes ?? Number.POSITIVE_INFINITY);
    if (this.#hasWarned || limit === Number.POSITIVE_INFINITY) return;
    const held = rssBytes(child.pid);
    if (held === null || held <= limit) return;
    this.#hasWarned = true;
    const setting = limit === softBytes ? 'worker.max_memory_per_child' : 'worker.max_memory_hard';
    log.warning(
      'child.memory-limit-low',
      `${setting} (${kib(limit)}) is less than a child holds that has done nothing yet (${kib(held)}): every task costs a child`,
    );
  }

  onJobDone(child: ChildHandle): void {
    const { softBytes, hardBytes, clock } = this.#params;
    if (softBytes === null && hardBytes === null) return;
    if (clock.monotonic() - child.tenure.lookedAtMs >= afterJobMs) this.#look(child);
    else child.tenure.isUnseen = true;
  }

  #tick(): void {
    this.#timer = undefined;
    this.#isClose = false;
    for (const child of this.#params.children()) {
      if (child.jobs.size > 0 || child.tenure.isUnseen) this.#look(child);
    }
    // What waits for a child is given to it without a word to us.
    if (this.#params.hasWork()) this.wake();
  }

  #look(child: ChildHandle): void {
    const { softBytes, hardBytes, rssBytes, clock, onOutgrown } = this.#params;
    const { tenure } = child;
    const held = rssBytes(child.pid);
    tenure.lookedAtMs = clock.monotonic();
    tenure.isUnseen = false;
    if (held === null) return;
    tenure.peakRssBytes = Math.max(tenure.peakRssBytes ?? 0, held);
    if (hardBytes !== null && held > hardBytes * closeAbove && held <= hardBytes) this.#isClose = true;
    if (hardBytes !== null && held > hardBytes * stackAbove && !tenure.asked) this.#askForStack(child);
    if (hardBytes !== null && held > hardBytes) this.#kill(child, held, hardBytes);
    else if (softBytes !== null && held > softBytes && tenure.renewal === null) onOutgrown(child);
  }

  #askForStack(child: ChildHandle): void {
    child.tenure.asked = true;
    this.#params.stackOf(child).then(
      (stack) => {
        child.tenure.stack ??= stack;
      },
      () => {},
    );
  }

  #kill(child: ChildHandle, held: number, limit: number): void {
    if (child.tenure.killedBecause !== null) return;
    child.tenure.killedBecause = `It held ${kib(held)} of memory, more than worker.max_memory_hard allows (${kib(limit)}).`;
    this.#params.log.error(
      'child.memory-exceeded',
      `PoolChild-${child.index} (pid ${child.pid}) is killed: it held ${kib(held)}, more than worker.max_memory_hard allows (${kib(limit)})`,
      { child: child.index, pid: child.pid },
    );
    child.kill('SIGKILL');
  }
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}
