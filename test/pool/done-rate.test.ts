/** How many messages are worth holding, by how many jobs are done. */
import t from 'tap';
import { DoneRate } from '../../src/pool/done-rate.ts';

t.test('it grows with the jobs done and falls when nothing happens', async (t) => {
  let nowMs = 1000;
  t.intercept(performance, 'now', { value: () => nowMs });
  const rate = new DoneRate();
  const done = (jobs: number, ms: number): void => {
    for (let job = 0; job < jobs; job += 1) {
      nowMs += ms / jobs;
      rate.note();
    }
  };
  t.equal(rate.usefulReserve, 0, 'nothing is known');
  done(64, 10);
  t.equal(rate.usefulReserve, 0, 'nor after the first');
  done(640, 40);
  t.equal(rate.usefulReserve, 128, '16 a millisecond, for 6 milliseconds, in steps');
  done(640, 2560);
  t.equal(rate.usefulReserve, 2, 'a quarter a millisecond');
  done(1280, 80);
  t.equal(rate.usefulReserve, 128);
  nowMs += 60_000;
  t.equal(rate.usefulReserve, 0, 'of long ago');
});

t.test('bursts have the rate of the whole', async (t) => {
  let nowMs = 1000;
  t.intercept(performance, 'now', { value: () => nowMs });
  const rate = new DoneRate();
  const seen = new Set<number>();
  for (let burst = 0; burst < 100; burst += 1) {
    nowMs += 25;
    for (let job = 0; job < 256; job += 1) {
      nowMs += 0.002;
      rate.note();
      if (burst > 2 && job % 64 === 0) seen.add(rate.usefulReserve);
    }
  }
  t.same([...seen].sort(), [64], '10 a millisecond, and 500 in a burst');
});
