/**
 * A binary heap of values by deadline: the next one due in O(1), adding and removing any one in O(log n).
 *
 * Owns the order, nothing else: no timer, no clock. Values with the same deadline come out in the order they went in.
 */

/** The receipt for a value in the heap; needed to remove it before it is due. */
export interface DeadlineEntry<T> {
  readonly at: number;
  readonly value: T;
}

class Slot<T> implements DeadlineEntry<T> {
  readonly at: number;
  readonly value: T;
  readonly sequence: number;
  /** Place in the array; -1 when no longer in the heap. Written by DeadlineHeap only. */
  index: number;

  constructor(at: number, value: T, sequence: number, index: number) {
    this.at = at;
    this.value = value;
    this.sequence = sequence;
    this.index = index;
  }
}

export class DeadlineHeap<T> {
  readonly #slots: Slot<T>[] = [];
  #sequence = 0;

  get size(): number {
    return this.#slots.length;
  }

  /** `at` in whatever unit the caller keeps; NaN is refused because it would break the order silently. */
  push(at: number, value: T): DeadlineEntry<T> {
    if (Number.isNaN(at)) throw new RangeError('a deadline must be a number, got NaN');
    const slot = new Slot(at, value, this.#sequence++, this.#slots.length);
    this.#slots.push(slot);
    this.#up(slot, slot.index);
    return slot;
  }

  /** The first `count`, in their order; nothing is taken out. */
  first(count: number): DeadlineEntry<T>[] {
    return [...this.#slots].sort((a, b) => a.at - b.at || a.sequence - b.sequence).slice(0, count);
  }

  peek(): DeadlineEntry<T> | undefined {
    return this.#slots[0];
  }

  pop(): DeadlineEntry<T> | undefined {
    const first = this.#slots[0];
    if (first !== undefined) this.#take(first);
    return first;
  }

  /** The first entry with `at <= now`, taken out; undefined when nothing is due. */
  popDue(now: number): DeadlineEntry<T> | undefined {
    const first = this.#slots[0];
    if (first === undefined || first.at > now) return undefined;
    this.#take(first);
    return first;
  }

  /** false when the entry is not in this heap any more. */
  remove(entry: DeadlineEntry<unknown>): boolean {
    if (!(entry instanceof Slot) || entry.index < 0 || this.#slots[entry.index] !== entry) return false;
    this.#take(entry);
    return true;
  }

  clear(): void {
    for (const slot of this.#slots) slot.index = -1;
    this.#slots.length = 0;
  }

  /** In no particular order. The heap must not change meanwhile. */
  [Symbol.iterator](): IterableIterator<DeadlineEntry<T>> {
    return this.#slots.values();
  }

  #take(slot: Slot<T>): void {
    const index = slot.index;
    slot.index = -1;
    const last = this.#slots.pop();
    if (last === undefined || last === slot) return;
    this.#place(last, index);
    this.#up(last, index);
    if (last.index === index) this.#down(last, index);
  }

  #place(slot: Slot<T>, index: number): void {
    this.#slots[index] = slot;
    slot.index = index;
  }

  #up(slot: Slot<T>, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#slots[parentIndex];
      if (parent === undefined || !before(slot, parent)) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(slot, index);
  }

  #down(slot: Slot<T>, from: number): void {
    let index = from;
    for (;;) {
      const left = this.#slots[2 * index + 1];
      const right = this.#slots[2 * index + 2];
      const smaller = left !== undefined && right !== undefined && before(right, left) ? right : left;
      if (smaller === undefined || !before(smaller, slot)) break;
      const smallerIndex = smaller.index;
      this.#place(smaller, index);
      index = smallerIndex;
    }
    this.#place(slot, index);
  }
}

function before<T>(a: Slot<T>, b: Slot<T>): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
