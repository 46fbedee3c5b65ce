/** The npm package: installed in a folder of its own it tells tsc what `umbel` is, and a program uses it as its client. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';

const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/writing-tasks.md'), 'utf8');
const blockOf = (name: string): string => new RegExp(`^\`\`\`\\w+ ${name}\\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1] ?? '';

/** Without what tap makes node load everywhere: through it tsc cannot be loaded. */
const bare = ['-u', 'NODE_OPTIONS'];

const project = join(t.testdir({ project: { node_modules: { umbel: {} } } }), 'project');
execFileSync('env', [...bare, process.execPath, join(root, 'scripts/build-library.ts'), join(project, 'built/npm')], {
  stdio: ['ignore', 'ignore', 'pipe'],
});
const [packed = ''] = readdirSync(join(project, 'built')).filter((name) => name.endsWith('.tgz'));
execFileSync('tar', ['xzf', join(project, 'built', packed), '--strip-components=1', '-C', join(project, 'node_modules/umbel')]);
const manifest = JSON.parse(readFileSync(join(project, 'node_modules/umbel/package.json'), 'utf8'));
// What npm would install beside it.
for (const name of [...Object.keys(manifest.dependencies), '@types', 'undici-types']) {
  symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
}
writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
writeFileSync(join(project, 'tsconfig.json'), blockOf('tsconfig.json'));

t.test('what is in it', (t) => {
  t.equal(packed, `umbel-${manifest.version}.tgz`);
  t.ok(page.includes(`/path/to/${packed} `), 'the page names the file');
  t.same(Object.keys(manifest.dependencies), ['amqplib', 'ioredis'], 'and nothing of the worker');
  t.end();
});

t.test('tsc and the modules of the page', (t) => {
  for (const name of ['mail.ts', 'orders.ts', 'shop.ts', 'ordering.ts', 'files.ts', 'alarm.ts', 'client.ts']) {
    writeFileSync(join(project, name), blockOf(name));
  }
  const check = (): string => spawnSync('env', [...bare, join(root, 'node_modules/.bin/tsc'), '-p', project], { encoding: 'utf8' }).stdout;
  t.equal(check(), '');
  writeFileSync(
    join(project, 'wrong.ts'),
    "import { send } from './mail.ts';\nimport { taks } from 'umbel';\nexport const sent = [send.delay(1), taks];\n",
  );
  t.match(check(), /wrong\.ts\(2,10\): error TS2305: .*taks.*\n.*wrong\.ts\(3,33\): error TS2345: .*'number'/s);
  t.end();
});

t.test('a program', (t) => {
  mkdirSync(join(project, 'data'));
  writeFileSync(
    join(project, 'program.ts'),
    blockOf('client.ts').replace('/var/lib/shop/', join(project, 'data/')).replace('10_000', '50'),
  );
  const ran = spawnSync('env', [...bare, process.execPath, join(project, 'program.ts')], { encoding: 'utf8' });
  // Nobody works: it has sent the task, and has waited for the result.
  t.match(ran.stderr, /RESULT_TIMEOUT/);
  t.same(readdirSync(join(project, 'data')).includes('umbel.sqlite3'), true);
  t.end();
});
