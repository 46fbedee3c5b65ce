/** The file check passes a tree that keeps the rules and names each rule that is broken. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t from 'tap';

const script = resolve(import.meta.dirname, '../../scripts/check-files.ts');
const path = [
  'main',
  'cli/worker',
  'node/worker-node',
  'consumer/consumer',
  'consumer/strategy',
  'pool/child-handle',
  'child/run-task',
  'consumer/settle',
];
const header = '/** What this file is and what it never does. */\n';

function plant(root: string, file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

/** A committed tree that keeps every rule. */
function goodTree(root: string): string {
  for (const name of path) plant(root, `src/${name}.ts`, `${header}export const x = 1;\n`);
  plant(root, 'docs/architecture.md', `# Architecture\n\n${path.map((name, at) => `${at + 1}. src/${name}.ts`).join('\n')}\n`);
  execFileSync('git', ['init', '-q'], { cwd: root });
  execFileSync('git', ['add', '.'], { cwd: root });
  return root;
}

function run(root: string, env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [script, root], { encoding: 'utf8', env: { ...process.env, ...env } });
}

t.test('a tree that keeps the rules passes', async (t) => {
  const result = run(goodTree(t.testdir()));
  t.equal(result.stderr, '');
  t.equal(result.status, 0);
});

const cases: readonly { readonly name: string; readonly spoil: (root: string) => void; readonly says: RegExp }[] = [
  {
    name: 'a file of 601 lines',
    spoil: (root) => plant(root, 'src/pool/long.ts', header + 'export {};\n'.repeat(600)),
    says: /src\/pool\/long\.ts: 601 lines; at most 600/,
  },
  {
    name: 'a long reading path',
    spoil: (root) => {
      for (const name of path) plant(root, `src/${name}.ts`, header + '// line\n'.repeat(230));
    },
    says: /the reading path has 1848 lines; at most 1800/,
  },
  {
    name: 'no header',
    spoil: (root) => plant(root, 'src/pool/bare.ts', 'export const x = 1;\n'),
    says: /src\/pool\/bare\.ts:1: has no header comment/,
  },
  { name: 'an empty header', spoil: (root) => plant(root, 'src/pool/bare.ts', '/** * */\n'), says: /bare\.ts:1: has no header/ },
  {
    name: 'a header below code',
    spoil: (root) => plant(root, 'src/pool/bare.ts', `export const x = 1;\n${header}`),
    says: /bare\.ts:1: has no header/,
  },
  {
    name: 'a missing file of the path',
    spoil: (root) => rmSync(join(root, 'src/consumer/settle.ts')),
    says: /src\/consumer\/settle\.ts: is on the reading path/,
  },
  {
    name: 'the path out of order',
    spoil: (root) =>
      plant(
        root,
        'docs/architecture.md',
        [...path]
          .reverse()
          .map((name) => `src/${name}.ts`)
          .join('\n'),
      ),
    says: /src\/cli\/worker\.ts is missing or out of order/,
  },
  {
    name: 'a registry host',
    spoil: (root) => plant(root, 'docs/x.md', ['see registry', 'example', 'org'].join('.')),
    says: /docs\/x\.md:1: names registry\.example/,
  },
  {
    name: 'a resolved address in the lock file',
    spoil: (root) => plant(root, 'package-lock.json', '{\n "resolved": "https://packages.example/a/-/a-1.0.0.tgz"\n}'),
    says: /package-lock\.json:2: names "resolved":/,
  },
  {
    name: 'the path of this tree',
    spoil: (root) => plant(root, 'docs/x.md', `\nsee ${root}/notes`),
    says: /docs\/x\.md:2: names .*which belongs to one machine/,
  },
];

for (const { name, spoil, says } of cases) {
  t.test(`spoiled: ${name}`, async (t) => {
    const root = goodTree(t.testdir());
    spoil(root);
    const result = run(root);
    t.equal(result.status, 1);
    t.match(result.stderr, says);
  });
}

t.test('the registry npm uses is not named, whatever it is', async (t) => {
  const root = goodTree(t.testdir());
  plant(root, 'docs/x.md', 'fetched from packages.example:4873 today');
  t.equal(run(root).status, 0);
  const result = run(root, { npm_config_registry: 'http://packages.example:4873/' });
  t.equal(result.status, 1);
  t.match(result.stderr, /names packages\.example:4873/);
});

t.test('what git ignores is not looked at', async (t) => {
  const root = goodTree(t.testdir());
  plant(root, '.gitignore', 'dist/\n');
  plant(root, 'dist/x.ts', '"resolved": "y"\n'.repeat(700));
  t.equal(run(root).status, 0);
});
