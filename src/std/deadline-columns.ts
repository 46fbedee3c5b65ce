/**
 * A binary heap of numbers by deadline, for very many of them: 20 bytes each, and no object that a garbage collection would have to look at.
 *
 * Each entry is a deadline, a number of the caller's, and a small integer that says what kind of number it is. Equal deadlines come out by the
 * number. Owns the order, nothing else: no timer, no clock. For few values, or to take one out early, see deadline-heap.ts.
 */

export interface NumberedDeadline {
  readonly at: number;
  readonly number: number;
  /** 0 to 2^32 - 1. */
  readonly kind: number;
}

const smallest = 64;

export class DeadlineColumns {
  #at = new Float64Array(smallest);
  #number = new Float64Array(smallest);
  #kind = new Uint32Array(smallest);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Deadline of the next one; undefined: there is none. */
  get nextAt(): number | undefined {
    return this.#size === 0 ? undefined : this.#at[0];
  }

  /** `at` in whatever unit the caller keeps; NaN is refused because it would break the order silently. */
  push(at: number, number: number, kind: number): void {
    if (Number.isNaN(at) || Number.isNaN(number))
      throw new RangeError(`a deadline and its number must be numbers, got ${at} and ${number}`);
    if (this.#size === this.#at.length) this.#resize(this.#size * 2);
    this.#up(this.#size++, at, number, kind);
  }

  /** The next one, taken out, if its deadline is at most `now`. */
  popDue(now: number): NumberedDeadline | undefined {
    const { nextAt } = this;
    if (nextAt === undefined || nextAt > now) return undefined;
    const due = this.#entry(0);
    const last = this.#entry(--this.#size);
    if (this.#size > 0) this.#down(last);
    if (this.#size < this.#at.length / 4 && this.#at.length > smallest) this.#resize(this.#at.length / 2);
    return due;
  }

  /** The first `count`, in their order; nothing is taken out. */
  first(count: number): NumberedDeadline[] {
    return [...this].sort((a, b) => a.at - b.at || a.number - b.number).slice(0, count);
  }

  clear(): void {
    this.#size = 0;
    this.#resize(smallest);
  }

  /** In no particular order. The heap must not change meanwhile. */
  *[Symbol.iterator](): IterableIterator<NumberedDeadline> {
    for (let index = 0; index < this.#size; index++) yield this.#entry(index);
  }

  #entry(index: number): NumberedDeadline {
    return { at: this.#at[index] ?? 0, number: this.#number[index] ?? 0, kind: this.#kind[index] ?? 0 };
  }

  #set(index: number, at: number, number: number, kind: number): void {
    this.#at[index] = at;
    this.#number[index] = number;
    this.#kind[index] = kind;
  }

  #move(from: number, to: number): void {
    this.#at[to] = this.#at[from] ?? 0;
    this.#number[to] = this.#number[from] ?? 0;
    this.#kind[to] = this.#kind[from] ?? 0;
  }

  /** Whether the entry at `index` comes before these. */
  #before(index: number, at: number, number: number): boolean {
    const own = this.#at[index] ?? 0;
    return own < at || (own === at && (this.#number[index] ?? 0) < number);
  }

  #up(from: number, at: number, number: number, kind: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#before(parent, at, number)) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#set(index, at, number, kind);
  }

  /** From the root, whose place is free. */
  #down({ at, number, kind }: NumberedDeadline): void {
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#before(child + 1, this.#at[child] ?? 0, this.#number[child] ?? 0)) child++;
      if (!this.#before(child, at, number)) break;
      this.#move(child, index);
      index = child;
    }
    this.#set(index, at, number, kind);
  }

  #resize(capacity: number): void {
    const [at, number, kind] = [this.#at, this.#number, this.#kind];
    this.#at = new Float64Array(capacity);
    this.#number = new Float64Array(capacity);
    this.#kind = new Uint32Array(capacity);
    this.#at.set(at.subarray(0, this.#size));
    this.#number.set(number.subarray(0, this.#size));
    this.#kind.set(kind.subarray(0, this.#size));
  }
}
