/**
 * Deferred messages of one subscription: when each is due, and which are.
 *
 * Owns: the heap of due times and its one timer. Holds no body, and of a tag only its number: a hundred thousand cost 2 to 5 MB.
 */
import type { Clock, Timer } from '../../std/clock.ts';
import { DeadlineColumns, type NumberedDeadline } from '../../std/deadline-columns.ts';
import type { QueueList } from './queue-list.ts';

/** The wall clock may be set, and the machine may sleep: look again at least this often. */
const longestSleepMs = 60_000;

export interface DeferredTag {
  readonly tag: string;
  readonly from: QueueList;
  /** It was delivered before, and is marked so. */
  readonly redelivered?: boolean;
}

export interface DelayedTag extends DeferredTag {
  readonly dueAtMs: number;
}

/** What many tags have in common: everything but their number. */
interface Origin {
  /** Of the tag: id of the worker's lease, and the dot behind it. */
  readonly prefix: string;
  readonly from: QueueList;
}

export class DelayedTags {
  readonly #clock: Clock;
  readonly #heap = new DeadlineColumns();
  /** By the `kind` of the heap. As many as there are lists, and leases that this process has had; forgotten when nothing is deferred. */
  #origins: Origin[] = [];
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

  /** `tag`: a prefix, a dot and a sequence number. */
  add({ tag, from }: DeferredTag, dueAtMs: number): void {
    const numberAt = tag.lastIndexOf('.') + 1;
    if (this.#heap.size === 0) this.#origins = [];
    this.#heap.push(dueAtMs, Number(tag.slice(numberAt)), this.#originOf(tag.slice(0, numberAt), from));
    if (dueAtMs < this.#armedFor) this.#arm(dueAtMs);
  }

  /** The next ones, at most so many. */
  next(count: number): DelayedTag[] {
    return this.#heap.first(count).map((entry) => this.#delayed(entry));
  }

  *tags(): IterableIterator<string> {
    for (const entry of this.#heap) yield this.#delayed(entry).tag;
  }

  /** Everything, and forget it. */
  takeAll(): DeferredTag[] {
    const all = this.#takeDue(Number.POSITIVE_INFINITY);
    this.stop();
    return all;
  }

  stop(): void {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#heap.clear();
  }

  #originOf(prefix: string, from: QueueList): number {
    const known = this.#origins.findIndex((origin) => origin.from === from && origin.prefix === prefix);
    return known === -1 ? this.#origins.push({ prefix, from }) - 1 : known;
  }

  #delayed({ at, number, kind }: NumberedDeadline): DelayedTag {
    const origin = this.#origins[kind];
    if (origin === undefined) throw new Error(`a deferred tag must have an origin, got number ${kind} of ${this.#origins.length}`);
    return { tag: `${origin.prefix}${number}`, from: origin.from, dueAtMs: at };
  }

  #takeDue(nowMs: number): DeferredTag[] {
    const due: DeferredTag[] = [];
    for (let entry = this.#heap.popDue(nowMs); entry !== undefined; entry = this.#heap.popDue(nowMs)) due.push(this.#delayed(entry));
    return due;
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
    const due = this.#takeDue(this.#clock.now());
    const next = this.#heap.nextAt;
    // Timers are allowed to be a millisecond early.
    if (next !== undefined) this.#arm(next);
    if (due.length > 0) this.#onDue(due);
  }
}
