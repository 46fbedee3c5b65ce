/** The build of the executable: version, lazy parts, names in stack traces, what it refuses; and that a failed build leaves the old file. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';

const root = resolve(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

const lazyEntry = `
declare const UMBEL_VERSION: string;
if (process.argv[2] === '--version') console.log(UMBEL_VERSION);
else void import('./lazy.ts').then(({ trace }) => console.log(trace()));
`;
const lazyPart = `
process.stdout.write('lazy part evaluated\\n');
export const trace = () => String(new Error('here').stack);
`;

function build(folder: string) {
  const env = { ...process.env, UMBEL_ENTRY: join(folder, 'entry.ts') };
  return spawnSync(process.execPath, [join(root, 'scripts/build-binary.ts'), join(folder, 'out/umbel')], { encoding: 'utf8', env });
}

t.test('one executable file that runs without node or sources', async (t) => {
  const folder = t.testdir({ 'entry.ts': lazyEntry, 'lazy.ts': lazyPart });
  const built = build(folder);
  t.equal(built.status, 0, built.stderr);
  const binary = join(folder, 'out/umbel');
  t.equal(statSync(binary).mode & 0o777, 0o755);
  t.same(readdirSync(join(folder, 'out')).sort(), ['umbel', 'umbel.cjs'], 'nothing half-made stays behind');
  const options = { encoding: 'utf8', env: {}, cwd: '/' } as const;
  t.equal(spawnSync(binary, ['--version'], options).stdout, `${version}\n`, 'a dynamic import is not evaluated before it is reached');
  const { stdout } = spawnSync(binary, ['run'], options);
  t.match(stdout, /^lazy part evaluated\n/);
  t.match(stdout, /\(\.\.\/umbel\.cjs:\d+:\d+\)|at .*\.\.\/umbel\.cjs:\d+/, 'stack traces name the bundle');
  t.notMatch(stdout, new RegExp(RegExp.escape(folder)), 'and not the place of the build');

  const before = statSync(binary).mtimeMs;
  writeFileSync(join(folder, 'entry.ts'), "console.log('no version here');");
  const wrongVersion = build(folder);
  t.not(wrongVersion.status, 0);
  t.match(wrongVersion.stderr, /umbel --version must print/);
  t.equal(statSync(binary).mtimeMs, before, 'a build that fails leaves the old executable');
  t.same(readdirSync(join(folder, 'out')).sort(), ['umbel', 'umbel.cjs']);
});

t.test('a source that relies on its own place is refused', async (t) => {
  const folder = t.testdir({ 'entry.ts': 'console.log(import.meta.dirname);' });
  const built = build(folder);
  t.not(built.status, 0);
  t.match(built.stderr, /no source in the executable may use import\.meta, got: .*dirname/);
});
