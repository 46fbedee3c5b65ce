/**
 * Builds the npm package: `node scripts/build-library.ts [folder]`, default dist/npm.
 *
 * The public face src/client/umbel.ts becomes one ES module for Node >= 22.15 (esbuild) with its type declarations (tsc); the
 * package.json written beside them names exactly the packages the bundle still imports. Beside the folder all of it is packed into
 * one file, umbel-VERSION.tgz, which npm installs. UMBEL_ENTRY names another entry file. Never publishes.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { build } from 'esbuild';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

const root = resolve(import.meta.dirname, '..');
const output = resolve(process.argv[2] ?? join(root, 'dist/npm'));
const entry = resolve(process.env.UMBEL_ENTRY ?? join(root, 'src/client/umbel.ts'));
const unfinished = `${output}.unfinished`;
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

/** Returns the names of the packages the bundle imports. */
async function writeModule(): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: join(unfinished, 'umbel.js'),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node22.15',
    define: { UMBEL_VERSION: JSON.stringify(manifest.version) },
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  const names = new Set<string>();
  for (const bundled of Object.values(metafile.outputs)) {
    for (const { path, external } of bundled.imports) {
      if (external === true && !isBuiltin(path)) names.add(path.split('/', path.startsWith('@') ? 2 : 1).join('/'));
    }
  }
  return [...names].sort();
}

/** Declarations keep the folders of the sources, below types/. Returns the path of the entry's declaration. */
function writeTypes(): string {
  const config = join(unfinished, 'tsconfig.json');
  const options = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: dirname(dirname(entry)),
    outDir: join(unfinished, 'types'),
    typeRoots: [join(root, 'node_modules/@types')],
  };
  writeFileSync(config, JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions: options, include: [], files: [entry] }));
  execFileSync('tsc', ['-p', config], { stdio: ['ignore', 'inherit', 'inherit'], cwd: root });
  rmSync(config);
  return `./types/${relative(dirname(dirname(entry)), entry).replace(/\.ts$/, '.d.ts')}`;
}

rmSync(unfinished, { recursive: true, force: true });
mkdirSync(unfinished, { recursive: true });
try {
  const packages = await writeModule();
  const types = writeTypes();
  const dependencies: Record<string, string> = {};
  for (const name of packages) {
    const range = manifest.dependencies[name];
    if (range === undefined) throw new Error(`the library imports ${name}, which package.json does not list under dependencies`);
    dependencies[name] = range;
  }
  const { name, version, description, license, engines } = manifest;
  const exported = { '.': { types, default: './umbel.js' } };
  const published = { name, version, description, license, engines, type: 'module', exports: exported, types, dependencies };
  writeFileSync(join(unfinished, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md']) {
    if (existsSync(join(root, file))) copyFileSync(join(root, file), join(unfinished, file));
  }
  rmSync(output, { recursive: true, force: true });
  renameSync(unfinished, output);
  execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', dirname(output), output], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
} finally {
  rmSync(unfinished, { recursive: true, force: true });
}
const packed = join(dirname(output), `${manifest.name}-${manifest.version}.tgz`);
process.stderr.write(`${relative(process.cwd(), output)} and ${relative(process.cwd(), packed)}: umbel ${manifest.version} for npm\n`);
