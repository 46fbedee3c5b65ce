/** The shortest of the latest durations: what something takes that is only ever delayed. Forgets, so that a way that became longer shows. */

/** What is remembered are so many to twice as many, */
const remembered = 32;
/** and this long at least: on a busy machine all of a fraction of a second may be delayed. */
const rememberedMs = 10_000;

export class Shortest {
  #count = 0;
  #sinceMs = 0;
  #current = Number.POSITIVE_INFINITY;
  #previous = Number.POSITIVE_INFINITY;

  note(ms: number): void {
    const nowMs = performance.now();
    if (this.#count === 0) this.#sinceMs = nowMs;
    if (this.#count >= remembered && nowMs - this.#sinceMs >= rememberedMs) {
      this.#previous = this.#current;
      this.#current = Number.POSITIVE_INFINITY;
      this.#count = 0;
      this.#sinceMs = nowMs;
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
