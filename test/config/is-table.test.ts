/** What counts as a table of TOML. */
import t from 'tap';
import { isTable } from '../../src/config/is-table.ts';

t.test('tables, and neither arrays nor dates', async (t) => {
  for (const value of [{}, { a: 1 }]) t.equal(isTable(value), true);
  for (const value of [null, undefined, [], [{}], 'text', 1, true, new Date()]) t.equal(isTable(value), false);
});
