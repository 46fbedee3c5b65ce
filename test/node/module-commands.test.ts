/** Remote commands in modules: found, checked, and refused with the module's name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { Panel } from '../../src/control/panel.ts';
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

t.test('arguments are what the module says they are, whoever sends them', async (t) => {
  const found = await load(
    `const args = [
       { name: 'n', default: null, type: 'integer' },
       { name: 'rate', default: 1, type: 'number' },
       { name: 'on', default: false, type: 'boolean' },
       { name: 'to', default: '', type: 'text' },
       { name: 'any', default: 0 },
       { name: 'ids', default: [], type: 'integer', rest: true },
     ];
     export const say = controlCommand({ args }, (worker, args) => args);`,
  );
  const panel = new Panel(found);
  const say = (args: Record<string, unknown>) => panel.call({} as never, 'say', args, () => {});
  const none = { n: null, rate: 1, on: false, to: '', any: 0, ids: [] };
  t.same(await say({}), none);
  t.same(await say({ n: '7', rate: '0.5', on: 'yes', to: 'x', any: [1], ids: ['1', 2], more: 1 }), {
    n: 7,
    rate: 0.5,
    on: true,
    to: 'x',
    any: [1],
    ids: [1, 2],
    more: 1,
  });
  t.same(await say({ on: 1, ids: 3 }), { ...none, on: true, ids: [3] }, 'as Flower and Python programs send it');
  for (const [args, said] of [
    [{ n: 'x' }, `ValueError("n must be a number, got 'x'")`],
    [{ n: 1.5 }, `ValueError('n must be a whole number, got 1.5')`],
    [{ rate: null }, `ValueError('rate must be a number, got null')`],
    [{ on: 'x' }, `ValueError("on must be true or false, got 'x'")`],
    [{ on: 2 }, `ValueError('on must be true or false, got 2')`],
    [{ to: 5 }, `TypeError('to must be a text, got 5')`],
    [{ ids: [1, {}] }, `ValueError('ids must be a number, got {}')`],
  ] as const)
    t.same(await say(args), { error: said });
});
