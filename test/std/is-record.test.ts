/** What counts as an object of JSON. */
import t from 'tap';
import { isRecord } from '../../src/std/is-record.ts';

t.test('objects, and neither arrays nor null', async (t) => {
  for (const value of [{}, { a: 1 }, Object.create(null)]) t.equal(isRecord(value), true);
  for (const value of [null, undefined, [], [{}], 'text', 1, true, () => {}]) t.equal(isRecord(value), false);
});
