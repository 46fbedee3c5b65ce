/** How many jobs a pool finishes in a few milliseconds, as far as it bears on how many messages are worth holding. */

/** Jobs of one measurement. */
const sample = 64;
/** Worth of work that bridges the way to the broker and back, on a busy machine too. */
const horizonMs = 25;

export class DoneRate {
  #count = 0;
  #beganAtMs = 0;
  /** Of the sample before. */
  #previousAtMs = Number.NEGATIVE_INFINITY;

  note(): void {
    this.#count += 1;
    if (this.#count < sample) return;
    this.#count = 0;
    this.#previousAtMs = this.#beganAtMs === 0 ? Number.NEGATIVE_INFINITY : this.#beganAtMs;
    this.#beganAtMs = performance.now();
  }

  /** In steps, so that small changes of the rate are none of the reserve. */
  get usefulReserve(): number {
    const done = (sample + this.#count) / (performance.now() - this.#previousAtMs);
    const reserve = done * horizonMs;
    return reserve < 1 ? 0 : 2 ** Math.ceil(Math.log2(reserve));
  }
}
