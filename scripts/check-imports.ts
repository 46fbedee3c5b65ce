/**
 * Enforces the import rule of docs/architecture.md: `node scripts/check-imports.ts [root]`.
 *
 * Every folder of src/ has a level and a list of folders it may import; `import type` counts. Each npm package has one importing
 * folder. Databases, network modules and user modules have their one place. No barrels, no grab-bag names, no cycles
 * of evaluation (two files of one folder may name each other's types, or import each other lazily).
 * Prints one line per problem and exits 1, or one line and exits 0. Never changes anything.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { type FoundImport, scanImports } from './import-scanner.ts';

const base = ['errors.ts', 'std'];
const logged = [...base, 'log'];
/** Levels 0–4 without config (only cli loads it, only node, multi and doctor read it), child (a process of its own) and the public face. */
const belowConsumer = [...logged, 'lifecycle', 'os', 'driver', 'ipc', 'task', 'canvas', 'protocol'].concat(
  'broker statedb pool backend producer event control'.split(' '),
);
const belowNode = [...belowConsumer, 'child', 'config', 'consumer', 'beat', 'client'];

/** folder (or file) of src → what it may import from other folders. A name with a slash is that one file. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  std: [],
  log: base,
  config: base,
  protocol: base,
  lifecycle: logged,
  os: logged,
  driver: logged,
  ipc: [...base, 'protocol'],
  task: [...base, 'protocol'],
  canvas: [...base, 'protocol'],
  broker: [...logged, 'lifecycle', 'protocol', 'driver'],
  statedb: [...logged, 'lifecycle', 'driver'],
  pool: [...logged, 'lifecycle', 'os', 'protocol', 'ipc'],
  child: [...logged, 'os', 'protocol', 'ipc', 'task', 'canvas'],
  backend: [...logged, 'protocol', 'driver', 'broker/broker.ts'],
  producer: [...logged, 'protocol', 'canvas', 'broker'],
  event: [...logged, 'lifecycle', 'protocol', 'broker'],
  control: [...logged, 'lifecycle', 'protocol', 'broker'],
  consumer: belowConsumer,
  beat: [...logged, 'protocol', 'canvas', 'producer', 'driver'],
  client: [...logged, 'protocol', 'canvas', 'task', 'producer', 'backend', 'broker/broker.ts', 'event', 'control'],
  node: belowNode,
  multi: [...logged, 'os', 'config'],
  doctor: [...belowNode, 'node'],
  cli: [...belowNode, 'node', 'multi', 'doctor'],
  'main.ts': [...belowNode, 'node', 'multi', 'doctor', 'cli'],
};

/** file → what it alone may import besides what its folder may. The place where a URL becomes a broker and a result backend. */
const allowedForFile: Readonly<Record<string, readonly string[]>> = { 'client/connections.ts': ['broker', 'driver'] };

/** npm package → the one folder that imports it. A package that is not here is not used by src/. */
const packageHome: Readonly<Record<string, string>> = { amqplib: 'driver', ioredis: 'driver', toml: 'config', cac: 'cli' };

/** Built-in module → the folders that may use it; a built-in that is not here is free. node:net also makes a pipe of a file descriptor. */
const builtinHome: Readonly<Record<string, readonly string[]>> = {
  'node:sqlite': ['driver'],
  'node:net': ['driver', 'child', 'ipc'],
  'node:tls': ['driver'],
  'node:dgram': ['driver'],
  'node:http': ['driver'],
  'node:https': ['driver'],
  'node:http2': ['driver'],
  'node:ffi': ['os'],
};

/** Files that load modules whose name is not known here: task modules of the user. */
const loaders = ['task/import-module.ts'];
/** The public face is the one file made of re-exports. */
const publicFace = 'client/umbel.ts';
const forbiddenNames = /^(utils?|helpers?|types?|interfaces?|common|misc|shared|index|lib|core)$/;
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*\.ts$/;

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));
const src = join(root, 'src');
const problems: string[] = [];
/** file → files of src that are evaluated before it; for the search for cycles. */
const graph = new Map<string, readonly string[]>();

function topOf(file: string): string {
  return file.split('/')[0] ?? file;
}

