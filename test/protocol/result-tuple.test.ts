import t from 'tap';
import { readResultTuple, taskIdsOf } from '../../src/protocol/result-tuple.ts';
import { loadVectors } from './vectors.ts';

interface Vectors {
  readonly results?: readonly { readonly name: string; readonly json?: { readonly result: unknown } }[];
  readonly result_tuples?: readonly { readonly name: string; readonly json: unknown }[];
}

t.test('tuples that Python wrote', async (t) => {
  const stored = loadVectors(t, 'results-redis.json') as Vectors | null;
  const printed = loadVectors(t, 'signatures.json') as Vectors | null;
  if (stored === null || printed === null) return;
  const group = stored.results?.find(({ name }) => name === 'group-meta')?.json?.result;
  const tuple = readResultTuple(group);
  t.strictSame(tuple, group, 'read as it was written');
  t.equal(taskIdsOf(tuple).length, tuple[1]?.length);
  t.ok((printed.result_tuples ?? []).length >= 4);
  for (const { name, json } of printed.result_tuples ?? []) t.strictSame(readResultTuple(json), json, name);
});

t.test('old and shortened forms', async (t) => {
  t.strictSame(readResultTuple('id'), [['id', null], null]);
  t.strictSame(readResultTuple([['id']]), [['id', null], null]);
  t.strictSame(
    readResultTuple([
      ['g', null],
      ['a', [['b', null], null]],
    ]),
    [
      ['g', null],
      [
        [['a', null], null],
        [['b', null], null],
      ],
    ],
  );
  t.strictSame(
    taskIdsOf([
      ['g', null],
      [
        [['a', null], null],
        [['h', null], [[['b', null], null]]],
      ],
    ]),
    ['a', 'b'],
  );
});

t.test('what is none', async (t) => {
  for (const value of [null, 1, {}, [], [1], [['a', null], 1], [['a', 5], null]])
    t.throws(() => readResultTuple(value), { code: 'MESSAGE_UNDECODABLE' }, JSON.stringify(value));
  let deep: unknown = [['a', null], null];
  for (let level = 0; level < 1000; level++) deep = [['g', null], [deep]];
  t.throws(() => readResultTuple(deep), { code: 'MESSAGE_UNDECODABLE' });
});
