/**
 * TOML text → plain data and the line of every key. The only file that imports the package `toml`.
 *
 * The package gives positions for syntax errors only, so the lines of keys come from `toml-lines.ts`.
 */
import toml from 'toml';
import { messageOf } from '../errors.ts';
import { findKeyLines, type KeyLines } from './toml-lines.ts';

export interface TomlDocument {
  readonly data: Readonly<Record<string, unknown>>;
  readonly lines: KeyLines;
}

export class TomlSyntaxError extends Error {
  readonly line: number;
  readonly column: number;

  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

/** Throws TomlSyntaxError. */
export function parseToml(source: string): TomlDocument {
  try {
    const data: Record<string, unknown> = toml.parse(source);
    return { data, lines: findKeyLines(source) };
  } catch (thrown) {
    throw describe(thrown);
  }
}

/** A grammar error has `location` and `found`; an error of meaning (a key defined twice) has `line` and `column`. */
function describe(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null) return thrown;
  if ('location' in thrown && isLocation(thrown.location)) {
    const { line, column } = thrown.location.start;
    const found = 'found' in thrown && typeof thrown.found === 'string' ? thrown.found : null;
    return new TomlSyntaxError(`TOML syntax: ${expectation(thrown)}${unexpected(found)}`, line, column);
  }
  if ('line' in thrown && 'column' in thrown) {
    return new TomlSyntaxError(`TOML: ${messageOf(thrown).replace(/\.$/, '')}`, Number(thrown.line), Number(thrown.column));
  }
  return thrown;
}

function isLocation(value: unknown): value is { start: { line: number; column: number } } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'start' in value &&
    typeof value.start === 'object' &&
    value.start !== null &&
    'line' in value.start
  );
}

function unexpected(found: string | null): string {
  if (found === null) return 'unexpected end of file';
  return found === '\n' || found === '\r' ? 'unexpected end of line' : `unexpected ${JSON.stringify(found)}`;
}

/** What would have been right, where the grammar knows only one or two things. */
function expectation(thrown: object): string {
  if (!('expected' in thrown) || !Array.isArray(thrown.expected)) return '';
  const literals = new Set<string>();
  for (const one of thrown.expected) if (typeof one?.text === 'string') literals.add(one.text);
  if (literals.has('true') && literals.has('[')) return 'a value is missing; text stands in "quotes"; ';
  if (literals.size > 2 || literals.size === 0) return '';
  return `expected ${[...literals].map((literal) => JSON.stringify(literal)).join(' or ')}, `;
}
