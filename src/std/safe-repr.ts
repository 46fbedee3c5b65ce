/**
 * Python-style display text of values: `argsrepr`, `kwargsrepr`, and the `result` of events and log lines.
 *
 * Owns the rules of Celery's safe representation: three levels of nesting, and a budget of characters that every token is
 * charged against. Text for people: never parsed back, and never throws, whatever it is given.
 * Lengths count UTF-16 units. A JS number prints as Python would print what JSON makes of it: 2.0 is `2`.
 * Source: protocol notes, messages.md §2.5.
 */
import { isUtf8 } from 'node:buffer';

const maxLevels = 3;
const defaultLimit = 1024;

/** The tuple of positional arguments: `(1, 'two')`, `(1,)`, `()`. */
export function reprArgs(args: readonly unknown[], limit = defaultLimit): string {
  if (args.length === 0) return '()';
  const writer = new ReprWriter(limit);
  return writer.run(() => writer.writeItems('(', args, args.length === 1 ? ',)' : ')', 0));
}

/** The dict of keyword arguments: `{'k': 1}`. */
export function reprKwargs(kwargs: Readonly<Record<string, unknown>>, limit = defaultLimit): string {
  const writer = new ReprWriter(limit);
  return writer.run(() => writer.writeEntries(Object.entries(kwargs), 0));
}

/** Any one value. */
export function repr(value: unknown, limit = defaultLimit): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  const writer = new ReprWriter(limit);
  return writer.run(() => writer.writeValue(value, 0));
}

/** As Python prints a float; integers (up to where JSON text turns to exponents) as an int. */
function reprNumber(value: number): string {
  if (Number.isInteger(value)) return Math.abs(value) < 1e21 ? String(value) : reprExponent(value);
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return Math.abs(value) < 1e-4 ? reprExponent(value) : String(value);
}

/** Python pads exponents to two digits. */
function reprExponent(value: number): string {
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

function reprDate(value: Date): string {
  if (Number.isNaN(value.getTime())) return 'Invalid Date';
  const parts = [value.getUTCFullYear(), value.getUTCMonth() + 1, value.getUTCDate(), value.getUTCHours(), value.getUTCMinutes()];
  const microseconds = value.getUTCMilliseconds() * 1000;
  if (value.getUTCSeconds() !== 0 || microseconds !== 0) parts.push(value.getUTCSeconds());
  if (microseconds !== 0) parts.push(microseconds);
  return `datetime.datetime(${parts.join(', ')}, tzinfo=datetime.timezone.utc)`;
}

function reprScalar(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return reprNumber(value);
    case 'boolean':
      return value ? 'True' : 'False';
    case 'function':
      return `<function ${value.name === '' ? '<lambda>' : value.name}>`;
    case 'symbol':
    case 'bigint':
      return String(value);
    default:
      return 'None';
  }
}

/** The class name, unless the author set `name`: `class AppError extends Error {}` is AppError. */
function nameOfError(error: Error): string {
  const className: unknown = error.constructor?.name;
  return error.name === 'Error' && typeof className === 'string' && className !== '' ? className : error.name;
}

/** Objects that are not shown by their properties; null for all others. */
function reprOpaque(value: object): string | null {
  if (value instanceof Date) return reprDate(value);
  if (value instanceof Error) return `${nameOfError(value)}('${value.message.replaceAll("'", "\\'")}')`;
  if (value instanceof Set) return 'set()';
  if (value instanceof Promise || value instanceof RegExp) return `<${value.constructor.name}>`;
  return null;
}

/** One run over one value. */
class ReprWriter {
  #out = '';
  #left: number;
  /** The budget is used up: only closing brackets follow. */
  #cut = false;

  constructor(limit: number) {
    this.#left = limit;
  }

  run(write: () => void): string {
    try {
      write();
    } catch {
      return '<Unrepresentable>'; // a getter or a proxy of user code threw
    }
    return this.#out;
  }

  writeValue(value: unknown, level: number): void {
    if (typeof value === 'string') this.#writeString(value);
    else if (typeof value === 'object' && value !== null) this.#writeObject(value, level);
    else this.#writeScalar(reprScalar(value));
  }

  writeItems(open: string, items: readonly unknown[], close: string, level: number): void {
    if (level >= maxLevels) {
      this.#writeScalar(`${open}...${close}`);
      return;
    }
    if (this.#emit(open)) {
      for (let i = 0; i < items.length; i++) {
        if (i > 0 && !this.#emit(', ')) break;
        this.writeValue(items[i], level + 1);
        if (this.#cut) break;
      }
    }
    this.#close(close);
  }

  writeEntries(entries: readonly (readonly [unknown, unknown])[], level: number): void {
    if (level >= maxLevels) {
      this.#writeScalar('{...}');
      return;
    }
    if (this.#emit('{')) {
      let first = true;
      for (const [key, value] of entries) {
        if (!first && !this.#emit(', ')) break;
        first = false;
        this.writeValue(key, level + 1);
        if (this.#cut || !this.#emit(': ')) break;
        this.writeValue(value, level + 1);
        if (this.#cut) break;
      }
    }
    this.#close('}');
  }

  #writeObject(value: object, level: number): void {
    if (Array.isArray(value)) this.writeItems('[', value, ']', level);
    else if (value instanceof Uint8Array) this.#writeBytes(value);
    else if (value instanceof Set && value.size > 0) this.writeItems('{', [...value], '}', level);
    else if (value instanceof Map) this.writeEntries([...value], level);
    else {
      const text = reprOpaque(value);
      if (text === null) this.writeEntries(Object.entries(value), level);
      else this.#writeScalar(text);
    }
  }

  #writeString(value: string): void {
    if (this.#left <= 0) {
      this.#truncate();
      return;
    }
    let text = value.length >= this.#left ? cutAtSpace(value, this.#left) : value;
    if (text.includes("'")) text = text.replaceAll("'", "\\'");
    this.#out += `'${text}'`;
    this.#left -= text.length + 2;
  }

  #writeBytes(value: Uint8Array): void {
    const whole = value.byteLength <= this.#left;
    const chunk = Buffer.from(value.buffer, value.byteOffset, whole ? value.byteLength : Math.max(0, this.#left));
    this.#emit(`b'${isUtf8(chunk) ? chunk.toString('utf8') : chunk.toString('hex')}${whole ? '' : '...'}'`);
  }

  #writeScalar(text: string): void {
    this.#emit(text.length >= this.#left && this.#left > 0 ? cutAtSpace(text, this.#left) : text);
  }

  #emit(token: string): boolean {
    if (this.#left <= 0) {
      this.#truncate();
      return false;
    }
    this.#out += token;
    this.#left -= token.length;
    return true;
  }

  /** A bracket that meets an empty budget is replaced by the ellipsis; after the ellipsis the enclosing ones still close. */
  #close(bracket: string): void {
    if (this.#cut) this.#out += bracket;
    else this.#emit(bracket);
  }

  #truncate(): void {
    this.#out += ', ...';
    this.#cut = true;
  }
}

function cutAtSpace(text: string, length: number): string {
  const cut = text.slice(0, length);
  const space = cut.lastIndexOf(' ');
  return `${space === -1 ? cut : cut.slice(0, space)}...`;
}
