/**
 * A logical clock: orders what happens on several nodes without looking at the time of day.
 *
 * Each event of our own adds one; a value received from another node moves ours behind it.
 * Source: protocol notes, control.md §1 and events.md §1.
 */
export class LamportClock {
  #value: number;

  constructor(value = 0) {
    this.#value = value;
  }

  get value(): number {
    return this.#value;
  }

  /** Before an event of our own: its value. */
  forward(): number {
    this.#value += 1;
    return this.#value;
  }

  /** A value of another node was seen. What is no number of a clock changes nothing. */
  adjust(received: unknown): number {
    if (typeof received === 'number' && Number.isSafeInteger(received) && received >= 0) this.#value = Math.max(this.#value, received) + 1;
    return this.#value;
  }
}
