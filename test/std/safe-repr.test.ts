import t from 'tap';
import { repr, reprArgs, reprKwargs } from '../../src/std/safe-repr.ts';
import { loadVectors } from '../protocol/vectors.ts';

interface Representation {
  args_json: unknown[];
  kwargs_json: Record<string, unknown>;
  argsrepr: string;
  kwargsrepr: string;
}

/** Python's floats keep their point, and its dicts keep integer-like keys in place; a JS value has forgotten both. */
const lostInJs: ReadonlyMap<string, string> = new Map([
  ['(1, 2.0, -3.5, 1e+20, 1e-07)', '(1, 2, -3.5, 100000000000000000000, 1e-07)'],
  ['(12345678901234567890, 0.1, 100.0, 1.0)', '(12345678901234567890, 0.1, 100, 1)'],
  ["({'k': 'v', '1': 2},)", "({'1': 2, 'k': 'v'},)"],
]);

t.test('golden representations of arguments', async (t) => {
  const misc = loadVectors(t, 'misc.json') as { argument_representations: Representation[] } | null;
  if (misc === null) return;
  t.ok(misc.argument_representations.length >= 13);
  for (const { args_json, kwargs_json, argsrepr, kwargsrepr } of misc.argument_representations) {
    t.equal(reprArgs(args_json), lostInJs.get(argsrepr) ?? argsrepr, argsrepr.slice(0, 60));
    t.equal(reprKwargs(kwargs_json), kwargsrepr, kwargsrepr.slice(0, 60));
  }
});

t.test('numbers as Python reads what JSON makes of them', async (t) => {
  t.equal(repr(5), '5');
  t.equal(repr(-0), '0');
  t.equal(repr(0.0001), '0.0001');
  t.equal(repr(0.00001), '1e-05');
  t.equal(repr(1.5e-10), '1.5e-10');
  t.equal(repr(1e21), '1e+21');
  t.equal(repr(1e300), '1e+300');
  t.equal(repr(Number.NaN), 'nan');
  t.equal(repr(-Infinity), '-inf');
  t.equal(repr(12345678901234567890n), '12345678901234567890');
});

t.test('values JSON does not know', async (t) => {
  t.equal(repr(undefined), 'None');
  t.equal(repr(new Date('2030-01-02T03:04:05.678Z')), 'datetime.datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)');
  t.equal(repr(new Date('2030-01-02T03:04:00Z')), 'datetime.datetime(2030, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)');
  t.equal(repr(new Date('2030-01-02T03:04:00.500Z')), 'datetime.datetime(2030, 1, 2, 3, 4, 0, 500000, tzinfo=datetime.timezone.utc)');
  t.equal(repr(new Set()), 'set()');
  t.equal(repr(new Set([1, 'a'])), "{1, 'a'}");
  t.equal(repr(new Map([['k', [1]]])), "{'k': [1]}");
  t.equal(repr(Buffer.from('raw bytes')), "b'raw bytes'");
  t.equal(repr(Buffer.from([0xff, 0])), "b'ff00'");
  t.equal(repr(new RangeError("it's")), "RangeError('it\\'s')");
  t.equal(repr(Promise.resolve()), '<Promise>');
  t.equal(
    repr(function named() {}),
    '<function named>',
  );
});

t.test('a value that resists', async (t) => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  t.equal(repr(cycle), '[[[[...]]]]');
  const trap = {
    get secret() {
      throw new Error('no');
    },
  };
  t.equal(repr(trap), '<Unrepresentable>');
});

t.test('the budget: what Celery 5.2.6 prints', async (t) => {
  const cases: [string, string][] = [
    [repr('word word word', 9), "'word...'"],
    [repr('abcdefghij', 4), "'abcd...'"],
    [reprArgs(['abcdefghij', 2], 6), "('abcde...', ...)"],
    [reprArgs([[1, 2, 3], 4], 5), '([1, , ...])'],
    [reprArgs([[1, 2, 3], 4], 6), '([1, 2..., ...])'],
    [repr({ a: { b: [1, 2, 3] } }, 12), "{'a': {'b': , ...]}}"],
    [reprArgs([[1], 2], 5), '([1], , ...)'],
    [repr(Buffer.alloc(10, 'a'), 4), "b'aaaa...'"],
    [reprArgs([12345678], 5), '(1234..., ...'],
    [repr([['xxxxx']], 7), "[['xxxxx...', ...]"],
    [reprArgs([1], 1), '(, ...,)'],
    [reprArgs([1], 2), '(1..., ...'],
    [repr([Buffer.from('abc')], 1), '[, ...]'],
    [repr([[1, 2], [3]], 2), '[[, ...]]'],
  ];
  for (const [actual, expected] of cases) t.equal(actual, expected);
  t.ok(repr('x'.repeat(1e6)).length < 1100);
});
