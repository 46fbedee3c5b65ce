/**
 * Builds the one-file executable: `node scripts/build-binary.ts [output]`, default dist/umbel.
 *
 * Two steps: esbuild joins src/main.ts and its dependencies into one CommonJS file, in which a dynamic import stays lazy; then
 * @yao-pkg/pkg in SEA mode puts that file and its code cache into a copy of the Node from node_modules/node.
 * The output appears under its name only when it is complete and has answered `--version`.
 *
 * UMBEL_ENTRY names another entry file (the test of this script uses it). Never downloads anything.
 */
import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';

interface SeaTarget {
  readonly nodeRange: string;
  readonly platform: string;
  readonly arch: string;
  readonly output: string;
}
interface SeaOptions {
  readonly nodePath: string;
  readonly targets: readonly SeaTarget[];
  readonly seaConfig: {
    readonly main: string;
    readonly useCodeCache: boolean;
    readonly execArgv: readonly string[];
    readonly execArgvExtension: 'none' | 'env' | 'cli';
    readonly assets: Readonly<Record<string, string>>;
  };
}

/**
 * The thorough compiler begins a millisecond after it was asked: what asked was a task, whose reply need not wait for the processor (docs/decisions.md).
 * V8 takes a code cache only from a process with the same such options.
 */
const compilerDelay = '--concurrent-recompilation-delay=1';

/** Node options every umbel process runs with; a child is the same executable and so has them too. */
const execArgv = [
  // USR2 opens the inspector: on the loopback interface, on a free port, so that children do not collide.
  // node:sqlite, node:ffi and type stripping are pinned with this very Node; their warnings would be noise in every log.
  '--disable-warning=ExperimentalWarning',
  // One helper thread for compilation and collection instead of four, in every child.
  '--v8-pool-size=1',
  compilerDelay,
  // A flood of messages makes the young generation as large as it may be, and it stays so: 48 MB more of resident memory with the 16 MB of V8.
  '--max-semi-space-size=8',
];

const root = resolve(import.meta.dirname, '..');
const output = resolve(process.argv[2] ?? join(root, 'dist/umbel'));
const entry = resolve(process.env.UMBEL_ENTRY ?? join(root, 'src/main.ts'));
const folder = dirname(output);
mkdirSync(folder, { recursive: true });
/** A folder of this build alone: two builds at one time must not disturb each other. */
const work = mkdtempSync(join(folder, '.build-'));
const bundle = join(work, 'umbel.cjs');
const unfinished = join(work, 'umbel-written');
const finished = join(work, 'umbel');
const require = createRequire(import.meta.url);

async function writeBundle(version: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: `node${process.versions.node.split('.')[0]}`,
    define: { UMBEL_VERSION: JSON.stringify(version) },
    legalComments: 'none',
    logLevel: 'warning',
    // Folds `typeof UMBEL_VERSION`, so that what only an unbundled run needs is dropped.
    minifySyntax: true,
    logOverride: { 'empty-import-meta': 'silent' },
  });
  // A source that relies on its own place would break inside the executable: fail here instead.
  const text = readFileSync(bundle, 'utf8');
  const placeBound = /^.*\bimport_meta\w*\.\w+.*$/m.exec(text);
  if (placeBound !== null) throw new Error(`no source in the executable may use import.meta, got: ${placeBound[0].trim()}`);
  // Every process holds its program text in memory: with one character beyond Latin-1, at two bytes each.
  writeFileSync(
    bundle,
    text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/**
 * The executable, made by pkg. It works in a temporary folder below TMPDIR, which it enters; with TMPDIR beside the bundle, the
 * bundle is `../umbel.cjs` from there, and that is the name stack traces show, wherever the build ran.
 */
async function writeExecutable(): Promise<void> {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw new Error(`the executable is built on Linux x64 or arm64, this is ${process.platform} ${process.arch}`);
  }
  const nodePath = realpathSync(join(root, 'node_modules/node/bin/node'));
  seedBlobGenerator();
  const sea = (require('@yao-pkg/pkg/lib-es5/sea') as { default(entryPoint: string, options: SeaOptions): Promise<void> }).default;
  process.env.TMPDIR = work;
  await sea(bundle, {
    nodePath,
    targets: [{ nodeRange: `node${process.versions.node.split('.')[0]}`, platform: 'linux', arch: process.arch, output: unfinished }],
    seaConfig: {
      main: `../${basename(bundle)}`,
      useCodeCache: true,
      execArgv,
      execArgvExtension: 'env',
      // Once more as a text, for threads of the pool: they cannot be started from the embedded program itself.
      assets: { 'umbel.cjs': bundle },
    },
  });
}

/**
 * The code cache holds hash tables in an order that V8 draws by chance; with a fixed seed the same sources give the same bytes. The seed is of the
 * build alone. pkg calls Node for it without options of V8, which no environment variable can add: so its way to call is replaced before it is loaded.
 */
function seedBlobGenerator(): void {
  const call = promisify(execFile);
  const seeded = (file: string, args: readonly string[]) =>
    call(file, args[0] === '--experimental-sea-config' ? ['--random-seed=1', compilerDelay, ...args] : args);
  const childProcess = require('node:child_process') as { execFile: unknown };
  childProcess.execFile = Object.assign(() => seeded, { [promisify.custom]: seeded });
}

/** `umbel --version` of the finished file must print the version it was built with, and nothing else: Node says so when it cannot use the code cache. */
function verify(version: string): void {
  const { status, signal, stdout, stderr, error } = spawnSync(finished, ['--version'], { encoding: 'utf8', timeout: 30_000 });
  if (error !== undefined) throw error;
  if (status !== 0 || !stdout.includes(version) || stderr !== '')
    throw new Error(
      `umbel --version must print ${version} and end with 0, got ${JSON.stringify(stdout)}, on standard error ${JSON.stringify(stderr)}, ${signal ?? status}`,
    );
}

const startedAt = performance.now();
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
try {
  await writeBundle(version);
  await writeExecutable();
  // pkg writes the file in one piece, which the page cache then keeps in pages so large that every process maps some 15 MB more
  // than it does of a file that was copied or read from disk. Users get copies; so do the measurements here.
  copyFileSync(unfinished, finished);
  chmodSync(finished, 0o755);
  verify(version);
  // The bundle stays beside the executable: it is what a line number in a stack trace refers to.
  copyFileSync(bundle, join(folder, basename(bundle)));
  renameSync(finished, output);
} finally {
  rmSync(work, { recursive: true, force: true });
}
const megabytes = Math.round(statSync(output).size / 1e6);
process.stderr.write(
  `${relative(process.cwd(), output)}: ${megabytes} MB, umbel ${version}, ${Math.round(performance.now() - startedAt)} ms\n`,
);
