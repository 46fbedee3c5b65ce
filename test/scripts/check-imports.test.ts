/** The import check passes a tree that keeps the rule and fails, with the reason, on each wrong import planted in it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';

const script = resolve(import.meta.dirname, '../../scripts/check-imports.ts');

const goodTree = {
  'package.json': JSON.stringify({ dependencies: { toml: '^5.0.1' }, devDependencies: { esbuild: '^1.0.0' } }),
  docs: { 'dependencies.md': 'uses `toml` and `esbuild`' },
  src: {
    'errors.ts': 'export class UmbelError {}',
    'main.ts': "import { start } from './node/worker-node.ts'; start();",
    std: { 'clock.ts': "import { performance } from 'node:perf_hooks'; export const now = () => performance.now();" },
    config: { 'load.ts': "import { parse } from 'toml'; export const load = parse;" },
    protocol: { 'message.ts': "// import { x } from '../pool/child.ts';\nexport interface Message { id: string }" },
    broker: {
      'broker.ts': "import type { Message } from '../protocol/message.ts'; export interface Broker { m: Message }",
      sqlite: {
        'sqlite-broker.ts':
          "import type { Broker } from '../broker.ts'; export const text = `import '${'../../pool/pool.ts'}'`; export type B = Broker;",
      },
    },
    pool: { 'child-pool.ts': "import { now } from '../std/clock.ts'; export const pool = () => now() / 2 / 3;" },
    node: {
      'worker-node.ts':
        "import { pool } from '../pool/child-pool.ts'; import { load } from '../config/load.ts'; export const start = () => [pool, load];",
    },
  },
};

/** Each: what is planted where, and what the check must say about it. */
const plants: readonly { readonly name: string; readonly file: string; readonly text: string; readonly says: RegExp }[] = [
  {
    name: 'upwards import',
    file: 'src/pool/bad.ts',
    text: "import { start } from '../node/worker-node.ts'; export const x = start;",
    says: /src\/pool\/bad\.ts:1: imports node\/worker-node\.ts; pool may import/,
  },
  {
    name: 'import type',
    file: 'src/pool/bad.ts',
    text: "import type { Broker } from '../broker/broker.ts'; export type X = Broker;",
    says: /imports broker\/broker\.ts; pool may/,
  },
  {
    name: 'inline type import',
    file: 'src/log/bad.ts',
    text: "import { type Message } from '../protocol/message.ts'; export type X = Message;",
    says: /imports protocol\/message\.ts/,
  },
  {
    name: 'import type expression',
    file: 'src/pool/bad.ts',
    text: "export type X = import('../broker/broker.ts').Broker;",
    says: /imports broker\/broker\.ts/,
  },
  {
    name: 'dynamic import',
    file: 'src/pool/bad.ts',
    text: "export const x = async () => await import('../config/load.ts');",
    says: /imports config\/load\.ts/,
  },
  {
    name: 'dynamic import of a variable',
    file: 'src/pool/bad.ts',
    text: 'export const x = (name: string) => import(name);',
    says: /import\(\) needs a literal name/,
  },
  {
    name: 're-export',
    file: 'src/pool/bad.ts',
    text: "export const y = 1; export { load } from '../config/load.ts';",
    says: /imports config\/load\.ts/,
  },
  {
    name: 'multi-line import after a regular expression',
    file: 'src/pool/bad.ts',
    text: "export const r = /['\"`]/;\nimport {\n  load,\n} from '../config/load.ts';\nexport const x = load;",
    says: /bad\.ts:2: imports config/,
  },
  {
    name: 'import inside a template expression',
    file: 'src/pool/bad.ts',
    text: "export const x = `a ${import('../config/load.ts')} b`;",
    says: /imports config\/load\.ts/,
  },
  {
    name: 'errors.ts imports',
    file: 'src/errors.ts',
    text: "import { inspect } from 'node:util'; export const x = inspect;",
    says: /errors\.ts imports nothing/,
  },
  {
    name: 'config read by the consumer',
    file: 'src/consumer/bad.ts',
    text: "import { load } from '../config/load.ts'; export const x = load;",
    says: /imports config\/load\.ts; consumer may/,
  },
  {
    name: 'child from the consumer',
    file: 'src/child/run.ts',
    text: "import { c } from '../consumer/c.ts'; export const x = c;",
    says: /consumer\/c\.ts, which does not exist/,
  },
  {
    name: 'only the interface of the broker',
    file: 'src/backend/bad.ts',
    text: "import { text } from '../broker/sqlite/sqlite-broker.ts'; export const x = text;",
    says: /imports broker\/sqlite\/sqlite-broker\.ts; backend may/,
  },
  {
    name: 'package outside its home',
    file: 'src/pool/bad.ts',
    text: "import { parse } from 'toml'; export const x = parse;",
    says: /the package toml, which only config\/ may/,
  },
  {
    name: 'unknown package',
    file: 'src/pool/bad.ts',
    text: "import x from '@scope/thing/sub'; export const y = x;",
    says: /the package @scope\/thing, which has no home/,
  },
  {
    name: 'development package',
    file: 'src/pool/bad.ts',
    text: "import { build } from 'esbuild'; export const y = build;",
    says: /the package esbuild/,
  },
  {
    name: 'database outside driver',
    file: 'src/broker/sqlite/bad.ts',
    text: "import { DatabaseSync } from 'node:sqlite'; export const y = DatabaseSync;",
    says: /imports node:sqlite, which only driver may/,
  },
  {
    name: 'require',
    file: 'src/pool/bad.ts',
    text: "import { createRequire } from 'node:module'; const require = createRequire('/'); export const y = require('node:tls');",
    says: /imports node:tls/,
  },
  {
    name: 'built-in without node:',
    file: 'src/pool/bad.ts',
    text: "import { join } from 'path'; export const y = join;",
    says: /write node:path/,
  },
  {
    name: 'specifier without .ts',
    file: 'src/pool/bad.ts',
    text: "import { now } from '../std/clock'; export const y = now;",
    says: /ends in \.ts/,
  },
  { name: 'outside src', file: 'src/pool/bad.ts', text: "import x from '../../package.json'; export const y = x;", says: /outside src/ },
  {
    name: 'barrel',
    file: 'src/pool/all.ts',
    text: "export { pool } from './child-pool.ts';\nexport type { Now } from '../std/clock.ts';",
    says: /src\/pool\/all\.ts: is a barrel/,
  },
  { name: 'export *', file: 'src/pool/bad.ts', text: "export * from './child-pool.ts'; export const y = 1;", says: /export \* hides/ },
  { name: 'grab-bag file name', file: 'src/pool/utils.ts', text: 'export const y = 1;', says: /"utils\.ts" says nothing/ },
  { name: 'grab-bag folder name', file: 'src/pool/common/x.ts', text: 'export const y = 1;', says: /"common" says nothing/ },
  { name: 'camel-case file name', file: 'src/pool/childHandle.ts', text: 'export const y = 1;', says: /kebab-case/ },
  { name: 'folder without a level', file: 'src/extra/x.ts', text: 'export const y = 1;', says: /"extra" is not in the table/ },
  {
    name: 'cycle',
    file: 'src/std/clock.ts',
    text: "import { b } from './other.ts'; export const a = () => b; export const now = () => 1;",
    says: /import cycle std\/clock\.ts → std\/other\.ts → std\/clock\.ts/,
  },
  { name: 'dependency without a reason', file: 'docs/dependencies.md', text: 'uses `toml`', says: /does not say why esbuild is used/ },
  {
    name: 'dependency without a home',
    file: 'package.json',
    text: '{"dependencies":{"esbuild":"1"}}',
    says: /package\.json: the dependency esbuild has no home/,
  },
];

function run(root: string) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, root], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

t.test('a tree that keeps the rule passes', async (t) => {
  const result = run(t.testdir(goodTree));
  t.equal(result.stderr, '');
  t.equal(result.status, 0);
  t.match(result.stdout, /9 files keep the rule/);
});

for (const plant of plants) {
  t.test(`planted: ${plant.name}`, async (t) => {
    const root = t.testdir(goodTree);
    mkdirSync(join(root, plant.file, '..'), { recursive: true });
    writeFileSync(join(root, 'src/std/other.ts'), "import { a } from './clock.ts'; export const b = () => a;");
    writeFileSync(join(root, plant.file), plant.text);
    const result = run(root);
    t.equal(result.status, 1);
    t.match(result.stderr, plant.says);
  });
}

t.test('an empty src is not a pass', async (t) => {
  const result = run(t.testdir({ ...goodTree, src: {} }));
  t.equal(result.status, 1);
  t.match(result.stderr, /holds no files/);
});
