/** How many messages are worth holding, by what was done lately and how far the broker is. */
import t, { type Test } from 'tap';
import { UsefulReserve } from '../../src/pool/useful-reserve.ts';

const longMs = 1000;
const shortMs = 0.03;

class Bench {
  readonly reserve = new UsefulReserve();
  nowMs = 1000;

  constructor(t: Test) {
    t.intercept(performance, 'now', { value: () => this.nowMs });
  }

  /** So many jobs end within so long, each of which took `runMs`. */
  done(jobs: number, ms: number, runMs: number): void {
    for (let job = 0; job < jobs; job += 1) {
      this.nowMs += ms / jobs;
      this.reserve.done(runMs);
    }
  }
}

t.test('by the rate: it grows with the jobs done and falls when nothing happens', async (t) => {
  const bench = new Bench(t);
  t.equal(bench.reserve.count(1, 0), 0, 'nothing is known');
  bench.done(64, 10, longMs);
  t.equal(bench.reserve.count(1, 0), 0, 'nor after less than a measurement');
  bench.done(640, 40, longMs);
  t.equal(bench.reserve.count(1, 0), 128, '16 a millisecond, for 9 milliseconds, in steps');
  bench.done(640, 2560, longMs);
  t.equal(bench.reserve.count(1, 0), 2, 'a quarter a millisecond');
  bench.done(1280, 80, longMs);
  t.equal(bench.reserve.count(1, 0), 128);
  bench.nowMs += 999;
  t.ok(bench.reserve.count(1, 0) > 0);
  bench.nowMs += 1;
  t.equal(bench.reserve.count(1, 0), 0, 'what was done before says nothing any more');
});

t.test('a pause is no part of what follows it', async (t) => {
  const bench = new Bench(t);
  bench.done(640, 40, longMs);
  bench.nowMs += 3_600_000;
  bench.done(64, 40, longMs);
  bench.done(640, 40, longMs);
  t.equal(bench.reserve.count(1, 0), 128);
  const seldom = new Bench(t);
  for (let time = 0; time < 20; time += 1) seldom.done(1, 2000, shortMs);
  t.equal(seldom.reserve.count(2, 0), 1, 'one in two seconds is no rate');
});

t.test('however far the broker is, a quarter of a second is bridged', async (t) => {
  const bench = new Bench(t);
  bench.done(640, 640, longMs);
  t.equal(bench.reserve.count(1, 1e6), 256);
});

t.test('bursts have the rate of the whole, whenever it is looked at', async (t) => {
  const bench = new Bench(t);
  const seen = new Set<number>();
  for (let burst = 0; burst < 100; burst += 1) {
    bench.nowMs += 25;
    for (let job = 0; job < 256; job += 1) {
      bench.done(1, 0.002, longMs);
      if (burst > 2) seen.add(bench.reserve.count(1, 0));
    }
    if (burst > 2) seen.add(bench.reserve.count(1, 0));
  }
  t.same([...seen], [64], '10 a millisecond, and 500 in a burst');
});

t.test('small changes of the rate are no change', async (t) => {
  const bench = new Bench(t);
  // For 9 milliseconds 90 and 91: on either side of the middle between 64 and 128.
  const seen = new Set<number>();
  for (let time = 0; time < 20; time += 1) {
    bench.done(640, 640 / (time % 2 === 0 ? 10 : 10.12), longMs);
    seen.add(bench.reserve.count(1, 0));
  }
  t.equal(seen.size, 1, String([...seen]));
});

t.test('by the length of tasks, whatever comes from the broker', async (t) => {
  const bench = new Bench(t);
  bench.done(20, 100, 0.98);
  t.equal(bench.reserve.count(2, 0), 16, 'tasks of a millisecond, two at a time, for nine');
  t.equal(bench.reserve.count(8, 0), 64, 'or eight');
  const short = new Bench(t);
  short.done(100, 500, shortMs);
  t.equal(short.reserve.count(2, 0), 64, 'no more than that for short ones');
  const long = new Bench(t);
  long.done(100, 10_000, 200);
  t.equal(long.reserve.count(2, 0), 0, 'none of long ones');
  const few = new Bench(t);
  few.done(4, 2000, shortMs);
  t.equal(few.reserve.count(2, 0), 2, 'nor more than come in a second');
  short.nowMs += 1000;
  t.equal(short.reserve.count(2, 0), 0, 'none a second after the last');
});

t.test('a mixture is as long as its mean', async (t) => {
  const bench = new Bench(t);
  for (let task = 0; task < 100; task += 1) bench.done(1, 5, task % 10 === 0 ? 200 : shortMs);
  t.equal(bench.reserve.count(2, 0), 2, 'what the short ones among them would be is not it');
});

/** Holds what is worth holding of a broker that takes `cycleMs` from a message to the one in its place. */
function heldOf(t: Test, { cycleMs, roundTripMs, taskMs }: { cycleMs: number; roundTripMs: number; taskMs: number }): number {
  const bench = new Bench(t);
  const children = 2;
  let held = 4 * children;
  for (let cycle = 0; cycle < 200; cycle += 1) {
    const beganAtMs = bench.nowMs;
    bench.done(held, (held * taskMs) / children, taskMs);
    bench.nowMs = Math.max(bench.nowMs, beganAtMs + cycleMs);
    held = Math.max(4 * children, bench.reserve.count(children, roundTripMs));
  }
  return held;
}

t.test('a broker far away is no reason to do less', async (t) => {
  // 0.2 ms and two at a time: 10 a millisecond.
  const taskMs = 0.2;
  for (const roundTripMs of [3, 5, 10, 30]) {
    // There and back for the result, and for the acknowledgement.
    const cycleMs = 2 * roundTripMs;
    const held = heldOf(t, { cycleMs, roundTripMs, taskMs });
    const least = (cycleMs * 2) / taskMs;
    t.ok(held >= 0.7 * least && held <= 6 * least, `${held} of a broker ${roundTripMs} ms away, ${least} are done in a cycle`);
  }
});

t.test('nor is one that is slow to write', async (t) => {
  t.equal(heldOf(t, { cycleMs: 8, roundTripMs: 0.5, taskMs: 0.1 }), 64);
  t.equal(heldOf(t, { cycleMs: 8, roundTripMs: 0.5, taskMs: 1 }), 16);
});
