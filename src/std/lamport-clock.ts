/**
 * A logical clock: orders what happens on several nodes without looking at the time of day.
 *
 * Each event of our own adds one; a value received from another node moves ours behind it.
 * Source: protocol notes, control.md §1 and events.md §1.
 */
export class LamportClock {
  readonly #onChange: (value: number) => void;
  #value = 0;

  /** `onChange` is told every new value. */
  constructor(onChange: (value: number) => void = () => {}) {
    this.#onChange = onChange;
  }

  get value(): number {
    return this.#value;
  }

  /** Before an event of our own: its value. */
  forward(): number {
    return this.#set(this.#value + 1);
  }

  /** A value of another node was seen. What is no number of a clock changes nothing. */
  adjust(received: unknown): number {
    if (typeof received !== 'number' || !Number.isSafeInteger(received) || received < 0) return this.#value;
    return this.#set(Math.max(this.#value, received) + 1);
  }

  #set(value: number): number {
    this.#value = value;
    this.#onChange(value);
    return value;
  }
}
