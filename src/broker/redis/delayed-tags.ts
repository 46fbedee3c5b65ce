/**
 * Deferred messages of one subscription: when each is due, and which are.
 *
 * Owns: the heap of due times and its one timer. Holds a tag, the list it came from and a number per message, no body: a hundred thousand
 * cost about 20 MB.
 */
import type { Clock, Timer } from '../../std/clock.ts';
import { type DeadlineEntry, DeadlineHeap } from '../../std/deadline-heap.ts';
import type { QueueList } from './queue-list.ts';

/** The wall clock may be set, and the machine may sleep: look again at least this often. */
const longestSleepMs = 60_000;

export interface DeferredTag {
  readonly tag: string;
  readonly from: QueueList;
  /** It was delivered before, and is marked so. */
  readonly redelivered?: boolean;
}

export class DelayedTags {
  readonly #clock: Clock;
  readonly #heap = new DeadlineHeap<DeferredTag>();
  readonly #onDue: (due: readonly DeferredTag[]) => void;
  #timer: Timer | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, onDue: (due: readonly DeferredTag[]) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#heap.size;
  }

  add(deferred: DeferredTag, dueAtMs: number): void {
    this.#heap.push(dueAtMs, deferred);
    if (dueAtMs < this.#armedFor) this.#arm(dueAtMs);
  }

  /** The next ones, at most so many. */
  next(count: number): readonly DeadlineEntry<DeferredTag>[] {
    return this.#heap.first(count);
  }

  *tags(): IterableIterator<string> {
    for (const { value } of this.#heap) yield value.tag;
  }

  /** Everything, and forget it. */
  takeAll(): DeferredTag[] {
    const all: DeferredTag[] = [];
    for (let entry = this.#heap.pop(); entry !== undefined; entry = this.#heap.pop()) all.push(entry.value);
    this.stop();
    return all;
  }

  stop(): void {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#heap.clear();
  }

  #arm(dueAtMs: number): void {
    this.#clock.clearTimer(this.#timer);
    this.#armedFor = dueAtMs;
    this.#timer = this.#clock.setTimer(
      () => this.#onTimer(),
      Math.min(longestSleepMs, Math.max(0, Math.ceil(dueAtMs - this.#clock.now()))),
      { ref: false },
    );
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.now();
    const due: DeferredTag[] = [];
    for (let entry = this.#heap.popDue(nowMs); entry !== undefined; entry = this.#heap.popDue(nowMs)) due.push(entry.value);
    const next = this.#heap.peek();
    // Timers are allowed to be a millisecond early.
    if (next !== undefined) this.#arm(next.at);
    if (due.length > 0) this.#onDue(due);
  }
}
