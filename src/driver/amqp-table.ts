/**
 * AMQP field tables: how values become tagged bytes and how bytes become values again.
 *
 * Owns two rules that amqplib does not keep:
 *  - written: an integer is an int32 or, beyond that, an int64, never narrower. py-amqp up to 5.1.1 reads the narrow tags as something
 *    else, and one such header ends every Python worker that the message reaches (protocol notes, amqp.md §2). It also takes every int64
 *    for positive: a number below -2^31 is a double, which is the same to both sides (a bigint, which a double cannot hold, is an int64);
 *  - read: every tag that RabbitMQ forwards is known, among them `L` (py-amqp's int64), and a broken table is one bad message and not the end of the
 *    connection. Integers beyond 2^53 become bigints, timestamps Dates.
 */

/** amqplib's way to say which tag a value gets. */
interface Tagged {
  readonly '!': string;
  readonly value: unknown;
}

const int32Max = 2 ** 31 - 1;
const int64Max = 2n ** 63n - 1n;

/** For amqplib's encoder: every number with the tag it is to have. Throws a TypeError for what no table can hold. */
export function taggedTable(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const table: Record<string, unknown> = {};
  for (const key in values) {
    if (!Object.hasOwn(values, key)) continue;
    const value = values[key];
    if (value === undefined) continue;
    if (key.length > 80 && Buffer.byteLength(key) > 255) throw new TypeError(`a header name must have at most 255 bytes, got '${key}'`);
    // A plain key: '__proto__' from JSON would set the prototype.
    if (key === '__proto__') Object.defineProperty(table, key, { value: taggedValue(value), enumerable: true });
    else table[key] = taggedValue(value);
  }
  return table;
}

function taggedValue(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return taggedNumber(value);
    case 'bigint':
      return taggedBigint(value);
    case 'object':
      break;
    default:
      throw new TypeError(`a header must be text, number, boolean, null, list or table, got ${typeof value}`);
  }
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((item) => taggedValue(item === undefined ? null : item));
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof Date) return { '!': 'timestamp', value: Math.max(0, Math.floor(value.getTime() / 1000)) } satisfies Tagged;
  const table = taggedTable(value as Record<string, unknown>);
  // A table with a key '!' would be taken for a tagged value.
  return Object.hasOwn(table, '!') ? ({ '!': 'object', value: table } satisfies Tagged) : table;
}

function taggedNumber(value: number): Tagged {
  if (!Number.isInteger(value)) return { '!': 'double', value };
  if (value >= -int32Max - 1 && value <= int32Max) return { '!': 'int', value };
  if (value < 0) return { '!': 'double', value };
  return value < 2 ** 63 ? { '!': 'int64', value } : { '!': 'double', value };
}

function taggedBigint(value: bigint): Tagged {
  if (value >= -2_147_483_648n && value <= 2_147_483_647n) return { '!': 'int', value: Number(value) };
  if (value > int64Max || value < -int64Max - 1n) throw new TypeError(`an integer in a header must fit into 64 bits, got ${value}`);
  return { '!': 'int64', value };
}

/** The fields of a table, without its length. Throws a RangeError or TypeError for bytes that are none. */
export function decodeTable(bytes: Buffer): Record<string, unknown> {
  return new TableReader(bytes).table(bytes.length);
}

class TableReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  table(end: number): Record<string, unknown> {
    const table: Record<string, unknown> = {};
    while (this.#at < end) {
      const bytes = this.#bytes;
      const length = bytes[this.#at] ?? 0;
      const start = this.#at + 1;
      this.#at = start + length;
      const key = bytes.toString('utf8', start, this.#at);
      const value = this.#value();
      if (key === '__proto__') Object.defineProperty(table, key, { value, enumerable: true, configurable: true, writable: true });
      else table[key] = value;
    }
    if (this.#at !== end) throw new RangeError('a field table ends in the middle of a value');
    return table;
  }

  #take(count: number): number {
    const at = this.#at;
    this.#at = at + count;
    if (this.#at > this.#bytes.length) throw new RangeError('a field table ends in the middle of a value');
    return at;
  }

  #length(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  #value(): unknown {
    const bytes = this.#bytes;
    const tag = bytes[this.#take(1)];
    switch (tag) {
      case 0x53: {
        const length = this.#length();
        const at = this.#take(length);
        return bytes.toString('utf8', at, at + length);
      }
      case 0x56:
        return null;
      case 0x49:
        return bytes.readInt32BE(this.#take(4));
      case 0x74:
        return bytes[this.#take(1)] !== 0;
      case 0x46: {
        const length = this.#length();
        const end = this.#at + length;
        if (end > bytes.length) throw new RangeError('a field table ends in the middle of a value');
        return this.table(end);
      }
      case 0x41:
        return this.#array();
      case 0x64:
        return bytes.readDoubleBE(this.#take(8));
      // 'l', and 'L' as py-amqp writes it.
      case 0x6c:
      case 0x4c:
        return exact(bytes.readBigInt64BE(this.#take(8)));
      case 0x62:
        return bytes.readInt8(this.#take(1));
      case 0x42:
        return bytes.readUInt8(this.#take(1));
      case 0x73:
        return bytes.readInt16BE(this.#take(2));
      case 0x75:
        return bytes.readUInt16BE(this.#take(2));
      case 0x69:
        return bytes.readUInt32BE(this.#take(4));
      case 0x66:
        return bytes.readFloatBE(this.#take(4));
      case 0x44: {
        const places = bytes.readUInt8(this.#take(1));
        return bytes.readInt32BE(this.#take(4)) / 10 ** places;
      }
      case 0x54:
        return timestamp(bytes.readBigUInt64BE(this.#take(8)));
      case 0x78: {
        const length = this.#length();
        const at = this.#take(length);
        return bytes.toString('utf8', at, at + length);
      }
      default:
        throw new TypeError(`a value in a field table has an unknown tag: ${tag}`);
    }
  }

  #array(): unknown[] {
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('a field table ends in the middle of a value');
    const list: unknown[] = [];
    while (this.#at < end) list.push(this.#value());
    if (this.#at !== end) throw new RangeError('a list in a field table ends in the middle of a value');
    return list;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Seconds; what no Date can hold stays a number. */
function timestamp(seconds: bigint): Date | number {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? Number(seconds) : date;
}
