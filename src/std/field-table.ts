/**
 * AMQP field tables: bytes become values. Written they are by driver/amqp-table.ts.
 *
 * Every tag that RabbitMQ forwards is known, among them `L` (py-amqp's int64), and a broken table is one bad message and not the end of the
 * connection. Integers beyond 2^53 become bigints, timestamps Dates.
 */

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
