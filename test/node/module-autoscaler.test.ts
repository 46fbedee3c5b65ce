/** The module of worker.autoscaler: its forms, and what is said of one that does not do. */
import { join } from 'node:path';
import t from 'tap';
import { loadAutoscaler } from '../../src/node/module-autoscaler.ts';

const state = { reserved: 4, processes: 1, min: 1, max: 9 };

t.test('a function named autoscale, or the default one', async (t) => {
  const folder = t.testdir({
    'named.mjs': 'export const autoscale = ({ reserved }) => reserved + 1;',
    'default.mjs': 'export default ({ reserved }) => reserved + 2;',
    'typed.ts': 'export const autoscale = (state: { reserved: number }): number => state.reserved + 3;',
    'common.cjs': 'module.exports = { autoscale: ({ reserved }) => reserved + 4 };',
    'bare.cjs': 'module.exports = ({ reserved }) => reserved + 5;',
  });
  for (const [at, file] of ['named.mjs', 'default.mjs', 'typed.ts', 'common.cjs', 'bare.cjs'].entries())
    t.equal((await loadAutoscaler(join(folder, file)))(state), 5 + at, file);
});

t.test('what does not do', async (t) => {
  const folder = t.testdir({ 'none.mjs': 'export const other = 1;', 'throws.mjs': 'throw new Error("not today");' });
  await t.rejects(loadAutoscaler(join(folder, 'absent.ts')), { code: 'AUTOSCALER_FAILED', message: /must name a module that is there/ });
  await t.rejects(loadAutoscaler(join(folder, 'none.mjs')), { code: 'AUTOSCALER_FAILED', message: /must export a function/ });
  await t.rejects(loadAutoscaler(join(folder, 'throws.mjs')), { code: 'AUTOSCALER_FAILED', message: /did not load: .*not today/ });
});
