/** Remote commands in modules: found, checked, and refused with the module's name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { builtinCommands, remoteCommands } from '../../src/node/module-commands.ts';
import { controlCommand, inspectCommand } from '../../src/task/control-module.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbel-commands-'));
t.teardown(() => rmSync(folder, { recursive: true }));

let count = 0;
function load(...texts: string[]) {
  const paths = texts.map((text) => {
    const path = join(folder, `commands-${++count}.mjs`);
    writeFileSync(path, `import { controlCommand, inspectCommand } from 'umbel';\n${text}`);
    return path;
  });
  return remoteCommands(loadConfig({ flags: {}, env: { UMBEL_WORKER_CONTROL_MODULES: paths.join(',') }, cwd: folder, file: undefined }));
}

t.test('commands of modules stand behind those of Celery', async (t) => {
  t.same(await load(), builtinCommands);
  const all = await load(
    `export const level = inspectCommand({ aliases: ['lvl'], args: [{ name: 'ids', rest: true }], signature: '<id> …', help: 'x' }, () => 1);`,
    `export default { named: controlCommand({ name: 'other', timeoutSeconds: 5 }, () => ({ ok: 2 })) };`,
  );
  const own = all.slice(builtinCommands.length);
  t.match(own, [
    { name: 'level', kind: 'inspect', aliases: ['lvl'], arguments: [{ name: 'ids' }], signature: '<id> …', help: 'x' },
    { name: 'other', kind: 'control', arguments: [], timeoutSeconds: 5 },
  ]);
  t.equal(own[0]?.run({} as never, {}), 1);
});

t.test('what is wrong is said with the module', async (t) => {
  const code = 'CONTROL_MODULE_FAILED';
  await t.rejects(load(`export const ping = inspectCommand({}, () => 1);`), { code, message: /got ping twice/ });
  await t.rejects(load(`export const nothing = 1;`), { code, message: /got none \(.*commands-\d+\.mjs\)/ });
  await t.rejects(load(`throw new Error('broken');`), { code, message: /did not load: broken/ });
  await t.rejects(load(`export const x = inspectCommand({ arguments: [] }, () => 1);`), { code, message: /got arguments/ });
  const missing = loadConfig({ flags: {}, env: { UMBEL_WORKER_CONTROL_MODULES: join(folder, 'none.ts') }, cwd: folder, file: undefined });
  await t.rejects(remoteCommands(missing), { code, message: /got .*none\.ts/ });
  t.throws(() => inspectCommand({}, 1 as never), { code: 'USAGE' });
  t.throws(() => controlCommand({ args: [{ name: 'a', rest: true }, { name: 'b' }] }, () => 1), {
    code: 'USAGE',
    message: /must be the last, got a/,
  });
  t.throws(() => controlCommand({ args: ['a'] as never }, () => 1), { code: 'USAGE' });
});
