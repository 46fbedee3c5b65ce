/**
 * From whatever a loading module threw to one message with file, line, column and cause.
 *
 * The place comes from, in this order: the header Node puts on syntax errors, the specifier that did not resolve, the first
 * stack frame in a user's file, and for a bare syntax error of an ES module a second parse of the files just loaded.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { messageOf, UmbelError } from '../errors.ts';
import type { LoadRecord } from './import-module.ts';
import { loadHint } from './load-hint.ts';
import { displayPath } from './module-files.ts';

interface Place {
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly hint?: string;
}

export function loadFailure(error: unknown, file: string, record: LoadRecord, cwd: string): UmbelError {
  const place = placeOf(error, file, record);
  const where = place === null ? [] : [displayPath(place.file, cwd), place.line, place.column].filter((part) => part !== null);
  const hint = place?.hint ?? hintFor(error, place, record);
  const code = error instanceof UmbelError && error.code === 'TASK_OPTION_INVALID' ? error.code : 'TASK_MODULE_BROKEN';
  const prefix = `the task module ${displayPath(file, cwd)} did not load: ${where.length === 0 ? '' : `${where.join(':')}: `}`;
  return new UmbelError(code, `${prefix}${causeText(error)}${hint === undefined ? '' : `. ${hint}`}`, { cause: error });
}

function hintFor(error: unknown, place: Place | null, record: LoadRecord): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const line = place?.line == null ? '' : (readLines(place.file)[place.line - 1] ?? '');
  const at = place === null ? undefined : { file: place.file, text: line.slice((place.column ?? 1) - 1) };
  return loadHint(error, record.unresolved(error), at);
}

function causeText(error: unknown): string {
  if (!(error instanceof Error))
    return `it threw ${inspect(error, { depth: 1, breakLength: Number.POSITIVE_INFINITY })}, which is not an Error`;
  if (error instanceof UmbelError) return error.message;
  // Node lists the chain of requires below the first line; the place says it better.
  const message = (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' ? error.message.split('\n', 1)[0] : error.message;
  const cause = error.cause === undefined ? '' : ` (cause: ${messageOf(error.cause)})`;
  return `${nameOf(error)}: ${message}${cause}`;
}

function nameOf(error: Error): string {
  return error.name === 'Error' ? error.constructor.name || 'Error' : error.name;
}

function placeOf(error: unknown, file: string, record: LoadRecord): Place | null {
  if (!(error instanceof Error)) return null;
  const stack = error.stack ?? '';
  return placeInHeader(stack) ?? placeOfImport(error, record) ?? placeInFrames(stack, file, record) ?? placeBySecondParse(error, record);
}

/** `<file>:<line>`, the source line, a line of blanks and carets, and only then the message. */
function placeInHeader(stack: string): Place | null {
  const lines = stack.split('\n');
  const head = /^(file:.+|\/.+|[A-Za-z]:\\.+):(\d+)$/.exec(lines[0] ?? '');
  if (head?.[1] === undefined) return null;
  const marker = lines.find((line) => /^\s*\^+\s*$/.test(line));
  const column = marker === undefined ? null : marker.indexOf('^') + 1;
  return { file: pathOf(head[1]), line: Number(head[2]), column };
}

/** Where the importing file names what could not be found. */
function placeOfImport(error: Error, record: LoadRecord): Place | null {
  const unresolved = record.unresolved(error);
  if (unresolved === undefined) return null;
  const { specifier, importer } = unresolved;
  const lines = readLines(importer);
  for (const [index, line] of lines.entries()) {
    const column = Math.max(line.indexOf(`'${specifier}'`), line.indexOf(`"${specifier}"`), line.indexOf(`\`${specifier}\``));
    if (column !== -1) return { file: importer, line: index + 1, column: column + 1 };
  }
  return { file: importer, line: 1, column: null };
}

/** The innermost frame in a file that was loaded for this module, the user's own files before those of packages. */
function placeInFrames(stack: string, file: string, record: LoadRecord): Place | null {
  const known = new Set([...record.files, file]);
  let inPackage: Place | null = null;
  for (const match of stack.matchAll(/^\s+at .*?\(?((?:file:\/\/|\/|[A-Za-z]:\\)[^()]*?):(\d+):(\d+)\)?$/gm)) {
    const place: Place = { file: pathOf(match[1] ?? ''), line: Number(match[2]), column: Number(match[3]) };
    if (!known.has(place.file)) continue;
    if (!/[\\/]node_modules[\\/]/.test(place.file)) return place;
    inPackage ??= place;
  }
  return inPackage;
}

/**
 * V8 keeps the place of an ES module's syntax error to itself; Node's TypeScript parser names it. The last file loaded is the
 * likely one. JavaScript that only parses as TypeScript has its first type where the removal changes the text.
 */
function placeBySecondParse(error: Error, record: LoadRecord): Place | null {
  if (!(error instanceof SyntaxError)) return null;
  for (const file of record.files.toReversed()) {
    if (!/\.[mc]?[tj]s$/.test(file)) continue;
    const text = readLines(file).join('\n');
    try {
      const stripped = stripTypeScriptTypes(text, { sourceUrl: file }).slice(0, text.length);
      if (stripped !== text && /\.[mc]?js$/.test(file)) return placeOfFirstType(file, text, stripped);
    } catch (problem) {
      const place = placeInHeader(problem instanceof Error ? (problem.stack ?? '') : '');
      if (place !== null) return { ...place, file };
    }
  }
  const last = record.files.at(-1);
  if (last === undefined) return null;
  return (error.message === 'Invalid or unexpected token' ? placeOfDecorator(last) : null) ?? { file: last, line: null, column: null };
}

/** The removal of types lets decorators stand, and V8 does not say which token it does not know. */
function placeOfDecorator(file: string): Place | null {
  for (const [index, line] of readLines(file).entries()) {
    const before = /^\s*(?:export\s+|(?:export\s+)?class\s[^{]*\{\s*)?(?=@[A-Za-z_$])/.exec(line);
    if (before !== null) return { file, line: index + 1, column: before[0].length + 1 };
  }
  return null;
}

function placeOfFirstType(file: string, text: string, stripped: string): Place {
  let offset = 0;
  while (text[offset] === stripped[offset]) offset += 1;
  const before = text.slice(0, offset).split('\n');
  const hint = 'This is TypeScript in a JavaScript file; name it .ts or .mts';
  return { file, line: before.length, column: (before.at(-1) ?? '').length + 1, hint };
}

function readLines(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return [];
  }
}

function pathOf(location: string): string {
  return location.startsWith('file:') ? fileURLToPath(location) : location;
}
