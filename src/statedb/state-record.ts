/**
 * The format of a state file: lines of text, each with a checksum of its own.
 *
 * Owns what is written and how it is read back, whatever has happened to it. Pure.
 *
 *   umbel-state 1
 *   <CRC-32 of the rest of the line, 8 hex digits> {"lines":n}
 *   <CRC-32> {"ids":[["id",unix ms],…],"stamps":[["name","value as JSON",unix ms],…],"clock":n}
 *   …
 *
 * A file begins as a whole, with all there was to say in `n` lines. After that one line is one change, which counts as a whole or not at all:
 * lines are only ever added, and what a later one says stands. A line of these that is cut off at the end is a change that was not written.
 * Anything else that is wrong is damage: what is whole is still read.
 */
import { crc32 } from 'node:zlib';
import { isRecord } from '../std/is-record.ts';

export interface StateChange {
  /** Revoked ids, and when (unix ms). */
  readonly ids?: readonly (readonly [id: string, atMs: number])[];
  /** Revoked stamps: name, value as JSON text, and when. */
  readonly stamps?: readonly (readonly [name: string, valueJson: string, atMs: number])[];
  /** The logical clock. */
  readonly clock?: number;
}

export interface StateReading {
  readonly changes: readonly StateChange[];
  /** whole: as it was written, but perhaps for a last change that was not; foreign: nobody who writes state files has written it. */
  readonly condition: 'whole' | 'damaged' | 'foreign';
}

const firstLine = 'umbel-state 1';
const checksumLength = 8;

/** A file that says this and nothing else. */
export function encodeState(changes: readonly StateChange[]): string {
  return `${firstLine}\n${encodeLine({ lines: changes.length })}${changes.map(encodeChange).join('')}`;
}

export function encodeChange(change: StateChange): string {
  return encodeLine(change);
}

/** The file as it was found. */
export function readState(file: Buffer): StateReading {
  const end = withoutZeros(file);
  const lines = file.toString('utf8', 0, end).split('\n');
  const tail = lines.pop() ?? '';
  const [first, opening, ...rest] = lines;
  const promised = opening === undefined ? null : linesOf(decodeLine(opening));
  const read = rest.map((line) => asChange(decodeLine(line)));
  // Only its line break is missing.
  const unfinished = asChange(decodeLine(tail));
  const changes = [...read, unfinished].filter((change) => change !== null);
  const whole = first === firstLine && promised !== null && !read.includes(null) && changes.length >= promised;
  if (whole) return { changes, condition: 'whole' };
  const beginning = first ?? tail;
  const cutShort = end === 0 || (beginning !== '' && firstLine.startsWith(beginning));
  return { changes, condition: cutShort || promised !== null || changes.length > 0 ? 'damaged' : 'foreign' };
}

/** A file that was made longer before its end was written has zeros there after a loss of power. */
function withoutZeros(file: Buffer): number {
  let end = file.length;
  while (end > 0 && file[end - 1] === 0) end -= 1;
  return end;
}

function encodeLine(value: object): string {
  const text = JSON.stringify(value);
  return `${checksum(text)} ${text}\n`;
}

/** null: it is not as it was written. */
function decodeLine(line: string): unknown {
  const text = line.slice(checksumLength + 1);
  if (line[checksumLength] !== ' ' || line.slice(0, checksumLength) !== checksum(text)) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function linesOf(value: unknown): number | null {
  const lines = isRecord(value) ? value.lines : null;
  return Number.isSafeInteger(lines) ? (lines as number) : null;
}

function asChange(value: unknown): StateChange | null {
  if (!isRecord(value) || 'lines' in value) return null;
  const { ids = [], stamps = [], clock } = value;
  if (!Array.isArray(ids) || !ids.every(isIdRow) || !Array.isArray(stamps) || !stamps.every(isStampRow)) return null;
  if (clock !== undefined && !Number.isSafeInteger(clock)) return null;
  return { ids, stamps, ...(clock === undefined ? null : { clock: clock as number }) };
}

function isIdRow(row: unknown): row is [string, number] {
  return Array.isArray(row) && typeof row[0] === 'string' && Number.isFinite(row[1]);
}

function isStampRow(row: unknown): row is [string, string, number] {
  return Array.isArray(row) && typeof row[0] === 'string' && typeof row[1] === 'string' && Number.isFinite(row[2]);
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(checksumLength, '0');
}
