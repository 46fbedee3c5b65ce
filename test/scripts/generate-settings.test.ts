/** docs/settings.md and config.example.toml are current and name every setting; stale ones are noticed. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { dottedName } from '../../src/config/setting.ts';
import { settingNames, settingsTable } from '../../src/config/settings-table.ts';

const repository = resolve(import.meta.dirname, '../..');

function generate(root: string, ...args: string[]) {
  const script = join(repository, 'scripts/generate-settings.ts');
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, UMBEL_GENERATE_ROOT: root } });
}

t.test('the committed files are current', async (t) => {
  const { status, stderr } = generate(repository, '--check');
  t.equal(stderr, '');
  t.equal(status, 0);
});

t.test('the page has one heading per setting, and its flags', async (t) => {
  const page = readFileSync(join(repository, 'docs/settings.md'), 'utf8');
  t.same([...page.matchAll(/^### (.+)$/gm)].map((match) => match[1]).toSorted(), settingNames.map(dottedName).toSorted());
  for (const name of settingNames) for (const flag of settingsTable[name].flag?.names ?? []) t.match(page, `\`${flag}`, flag);
});

t.test('--check fails on missing and stale files and writes nothing', async (t) => {
  const root = t.testdir();
  const missing = generate(root, '--check');
  t.equal(missing.status, 1);
  t.match(missing.stderr, /docs\/settings\.md does not exist[\s\S]*config\.example\.toml does not exist/);
  t.equal(generate(root).status, 0);
  t.equal(generate(root, '--check').status, 0);
  appendFileSync(join(root, 'config.example.toml'), '# edited by hand\n');
  const stale = generate(root, '--check');
  t.equal(stale.status, 1);
  t.match(stale.stderr, /^config\.example\.toml is not what the sources say/);
});
