/**
 * Rules about files: `node scripts/check-files.ts [root]`.
 *
 * Sizes, header comments, the eight-file reading path and its place in docs/architecture.md, and that nothing committed names a
 * package registry or a path of the machine it was written on. Prints one line per problem and exits 1, or one line and exits 0.
 * Never changes anything.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, extname, join, resolve } from 'node:path';

const maxLines = 600;
/** file → why it may be longer than that. */
const longFiles: Readonly<Record<string, string>> = {};

const readingPath = [
  'main.ts',
  'cli/worker.ts',
  'node/worker-node.ts',
  'consumer/consumer.ts',
  'consumer/strategy.ts',
  'pool/child-handle.ts',
  'child/run-task.ts',
  'consumer/settle.ts',
];
const readingPathMaxLines = 1_800;

const root = realpathSync(resolve(process.argv[2] ?? join(import.meta.dirname, '..')));
const problems: string[] = [];

/** Files of this tree that are committed or about to be: tracked and untracked, not ignored, and still there. */
function listFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  return [...new Set(listed.split('\0'))].filter((file) => file !== '' && existsSync(join(root, file))).sort();
}

function countLines(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

function checkSize(file: string, text: string): void {
  const lines = countLines(text);
  if (lines > maxLines && longFiles[file] === undefined)
    problems.push(`${file}: ${lines} lines; at most ${maxLines}, or a reason in scripts/check-files.ts`);
  if (lines <= maxLines && longFiles[file] !== undefined)
    problems.push(`${file}: ${lines} lines; its exception in scripts/check-files.ts is no longer needed`);
}

/** A header is a block comment before the first statement (a #! line may come first) that says something. */
function checkHeader(file: string, text: string): void {
  const header = /^(?:#![^\n]*\n)?\s*\/\*\*?([\s\S]*?)\*\//.exec(text);
  if (header === null || (header[1] ?? '').replace(/[\s*]/g, '').length < 20) problems.push(`${file}:1: has no header comment`);
}

function checkReadingPath(): void {
  const missing = readingPath.filter((file) => !existsSync(join(root, 'src', file)));
  for (const file of missing) problems.push(`src/${file}: is on the reading path and does not exist`);
  const present = readingPath.filter((file) => !missing.includes(file));
  const total = present.reduce((sum, file) => sum + countLines(readFileSync(join(root, 'src', file), 'utf8')), 0);
  if (total > readingPathMaxLines) problems.push(`src/: the reading path has ${total} lines; at most ${readingPathMaxLines}`);
  const page = join(root, 'docs/architecture.md');
  const opening = existsSync(page) ? readFileSync(page, 'utf8').split('\n').slice(0, 40).join('\n') : '';
  let at = -1;
  for (const file of readingPath) {
    const found = opening.indexOf(`src/${file}`, at + 1);
    if (found < 0) {
      problems.push(`docs/architecture.md: its first 40 lines must name the reading path in order; src/${file} is missing or out of order`);
      return;
    }
    at = found;
  }
}

/**
 * What must not be in a committed file. The package lock is the usual way in: it holds no addresses because npm is told to omit
 * them. The paths of this very machine are looked for by their actual text.
 */
function foreignTexts(): RegExp[] {
  const patterns = [/\bregistry\.[a-z0-9-]+\.[a-z]+/, /"resolved":/, /\bhttps?:\/\/[^\s"']*\/-\/[^\s"']+\.tgz/];
  for (const path of [root, dirname(root), homedir()]) {
    // "/" and one-word folders such as /root or /tmp are words of ordinary documentation.
    if (path.split('/').length > 2) patterns.push(new RegExp(`${RegExp.escape(path)}(?![\\w-])`));
  }
  // The lock file may name a mirror; npm knows which.
  const registry = process.env.npm_config_registry;
  if (registry !== undefined && URL.canParse(registry)) patterns.push(new RegExp(RegExp.escape(new URL(registry).host)));
  return patterns;
}

const binaryExtensions = new Set(['.db', '.sqlite', '.gz', '.png', '.ico', '.zst']);
const own = ['scripts/check-files.ts', 'test/scripts/check-files.test.ts', 'LICENSE'];
const patterns = foreignTexts();
const files = listFiles();
for (const file of files) {
  if (binaryExtensions.has(extname(file))) continue;
  const text = readFileSync(join(root, file), 'utf8');
  if (file.endsWith('.ts')) checkSize(file, text);
  if (file.startsWith('src/') && file.endsWith('.ts')) checkHeader(file, text);
  if (own.includes(file)) continue;
  for (const [index, line] of text.split('\n').entries()) {
    const found = patterns.map((pattern) => pattern.exec(line)?.[0]).find((match) => match !== undefined);
    if (found !== undefined) problems.push(`${file}:${index + 1}: names ${found}, which belongs to one machine or registry`);
  }
}
checkReadingPath();
if (files.length === 0) problems.push('no files found');
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else console.log(`files: ${files.length} keep the rules`);
