import t from 'tap';
import { type DeadlineEntry, DeadlineHeap } from '../../src/std/deadline-heap.ts';

/** A small generator of the same numbers on every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

function drain<T>(heap: DeadlineHeap<T>): T[] {
  const values: T[] = [];
  for (let entry = heap.pop(); entry !== undefined; entry = heap.pop()) values.push(entry.value);
  return values;
}

t.test('values come out by deadline, equal deadlines in the order they went in', async (t) => {
  const heap = new DeadlineHeap<string>();
  for (const [at, value] of [
    [5, 'e'],
    [1, 'a'],
    [3, 'c1'],
    [3, 'c2'],
    [2, 'b'],
    [3, 'c3'],
  ] as const)
    heap.push(at, value);
  t.equal(heap.peek()?.value, 'a');
  t.same(drain(heap), ['a', 'b', 'c1', 'c2', 'c3', 'e']);
  t.equal(heap.pop(), undefined);
});

t.test('popDue gives only what is due', async (t) => {
  const heap = new DeadlineHeap<string>();
  heap.push(10, 'x');
  t.equal(heap.popDue(9), undefined);
  t.equal(heap.popDue(10)?.value, 'x');
  t.equal(heap.popDue(10), undefined);
});

t.test('an entry is removed once, from its own heap only', async (t) => {
  const heap = new DeadlineHeap<string>();
  const other = new DeadlineHeap<string>();
  const entry = heap.push(1, 'x');
  other.push(1, 'y');
  t.notOk(other.remove(entry));
  t.equal(other.size, 1);
  t.ok(heap.remove(entry));
  t.notOk(heap.remove(entry));
  const again = heap.push(1, 'z');
  heap.clear();
  t.notOk(heap.remove(again));
  t.equal(heap.size, 0);
  t.throws(() => heap.push(Number.NaN, 'never'));
});

t.test('ten thousand random pushes and removals agree with sorting', async (t) => {
  const next = numbers(42);
  const heap = new DeadlineHeap<number>();
  const live = new Map<number, DeadlineEntry<number>>();
  for (let i = 0; i < 10_000; i++) {
    if (live.size > 0 && next(3) === 0) {
      const key = [...live.keys()][next(Math.min(live.size, 50))] ?? 0;
      const entry = live.get(key);
      if (entry !== undefined && !heap.remove(entry)) t.fail(`entry ${key} was in the heap`);
      live.delete(key);
    } else {
      live.set(i, heap.push(next(1000), i));
    }
  }
  t.equal(heap.size, live.size);
  t.same(new Set([...heap].map((entry) => entry.value)), new Set(live.keys()));
  const expected = [...live.values()].sort((a, b) => a.at - b.at || a.value - b.value).map((entry) => entry.value);
  t.same(drain(heap), expected);
});
