/** One token, and no burst; the rate is kept to over time however late the timers are. */
import t from 'tap';
import { TokenBucket } from '../../src/std/token-bucket.ts';

t.test('one at once, then one in its time, and nothing is saved up', async (t) => {
  const bucket = new TokenBucket(10);
  t.equal(bucket.take(1000, false), true);
  t.equal(bucket.take(1000, false), false);
  t.equal(bucket.nextMs, 1100);
  t.equal(bucket.take(1099.9, false), false);
  t.equal(bucket.take(1100, false), true);
  t.equal(bucket.take(61_000, false), true, 'after a long pause');
  t.equal(bucket.take(61_000, false), false, 'one and no more');
  t.equal(bucket.nextMs, 61_100);
});

t.test('who has waited makes up for a little lateness, and not for more', async (t) => {
  const bucket = new TokenBucket(10);
  bucket.take(0, false);
  bucket.take(112, true);
  t.equal(bucket.nextMs, 200, 'as if it had been taken when it was due');
  bucket.take(500, true);
  t.equal(bucket.nextMs, 580);
  const fast = new TokenBucket(5000);
  fast.take(0, false);
  let taken = 0;
  for (let ms = 1; ms <= 1000; ms += 1) while (fast.take(ms, true)) taken += 1;
  t.ok(Math.abs(taken - 5000) <= 1, 'more than one in a millisecond');
});

t.test('another rate counts from the last token', async (t) => {
  const bucket = new TokenBucket(1 / 3600);
  bucket.take(0, false);
  bucket.setRate(1);
  t.equal(bucket.nextMs, 1000);
  bucket.setRate(0.1);
  t.equal(bucket.take(9999, true), false);
  t.equal(bucket.take(10_000, true), true);
});
