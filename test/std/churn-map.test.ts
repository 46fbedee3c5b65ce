/** A Map for what comes and goes: as any Map, and what has gone is not kept by those that came after it. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { ChurnMap } from '../../src/std/churn-map.ts';
import { ChurnSet } from '../../src/std/churn-set.ts';

t.test('it has what a Map has, in the same order, however much has come and gone', async (t) => {
  const map = new ChurnMap<number, string>();
  const twin = new Map<number, string>();
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let step = 0; step < 20_000; step += 1) {
    const key = random(300);
    if (random(5) < 3) {
      map.set(key, `${step}`);
      twin.set(key, `${step}`);
    } else if (map.delete(key) !== twin.delete(key)) t.fail(`deleting ${key} at ${step}`);
    if (map.get(key) !== twin.get(key) || map.has(key) !== twin.has(key)) t.fail(`asking for ${key} at ${step}`);
  }
  t.strictSame([...map], [...twin]);
  t.strictSame([[...map.keys()], [...map.values()], [...map.entries()]], [[...twin.keys()], [...twin.values()], [...twin.entries()]]);
  const heard: unknown[] = [];
  map.forEach((value, key, of) => void heard.push(value, key, of === map));
  t.strictSame(
    heard,
    [...twin].flatMap(([key, value]) => [value, key, true]),
  );
  t.equal(map.size, twin.size);
  map.clear();
  t.strictSame([map.size, [...map]], [0, []]);
});

t.test('a set', async (t) => {
  const set = new ChurnSet<number>();
  for (let value = 0; value < 5000; value += 1) {
    set.add(value);
    if (value >= 3) t.equal(set.delete(value - 3) && !set.has(value - 3), true);
  }
  t.strictSame([set.size, [...set], [...set.values()], set.delete(1)], [3, [4997, 4998, 4999], [4997, 4998, 4999], false]);
  set.clear();
  t.equal(set.size, 0);
});

t.test('what has gone is freed by the collector of young objects, after a full collection as before', async (t) => {
  setFlagsFromString('--expose-gc');
  // Or V8 may take what the loop below makes for long-lived, and make it in the old space.
  setFlagsFromString('--no-allocation-site-pretenuring');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  const map = new ChurnMap<object, object>();
  const keys: object[] = [];
  const churn = (count: number): void => {
    for (let step = 0; step < count; step += 1) {
      const key = { text: new Array(100).fill(step) };
      keys.push(key);
      map.set(key, { key });
      if (keys.length > 500) map.delete(keys.shift() as object);
    }
  };
  churn(5000);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let round = 0; round < 20; round += 1) {
    churn(1000);
    collect({ type: 'minor' });
  }
  const megabytes = (process.memoryUsage().heapUsed - before) / 1024 / 1024;
  t.ok(megabytes < 6, `of 20 MB that came and went ${megabytes.toFixed(1)} MB are there`);
});
