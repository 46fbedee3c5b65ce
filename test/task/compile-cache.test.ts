import { execFileSync } from 'node:child_process';
import { chmodSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

/** In a process of its own: the cache is a switch for the whole process. */
function loadWithCache(dir: string, folder: string): { readonly names: readonly string[]; readonly line: string } {
  const loader = new URL('../../src/task/loader.ts', import.meta.url).href;
  const script = `import { loadTaskModules } from ${JSON.stringify(loader)};
    const options = { compileCacheFolder: ${JSON.stringify(folder)} };
    const registry = await loadTaskModules(['tasks.ts'], ${JSON.stringify(dir)}, options);
    const broken = await loadTaskModules(['broken.ts'], ${JSON.stringify(dir)}, options).catch((error) => error.message);
    console.log(JSON.stringify({ names: registry.names(), line: broken }));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', env: {}, timeout: 20_000 });
  return JSON.parse(out) as { names: string[]; line: string };
}

const modules = { 'tasks.ts': 'export const add = (x: number) => x;', 'broken.ts': 'type A = 1;\nthrow new Error("boom");\n' };
const expected = { names: ['tasks.add'], line: 'the task module broken.ts did not load: broken.ts:2:7: Error: boom' };

t.test('compiled code is kept, and errors keep their place', async (t) => {
  const dir = t.testdir(modules);
  const folder = join(dir, 'a', 'cache');
  t.same(loadWithCache(dir, folder), expected);
  t.equal(readdirSync(folder).length, 1);
  t.same(loadWithCache(dir, folder), expected);
});

t.test('a folder that cannot be used only costs the time', async (t) => {
  const dir = t.testdir({ ...modules, open: {}, file: '' });
  chmodSync(join(dir, 'open'), 0o777);
  for (const folder of [join(dir, 'open'), join(dir, 'file'), join(dir, 'file', 'x'), '/proc/umbel', '']) {
    t.same(loadWithCache(dir, folder), expected, folder);
  }
  t.same(readdirSync(join(dir, 'open')), [], 'others could have put code there');
});
