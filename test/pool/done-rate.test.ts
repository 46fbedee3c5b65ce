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
  t.equal(rate.usefulReserve, 512, '16 a millisecond, for 25 milliseconds, in steps');
  done(128, 1280);
  t.equal(rate.usefulReserve, 4);
  done(640, 40);
  t.equal(rate.usefulReserve, 512);
  nowMs += 60_000;
  t.equal(rate.usefulReserve, 0, 'of long ago');
});
