/**
 * AMQP field tables: how values become tagged bytes. Read they are by std/field-table.ts.
 *
 * Owns a rule that amqplib does not keep: an integer is an int32 or, beyond that, an int64, never narrower. py-amqp up to 5.1.1 reads the
 * narrow tags as something else, and one such header ends every Python worker that the message reaches (protocol notes, amqp.md §2). It
 * also takes every int64 for positive: a number below -2^31 is a double, which is the same to both sides (a bigint, which a double cannot
 * hold, is an int64).
 */

/** amqplib's way to say which tag a value gets. */
interface Tagged {
  readonly '!': string;
  readonly value: unknown;
}

const int32Max = 2 ** 31 - 1;
const int64Max = 2n ** 63n - 1n;
/** The last second of the year 9999: a later time in a header ends Python workers. */
const lastSecond = 253_402_300_799;
/** Python's readers call themselves for each level and end at about a thousand; with that its worker. */
const deepest = 100;

/** For amqplib's encoder: every number with the tag it is to have. Throws a TypeError for what no table can hold. */
export function taggedTable(values: Readonly<Record<string, unknown>>, depth = 0): Record<string, unknown> {
  const table: Record<string, unknown> = {};
  for (const key in values) {
    if (!Object.hasOwn(values, key)) continue;
    const value = values[key];
    if (value === undefined) continue;
    if (key.length > 80 && Buffer.byteLength(key) > 255) throw new TypeError(`a header name must have at most 255 bytes, got '${key}'`);
    // A plain key: '__proto__' from JSON would set the prototype.
    if (key === '__proto__') Object.defineProperty(table, key, { value: taggedValue(value, depth), enumerable: true });
    else table[key] = taggedValue(value, depth);
  }
  return table;
}

function taggedValue(value: unknown, depth: number): unknown {
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
  if (depth === deepest) throw new TypeError(`a header must be nested at most ${deepest} deep`);
  if (Array.isArray(value)) return value.map((item) => taggedValue(item === undefined ? null : item, depth + 1));
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof Date) return taggedDate(value);
  const table = taggedTable(value as Record<string, unknown>, depth + 1);
  // A table with a key '!' would be taken for a tagged value.
  return Object.hasOwn(table, '!') ? ({ '!': 'object', value: table } satisfies Tagged) : table;
}

function taggedDate(value: Date): Tagged {
  const seconds = Math.floor(value.getTime() / 1000);
  if (!(seconds <= lastSecond)) throw new TypeError(`a time in a header must be a time before the year 10000, got ${value}`);
  return { '!': 'timestamp', value: Math.max(0, seconds) };
}

function taggedNumber(value: number): Tagged {
  // RabbitMQ cannot read them, and ends the connection: the message would be sent again and again.
  if (!Number.isFinite(value)) throw new TypeError(`a number in a header must be finite, got ${value}`);
  if (!Number.isInteger(value)) return { '!': 'double', value };
  if (value >= -int32Max - 1 && value <= int32Max) return { '!': 'int', value };
  if (value < 0) return { '!': 'double', value };
  return value < 2 ** 63 ? { '!': 'int64', value } : { '!': 'double', value };
}

function taggedBigint(value: bigint): Tagged {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return taggedNumber(number);
  if (value > int64Max || value < -int64Max - 1n) throw new TypeError(`an integer in a header must fit into 64 bits, got ${value}`);
  return { '!': 'int64', value };
}
