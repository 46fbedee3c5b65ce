import t from 'tap';
import { DeadlineColumns } from '../../src/std/deadline-columns.ts';

function drain(heap: DeadlineColumns): number[][] {
  const all: number[][] = [];
  for (let entry = heap.popDue(Infinity); entry !== undefined; entry = heap.popDue(Infinity))
    all.push([entry.at, entry.number, entry.kind]);
  return all;
}

t.test('by deadline, equal ones by their number', async (t) => {
  const heap = new DeadlineColumns();
  t.equal(heap.nextAt, undefined);
  for (const [at, number, kind] of [
    [5, 1, 0],
    [1, 9, 1],
    [3, 4, 2],
    [3, 2, 4_294_967_295],
    [3, 3, 0],
  ] as const)
    heap.push(at, number, kind);
  t.strictSame([heap.size, heap.nextAt], [5, 1]);
  t.strictSame(heap.first(2), [
    { at: 1, number: 9, kind: 1 },
    { at: 3, number: 2, kind: 4_294_967_295 },
  ]);
  t.strictSame(drain(heap), [
    [1, 9, 1],
    [3, 2, 4_294_967_295],
    [3, 3, 0],
    [3, 4, 2],
    [5, 1, 0],
  ]);
  t.strictSame([heap.size, heap.nextAt, heap.popDue(Infinity)], [0, undefined, undefined]);
});

t.test('popDue gives only what is due, and what is no number is refused', async (t) => {
  const heap = new DeadlineColumns();
  heap.push(10, 1, 0);
  t.equal(heap.popDue(9), undefined);
  t.throws(() => heap.push(Number.NaN, 1, 0), RangeError);
  t.throws(() => heap.push(1, Number.NaN, 0), RangeError);
  t.strictSame(heap.popDue(10), { at: 10, number: 1, kind: 0 });
  heap.push(1, 1, 0);
  heap.clear();
  t.strictSame([heap.size, [...heap]], [0, []]);
});

t.test('twenty thousand in and out in any order agree with sorting', async (t) => {
  const heap = new DeadlineColumns();
  let state = 42;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  let model: number[][] = [];
  let wrong = 0;
  for (let number = 0; number < 20_000; number++) {
    const entry = [next(500), number, next(7)];
    heap.push(entry[0]!, entry[1]!, entry[2]!);
    model.push(entry);
    // In floods and ebbs, so that it grows and shrinks several times.
    if (number % 5000 !== 4999) continue;
    model.sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!);
    for (let out = 0; out < 4900; out++) {
      const { at, number: got, kind } = heap.popDue(Infinity)!;
      const expected = model[out]!;
      if (at !== expected[0] || got !== expected[1] || kind !== expected[2]) wrong++;
    }
    model = model.slice(4900);
  }
  t.equal(wrong, 0);
  t.strictSame(drain(heap), model);
});
