/** When deferred messages are due, by a wall clock that may be set. */
import t from 'tap';
import { DelayedTags } from '../../../src/broker/redis/delayed-tags.ts';
import type { QueueList } from '../../../src/broker/redis/queue-list.ts';
import { FakeClock } from '../../../src/std/clock.ts';

function bench() {
  const clock = new FakeClock();
  const due: string[] = [];
  const tags = new DelayedTags(clock, (list) => due.push(...list.map(({ tag }) => tag)));
  const startMs = clock.now();
  const add = (tag: string, afterMs: number): void => tags.add({ tag, from: {} as QueueList }, startMs + afterMs);
  return { clock, due, tags, add, startMs };
}

t.test('to the millisecond, in the order of their times', async (t) => {
  const { clock, due, add, tags } = bench();
  add('c', 5001);
  add('a', 1000.25);
  add('b', 5000);
  clock.advance(1000);
  t.strictSame(due, [], 'not a part of a millisecond too early');
  clock.advance(1);
  t.strictSame(due, ['a']);
  clock.advance(3999);
  t.strictSame(due, ['a', 'b']);
  clock.advance(1);
  t.strictSame(due, ['a', 'b', 'c']);
  t.strictSame([tags.size, clock.pending], [0, 0]);
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
  add('b', 7_200_000);
  clock.jumpTo(startMs + 3_599_000);
  clock.advance(999);
  t.strictSame(due, []);
  clock.advance(60_000);
  t.strictSame(due, ['a']);
});

t.test('a hundred thousand of them, added in any order, come in order', async (t) => {
  const { clock, tags, startMs } = bench();
  const due: number[] = [];
  const many = new DelayedTags(clock, (list) => due.push(...list.map(({ tag }) => Number(tag))));
  for (let at = 0; at < 100_000; at += 1) {
    const ms = 1 + ((at * 7919) % 100_000);
    many.add({ tag: String(ms), from: {} as QueueList }, startMs + ms);
  }
  clock.advance(50_000);
  t.equal(due.length, 50_000);
  t.ok(due.every((ms, at) => ms === at + 1));
  t.equal(many.size, 50_000);
  t.equal(tags.size, 0);
});
