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
  const from = {} as QueueList;
  const add = (number: number, afterMs: number): void => tags.add({ tag: `lease.${number}`, from }, startMs + afterMs);
  return { clock, due, tags, add, startMs };
}

t.test('to the millisecond, in the order of their times', async (t) => {
  const { clock, due, add, tags } = bench();
  add(3, 5001);
  add(1, 1000.25);
  add(2, 5000);
  clock.advance(1000);
  t.strictSame(due, [], 'not a part of a millisecond too early');
  clock.advance(1);
  t.strictSame(due, ['lease.1']);
  clock.advance(3999);
  t.strictSame(due, ['lease.1', 'lease.2']);
  clock.advance(1);
  t.strictSame(due, ['lease.1', 'lease.2', 'lease.3']);
  t.strictSame([tags.size, clock.pending], [0, 0]);
});

t.test('a clock that is set back: nothing is due before its time', async (t) => {
  const { clock, due, add, startMs } = bench();
  add(1, 10_000);
  clock.advance(5000);
  clock.jumpTo(startMs - 3_600_000);
  clock.advance(3_600_000 + 9_999);
  t.strictSame(due, []);
  clock.advance(1);
  t.strictSame(due, ['lease.1']);
});

t.test('a clock that is set forward, or a machine that slept: noticed within a minute', async (t) => {
  const { clock, due, add, startMs } = bench();
  add(1, 3_600_000);
  add(2, 7_200_000);
  clock.jumpTo(startMs + 3_599_000);
  clock.advance(999);
  t.strictSame(due, []);
  clock.advance(60_000);
  t.strictSame(due, ['lease.1']);
});

t.test('a hundred thousand of them, added in any order, come in order', async (t) => {
  const { clock, tags, startMs } = bench();
  const due: number[] = [];
  const many = new DelayedTags(clock, (list) => due.push(...list.map(({ tag }) => Number(tag.slice('lease.'.length)))));
  const from = {} as QueueList;
  for (let at = 0; at < 100_000; at += 1) {
    const ms = 1 + ((at * 7919) % 100_000);
    many.add({ tag: `lease.${ms}`, from }, startMs + ms);
  }
  clock.advance(50_000);
  t.equal(due.length, 50_000);
  t.ok(due.every((ms, at) => ms === at + 1));
  t.equal(many.size, 50_000);
  t.equal(tags.size, 0);
});

t.test('a tag comes back as it was, of whichever lease and list, and so do those that wait', async (t) => {
  const { clock, startMs } = bench();
  const [one, other] = [{ queue: 'one' } as QueueList, { queue: 'other' } as QueueList];
  const seen: unknown[] = [];
  const tags = new DelayedTags(clock, (list) => seen.push(...list.map(({ tag, from }) => [tag, from.queue])));
  tags.add({ tag: 'a.b.9007199254740991', from: one }, startMs + 3);
  tags.add({ tag: 'a.b.7', from: other }, startMs + 2);
  tags.add({ tag: 'c.7', from: one }, startMs + 1);
  t.strictSame(tags.next(2), [
    { tag: 'c.7', from: one, dueAtMs: startMs + 1 },
    { tag: 'a.b.7', from: other, dueAtMs: startMs + 2 },
  ]);
  t.strictSame([...tags.tags()].sort(), ['a.b.7', 'a.b.9007199254740991', 'c.7']);
  clock.advance(1);
  t.strictSame(seen, [['c.7', 'one']]);
  t.strictSame(
    tags.takeAll().map(({ tag, from }) => [tag, from.queue]),
    [
      ['a.b.7', 'other'],
      ['a.b.9007199254740991', 'one'],
    ],
  );
  t.strictSame([tags.size, clock.pending], [0, 0]);
});
