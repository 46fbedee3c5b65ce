/** Values as Python's str() and repr() show what JSON makes of them, whole; for people. Limits are std/safe-repr.ts. */
import { repr } from './safe-repr.ts';

/** A text is itself, everything else as in a program. */
export function pythonStr(value: unknown): string {
  return typeof value === 'string' ? value : pythonRepr(value);
}

function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') return pythonText(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return repr(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (value instanceof Uint8Array) return pythonBytes(value);
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).map(([key, item]) => `${pythonText(key)}: ${pythonRepr(item)}`);
  return `{${entries.join(', ')}}`;
}

/** A text: in single quotes, unless it has one in it and no double quote. */
export function pythonText(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  if (!text.includes("'")) return `'${escaped}'`;
  return text.includes('"') ? `'${escaped.replaceAll("'", "\\'")}'` : `"${escaped}"`;
}

function pythonBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `b'${text}'`;
}

/** As pprint writes it: on several lines where one is too long, keys in order. Long texts stay whole. */
export function pythonPretty(value: unknown, column = 0): string {
  const line = pythonRepr(value);
  if (column + line.length <= 80 || typeof value !== 'object' || value === null || value instanceof Uint8Array) return line;
  const gap = `,\n${' '.repeat(column + 1)}`;
  if (Array.isArray(value)) return `[${value.map((item) => pythonPretty(item, column + 1)).join(gap)}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = entries.map(([key, item]) => {
    const name = `${pythonText(key)}: `;
    return name + pythonPretty(item, column + 1 + name.length);
  });
  return `{${lines.join(gap)}}`;
}
