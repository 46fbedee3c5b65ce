/** The shortest of the latest durations: what something takes that is only ever delayed. Forgets, so that a way that became longer shows. */

/** So many to twice as many are remembered. */
const remembered = 32;

export class Shortest {
  #count = 0;
  #current = Number.POSITIVE_INFINITY;
  #previous = Number.POSITIVE_INFINITY;

  note(ms: number): void {
    if (this.#count === remembered) {
      this.#previous = this.#current;
      this.#current = Number.POSITIVE_INFINITY;
      this.#count = 0;
    }
    this.#count += 1;
    this.#current = Math.min(this.#current, ms);
  }

  /** 0 before the first. */
  get ms(): number {
    const shortest = Math.min(this.#current, this.#previous);
    return shortest === Number.POSITIVE_INFINITY ? 0 : shortest;
  }
}
