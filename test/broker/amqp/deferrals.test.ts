/** When deferred messages are due, by a wall clock that may be set. */
import t from 'tap';
import type { AmqpDelivery } from '../../../src/broker/amqp/amqp-delivery.ts';
import { Deferrals } from '../../../src/broker/amqp/deferrals.ts';
import { FakeClock } from '../../../src/std/clock.ts';

function bench() {
  const clock = new FakeClock();
  const due: unknown[] = [];
  const deferrals = new Deferrals(clock, ({ tag }) => due.push(tag));
  const startMs = clock.now();
  const add = (tag: string, afterMs: number): void => deferrals.add({ tag } as unknown as AmqpDelivery, startMs + afterMs);
  return { clock, due, add, startMs };
}

t.test('to the millisecond, in the order of their times', async (t) => {
  const { clock, due, add } = bench();
  add('c', 5001);
  add('a', 1000.25);
  add('b', 5000);
  clock.advance(1000);
  t.strictSame(due, [], 'not a part of a millisecond too early');
  clock.advance(1);
  t.strictSame(due, ['a']);
  clock.advance(4000);
  t.strictSame(due, ['a', 'b', 'c']);
  t.equal(clock.pending, 0);
});

t.test('a clock that is set back: nothing is due before its time', async (t) => {
  const { clock, due, add, startMs } = bench();
  add('a', 10_000);
  clock.advance(5000);
  clock.jumpTo(startMs - 3_600_000);
  clock.advance(3_600_000 + 9_999);
  t.strictSame(due, []);
  clock.advance(1);
  t.strictSame(due, ['a']);
});

t.test('a clock that is set forward, or a machine that slept: noticed within a minute', async (t) => {
  const { clock, due, add, startMs } = bench();
  add('a', 3_600_000);
  clock.jumpTo(startMs + 3_599_000);
  clock.advance(999);
  t.strictSame(due, []);
  clock.advance(60_000);
  t.strictSame(due, ['a']);
});