function checkNames(file: string): void {
  const parts = file.split('/');
  const name = parts.at(-1) ?? file;
  if (!kebabCase.test(name)) problems.push(`src/${file}: a file name is kebab-case and ends in .ts`);
  for (const part of parts) {
    if (forbiddenNames.test(part.replace(/\.ts$/, ''))) problems.push(`src/${file}: "${part}" says nothing; name it after what it holds`);
  }
  const top = topOf(file);
  if (allowed[top] === undefined) problems.push(`src/${file}: "${top}" is not in the table of levels (scripts/check-imports.ts)`);
}

/** The problem with one import of `file`, or null. Adds to `targets` the file of src it leads to. */
function judge(file: string, found: FoundImport, targets: string[]): string | null {
  const top = topOf(file);
  const { specifier } = found;
  if (specifier === null) {
    return loaders.includes(file)
      ? null
      : `${found.kind === 'require' ? 'require' : 'import()'} needs a literal name (only ${loaders.join(', ')} may load by variable)`;
  }
  if (specifier.startsWith('.') || specifier.startsWith('/')) {
    const target = relative(src, resolve(dirname(join(src, file)), specifier))
      .split(sep)
      .join('/');
    if (target.startsWith('..')) return `imports ${specifier}, which is outside src/`;
    if (!specifier.endsWith('.ts')) return `imports ${specifier}: the specifier of a source file ends in .ts`;
    if (!existsSync(join(src, target))) return `imports ${specifier}, which does not exist`;
    if (!found.typeOnly && found.kind !== 'dynamic') targets.push(target);
    const targetTop = topOf(target);
    if (targetTop === top) return null;
    const may = [...(allowed[top] ?? []), ...(allowedForFile[file] ?? [])];
    if (may.includes(targetTop) || may.includes(target)) return null;
    return `imports ${target}; ${allowedForFile[file] === undefined ? top : file} may import ${may.length > 0 ? may.join(' ') : 'nothing'}`;
  }
  if (isBuiltin(specifier)) {
    if (!specifier.startsWith('node:')) return `imports ${specifier}: write node:${specifier}`;
    if (top === 'errors.ts') return `imports ${specifier}; errors.ts imports nothing`;
    const homes = builtinHome[specifier.split('/').slice(0, 1).join('/')];
    return homes === undefined || homes.includes(top) ? null : `imports ${specifier}, which only ${homes.join(', ')} may`;
  }
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : topOf(specifier);
  const home = packageHome[name];
  if (home === undefined) return `imports the package ${name}, which has no home in scripts/check-imports.ts`;
  return home === top ? null : `imports the package ${name}, which only ${home}/ may`;
}

function checkFile(file: string): void {
  checkNames(file);
  const { imports, ownExports } = scanImports(readFileSync(join(src, file), 'utf8'));
  const targets: string[] = [];
  for (const found of imports) {
    const problem = judge(file, found, targets);
    if (problem !== null) problems.push(`src/${file}:${found.line}: ${problem}`);
    if (found.kind === 'export *') problems.push(`src/${file}:${found.line}: export * hides what a file offers; name the exports`);
  }
  const reExports = imports.filter((found) => found.kind === 'export' || found.kind === 'export *').length;
  if (reExports > 0 && ownExports === 0 && file !== publicFace)
    problems.push(`src/${file}: is a barrel (re-exports only); import from the files themselves`);
  graph.set(file, targets);
}

/** Each import cycle once, found by depth-first search. */
function checkCycles(): void {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at >= 0) {
      problems.push(`src/${file}: import cycle ${[...path.slice(at), file].join(' → ')}`);
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
}

/** package.json, the table above and docs/dependencies.md must name the same packages. */
function checkPackages(): void {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string> | undefined>;
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    if (packageHome[name] === undefined) problems.push(`package.json: the dependency ${name} has no home in scripts/check-imports.ts`);
  }
  const page = join(root, 'docs/dependencies.md');
  const text = existsSync(page) ? readFileSync(page, 'utf8') : '';
  for (const name of [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.devDependencies ?? {})]) {
    if (!text.includes(`\`${name}\``)) problems.push(`docs/dependencies.md: does not say why ${name} is used`);
  }
}

const files = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(src, join(entry.parentPath, entry.name)).split(sep).join('/'))
  .sort();
for (const file of files) checkFile(file);
checkCycles();
checkPackages();
if (files.length === 0) problems.push('src/: holds no files');
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else console.log(`imports: ${files.length} files keep the rule`);
