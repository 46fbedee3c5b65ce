/**
 * JSON as Python's json module speaks it: bare NaN, Infinity and -Infinity, and integers of any size.
 *
 * Reading: an integer beyond ±(2^53 - 1) becomes a bigint rather than a wrong number. Writing: plain JSON types only, in
 * compact form; what JSON.stringify would quietly turn into `{}` or drop (Map, Set, functions, a forgotten promise …) is
 * refused in Python's words. As in JSON.stringify, a property whose value is undefined is left out.
 * Never does: the `__type__` envelopes of newer kombu (see type-envelope.ts).
 * Source: protocol notes, security-and-serialization.md §2.
 */
import { formatIsoTime } from './iso-time.ts';

/** Deeper values are refused: Python's own reader gives up at about this depth. */
const maxDepth = 900;
/** Up to here the quick check recurses without looking for cycles. */
const quickDepth = 64;

/** Throws SyntaxError when the text is not JSON, even in Python's dialect. */
export function parseJson(text: string): unknown {
  if (hasLongDigitRun(text) && /(?:^|[\s,:[])-?\d{16,}(?![\d.eE])/.test(text)) return parseWithReviver(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!text.includes('NaN') && !text.includes('Infinity')) throw error;
    return parseWithReviver(text);
  }
}

/**
 * 16 digits in a row: only then can an integer be beyond 2^53. Looks at every 16th character and steps back from a digit,
 * which is 20 times faster than a regular expression.
 */
function hasLongDigitRun(text: string): boolean {
  let end = 15;
  while (end < text.length) {
    const lowest = end - 15;
    let index = end;
    while (index >= lowest && isDigit(text.charCodeAt(index))) index -= 1;
    if (index < lowest) return true;
    end = index + 16;
  }
  return false;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Stands for NaN while the native parser reads the rest; 1e999 overflows to Infinity by itself. */
const nanToken = '0.00000000000000000000009E+99999';

function parseWithReviver(text: string): unknown {
  const native = text.includes('NaN') || text.includes('Infinity') ? replaceBareWords(text) : text;
  return JSON.parse(native, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? '';
    if (source === nanToken) return Number.NaN;
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** Replace the bare words outside of strings. */
function replaceBareWords(text: string): string {
  let out = '';
  let position = 0;
  while (position < text.length) {
    const open = text.indexOf('"', position);
    const outside = open === -1 ? text.slice(position) : text.slice(position, open);
    out += outside.replace(/\b(?:NaN|Infinity)\b/g, (word) => (word === 'NaN' ? nanToken : '1e999'));
    if (open === -1) break;
    const end = endOfString(text, open);
    out += text.slice(open, end);
    position = end;
  }
  return out;
}

function endOfString(text: string, open: number): number {
  let close = text.indexOf('"', open + 1);
  while (close !== -1) {
    let backslashes = 0;
    while (text.charCodeAt(close - 1 - backslashes) === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return close + 1;
    close = text.indexOf('"', close + 1);
  }
  return text.length;
}

/**
 * JSON text of a value. Throws TypeError `Object of type X is not JSON serializable` (the value itself being undefined
 * included), or RangeError `Circular reference detected`.
 */
export function encodeJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return encodeNumber(value);
    case 'boolean':
      return value ? 'true' : 'false';
    default:
      if (value === null) return 'null';
      return isPlain(value, 0) ? JSON.stringify(value) : encodeSlowly(value, []);
  }
}

const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** For `encodeJson`: a finite number that is written with a fraction where it has none, because Python tells 1.0 from 1. */
export function jsonFloat(value: number): unknown {
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? rawJSON(value.toFixed(1)) : value;
}

/** JSON.stringify gives exactly what we want for this value. */
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth > quickDepth) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (!isPlain(value[i], depth + 1)) return false;
    }
    return true;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  const record = value as Record<string, unknown>;
  // A plain object may own a function called toJSON; it is met as a function and sent the slow way.
  for (const key in record) {
    const item = record[key];
    if (item !== undefined && !isPlain(item, depth + 1)) return false;
  }
  return true;
}

function encodeNumber(value: number): string {
  if (Number.isFinite(value)) return JSON.stringify(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? 'Infinity' : '-Infinity';
}

function encodeSlowly(value: unknown, parents: object[]): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return encodeNumber(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'bigint':
      return String(value);
    case 'object':
      return value === null ? 'null' : encodeObject(value, parents);
    default:
      throw notSerializable(typeof value);
  }
}

function encodeObject(value: object, parents: object[]): string {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw notSerializable('Invalid Date');
    return `"${formatIsoTime(value.getTime())}"`;
  }
  refuseOpaque(value);
  if (parents.includes(value)) throw new RangeError('Circular reference detected');
  if (parents.length >= maxDepth) throw new RangeError(`a JSON value may be nested ${maxDepth} levels deep, this one is deeper`);
  parents.push(value);
  try {
    if ('toJSON' in value && typeof value.toJSON === 'function') return encodeSlowly(value.toJSON(''), parents);
    if (Array.isArray(value)) {
      const items: string[] = [];
      for (const item of value) items.push(item === undefined ? 'null' : encodeSlowly(item, parents));
      return `[${items.join(',')}]`;
    }
    const entries: string[] = [];
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) entries.push(`${JSON.stringify(key)}:${encodeSlowly(item, parents)}`);
    }
    return `{${entries.join(',')}}`;
  } finally {
    parents.pop();
  }
}

/** Built-in objects whose content is not in their properties. */
const opaqueTags: ReadonlySet<string> = new Set([
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'WeakRef',
  'Promise',
  'RegExp',
  'Error',
  'ArrayBuffer',
  'SharedArrayBuffer',
  'DataView',
  'Generator',
  'AsyncGenerator',
]);

function refuseOpaque(value: object): void {
  const name = typeof value.constructor === 'function' && value.constructor.name !== '' ? value.constructor.name : 'object';
  if (ArrayBuffer.isView(value) || value instanceof Error) throw notSerializable(name);
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (opaqueTags.has(tag)) throw notSerializable(tag);
}

function notSerializable(name: string): TypeError {
  return new TypeError(`Object of type ${name} is not JSON serializable`);
}
