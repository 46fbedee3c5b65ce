import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { installApi } from '../../src/task/api-module.ts';

t.test('umbel is this program, for import and require, whatever lies in node_modules', async (t) => {
  const task = () => 'embedded';
  installApi({ task, App: class {}, 'not-a-name': 1 });
  installApi({ task, App: class {} });
  const dir = t.testdir({
    'package.json': '{}',
    'a.mjs':
      "import { task, App } from 'umbel'; import * as all from 'umbel'; export { task, App }; export const names = Object.keys(all);",
    'b.cjs': "module.exports = require('umbel');",
    'c.mts': "import { task } from 'umbel'; import other from 'umbel-other'; export const found = [task(), other];",
    node_modules: {
      umbel: { 'index.js': "exports.task = () => 'installed';" },
      'umbel-other': { 'index.js': "module.exports = 'other';" },
    },
  });
  const a = (await import(pathToFileURL(join(dir, 'a.mjs')).href)) as { task: unknown; names: string[] };
  t.equal(a.task, task);
  t.same(a.names, ['App', 'task']);
  const b = createRequire(import.meta.url)(join(dir, 'b.cjs')) as { task: unknown };
  t.equal(b.task, task);
  const c = (await import(pathToFileURL(join(dir, 'c.mts')).href)) as { found: unknown };
  t.same(c.found, ['embedded', 'other']);
});
