/**
 * How many messages are worth holding so that no child waits for the next: as many as bridge the way to the broker and back.
 *
 * Follows from what has been done lately, not from what is held: a worker that waits for its messages does only as many as it gets, so its
 * rate alone would keep it slow. So there is a floor by how long tasks take, which does not depend on the broker, and the way there counts.
 */

/** A measurement has at least so many jobs. */
const sample = 64;
/** And takes at least so long: jobs end in bursts, as they are acknowledged and answered together, and a burst has any rate. */
const shortestMs = 20;
/** Worth of work that bridges the way to a broker nearby, on a busy machine too. What is held beyond it is only in the way of others. */
const horizonMs = 9;
/** A round trip up to here is nearby. */
const nearbyMs = 2;
/** Of what is longer: there and back for the result and for the acknowledgement, and as much again so that what is held can still grow. */
const wayFactor = 4;
/** However far. */
const mostBridgedMs = 250;
/** Held by how short tasks are alone, from a broker nearby, for the whole pool: more has a ping wait. */
const mostByLength = 64;
/** What was done longer ago, or would take longer to come, is no reason to hold anything. */
const memoryMs = 1000;
/** What handling a message costs a child, however little the task itself does. */
const overheadMs = 0.02;

interface Measurement {
  readonly jobs: number;
  readonly runMs: number;
  readonly beganAtMs: number;
  readonly endedAtMs: number;
}

export class UsefulReserve {
  #jobs = 0;
  /** Of these, all together. */
  #runMs = 0;
  #beganAtMs: number | null = null;
  #lastAtMs = Number.POSITIVE_INFINITY;
  #previous: Measurement | null = null;
  #step = 0;

  /** A job that took so long is done. */
  done(runMs: number): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastAtMs >= memoryMs) this.#beginAnew(nowMs);
    this.#lastAtMs = nowMs;
    this.#beganAtMs ??= nowMs;
    this.#jobs += 1;
    this.#runMs += runMs + overheadMs;
    if (this.#jobs < sample || nowMs - this.#beganAtMs < shortestMs) return;
    this.#previous = { jobs: this.#jobs, runMs: this.#runMs, beganAtMs: this.#beganAtMs, endedAtMs: nowMs };
    this.#jobs = 0;
    this.#runMs = 0;
    this.#beganAtMs = nowMs;
  }

  /** After a pause, of which as much counts as is remembered: one job every two seconds is no rate of many. */
  #beginAnew(nowMs: number): void {
    this.#previous = null;
    this.#jobs = 0;
    this.#runMs = 0;
    this.#beganAtMs = nowMs - memoryMs;
  }

  /** `slots`: jobs that may run at one time. `roundTripMs`: of a request to the broker. In steps, so that small changes of the rate are none of it. */
  count(slots: number, roundTripMs: number): number {
    const bridgedMs = Math.min(mostBridgedMs, horizonMs + wayFactor * Math.max(0, roundTripMs - nearbyMs));
    const wanted = this.#count(slots, bridgedMs);
    const isSame = wanted > 0.6 * this.#step && wanted < 1.7 * this.#step;
    if (!isSame) this.#step = wanted < 1 ? 0 : 2 ** Math.round(Math.log2(wanted));
    return this.#step;
  }

  #count(slots: number, bridgedMs: number): number {
    const { jobs, runMs, beganAtMs, endedAtMs } = this.#previous ?? { jobs: 0, runMs: 0, beganAtMs: this.#beganAtMs, endedAtMs: null };
    const nowMs = performance.now();
    if (beganAtMs === null || nowMs - this.#lastAtMs >= memoryMs) return 0;
    const lately = (jobs + this.#jobs) / (nowMs - beganAtMs);
    // What has come since may be a burst.
    const perMs = endedAtMs === null ? 0 : Math.min(lately, jobs / (endedAtMs - beganAtMs));
    const byLength = (bridgedMs * slots * (jobs + this.#jobs)) / (runMs + this.#runMs);
    const floor = Math.min(byLength, (mostByLength * bridgedMs) / horizonMs, lately * memoryMs);
    return Math.max(floor, perMs * bridgedMs);
  }
}
