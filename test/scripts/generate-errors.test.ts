/** docs/errors.md and the catalogue agree, both ways; a stale page is noticed. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { catalogue, exitStatus } from '../../src/errors.ts';

const script = resolve(import.meta.dirname, '../../scripts/generate-errors.ts');

function generate(root: string, ...args: string[]) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, UMBEL_GENERATE_ROOT: root } });
}

t.test('the committed page names exactly the errors of the catalogue', async (t) => {
  const page = readFileSync(resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (.+) \|$/gm)].map(([, code, exit, meaning]) => ({
    code,
    exit: Number(exit),
    meaning,
  }));
  const wanted = Object.entries(catalogue).map(([code, { exit, meaning }]) => ({ code, exit, meaning }));
  const byCode = (one: { code: string | undefined }, other: { code: string | undefined }) =>
    (one.code ?? '') < (other.code ?? '') ? -1 : 1;
  t.same(rows.toSorted(byCode), wanted.toSorted(byCode));
});

t.test('every exit status is explained', async (t) => {
  const page = readFileSync(resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8');
  for (const [name, status] of Object.entries(exitStatus)) t.match(page, new RegExp(`^\\| ${status} \\| \\S`, 'm'), name);
});

t.test('--check fails on a missing and on a stale page, and writes nothing', async (t) => {
  const root = t.testdir();
  const missing = generate(root, '--check');
  t.equal(missing.status, 1);
  t.match(missing.stderr, /docs\/errors\.md does not exist/);
  t.equal(generate(root).status, 0);
  t.equal(generate(root, '--check').status, 0);
  appendFileSync(join(root, 'docs/errors.md'), 'edited by hand\n');
  const stale = generate(root, '--check');
  t.equal(stale.status, 1);
  t.match(stale.stderr, /docs\/errors\.md is not what the sources say/);
  t.match(readFileSync(join(root, 'docs/errors.md'), 'utf8'), /edited by hand/);
});
