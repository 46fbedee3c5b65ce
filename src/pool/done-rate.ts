/** How many jobs a pool finishes in a few milliseconds, as far as it bears on how many messages are worth holding. */

/** Jobs between two looks at the clock. */
const sample = 64;
/** A measurement takes at least so long: jobs end in bursts, as they are acknowledged and answered together, and a burst has any rate. */
const shortestMs = 20;
/** Worth of work that bridges the way to the broker and back, on a busy machine too. What is held beyond it is only in the way of others. */
const horizonMs = 6;

export class DoneRate {
  /** Of this measurement. */
  #count = 0;
  #beganAtMs = Number.NEGATIVE_INFINITY;
  /** Of the measurement before. */
  #previousCount = 0;
  #previousAtMs = Number.NEGATIVE_INFINITY;

  note(): void {
    this.#count += 1;
    if (this.#count % sample !== 0) return;
    const nowMs = performance.now();
    if (nowMs - this.#beganAtMs < shortestMs) return;
    this.#previousCount = this.#count;
    this.#previousAtMs = this.#beganAtMs;
    this.#count = 0;
    this.#beganAtMs = nowMs;
  }

  /** In steps, so that small changes of the rate are none of the reserve. */
  get usefulReserve(): number {
    const done = (this.#previousCount + this.#count) / (performance.now() - this.#previousAtMs);
    const reserve = done * horizonMs;
    return reserve < 1 ? 0 : 2 ** Math.round(Math.log2(reserve));
  }
}
