import t from 'tap';
import { taggedTable } from '../../src/driver/amqp-table.ts';
import { decodeTable } from '../../src/std/field-table.ts';

t.test('every integer is an int32, or an int64 beyond; no narrow tag ever', async (t) => {
  const tags = (value: unknown): unknown => taggedTable({ value }).value;
  for (const value of [0, 1, -1, 127, 128, -128, -129, 255, 32_767, 32_768, 2 ** 31 - 1, -(2 ** 31), -0]) {
    t.strictSame(tags(value), { '!': 'int', value }, `${value}`);
  }
  for (const value of [2 ** 31, 2 ** 53 - 1, 2 ** 60]) t.strictSame(tags(value), { '!': 'int64', value });
  for (const value of [-(2 ** 31) - 1, -(2 ** 53), 0.5, -1.25, 2 ** 63, 1e300]) t.strictSame(tags(value), { '!': 'double', value });
  t.strictSame(tags(5n), { '!': 'int', value: 5 });
  t.strictSame(tags(2n ** 40n), { '!': 'int64', value: 2 ** 40 });
  t.strictSame(tags(-(2n ** 40n)), { '!': 'double', value: -(2 ** 40) });
  t.strictSame(tags(2n ** 60n), { '!': 'int64', value: 2n ** 60n });
  t.throws(() => tags(2n ** 63n), TypeError);
  t.strictSame(tags({ deep: [1, { deeper: 2 }, null, undefined] }), {
    deep: [{ '!': 'int', value: 1 }, { deeper: { '!': 'int', value: 2 } }, null, null],
  });
  t.strictSame(
    tags({ '!': 'int8', value: 3 }),
    { '!': 'object', value: { '!': 'int8', value: { '!': 'int', value: 3 } } },
    'a key of the user',
  );
  t.strictSame(tags(new Date(1_500_000_000_999)), { '!': 'timestamp', value: 1_500_000_000 });
  t.strictSame(Object.keys(taggedTable(JSON.parse('{"__proto__": {"a": 1}, "b": 2}'))), ['__proto__', 'b']);
  t.throws(() => taggedTable({ ['x'.repeat(256)]: 1 }), /at most 255 bytes/);
  t.throws(() => tags(() => {}), /got function/);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) t.throws(() => tags(value), /must be finite/);
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
  t.doesNotThrow(() => tags(nested(100)));
  t.throws(() => tags(nested(101)), /nested at most 100 deep/);
  t.throws(() => tags(nested(2000)), /nested at most 100 deep/);
  for (const time of [253_402_300_800_000, 8.64e15, Number.NaN]) t.throws(() => tags(new Date(time)), /before the year 10000/);
});

/** A table of one field. */
const field = (tag: string, ...bytes: readonly number[]): Buffer => Buffer.from([1, 0x61, tag.charCodeAt(0), ...bytes]);

t.test('every tag RabbitMQ forwards is read, L among them', async (t) => {
  const read = (tag: string, ...bytes: readonly number[]): unknown => decodeTable(field(tag, ...bytes)).a;
  t.equal(read('L', 0, 0, 1, 0, 0, 0, 0, 0), 2 ** 40);
  t.equal(read('l', 255, 255, 255, 255, 255, 255, 255, 255), -1);
  t.equal(read('l', 127, 255, 255, 255, 255, 255, 255, 255), 2n ** 63n - 1n, 'exact');
  t.equal(read('I', 255, 255, 255, 254), -2);
  t.equal(read('i', 255, 255, 255, 254), 4_294_967_294);
  t.equal(read('b', 255), -1);
  t.equal(read('B', 255), 255);
  t.equal(read('s', 255, 255), -1);
  t.equal(read('u', 255, 255), 65_535);
  t.equal(read('t', 1), true);
  t.equal(read('d', 0x3f, 0xe0, 0, 0, 0, 0, 0, 0), 0.5);
  t.equal(read('f', 0x3f, 0, 0, 0), 0.5);
  t.equal(read('D', 2, 0, 0, 1, 0x3b), 3.15);
  t.strictSame(read('T', 0, 0, 0, 0, 0, 0, 0, 2), new Date(2000));
  t.equal(read('V'), null);
  t.equal(read('S', 0, 0, 0, 2, 0xc3, 0xbc), 'ü');
  t.equal(read('x', 0, 0, 0, 1, 0x41), 'A');
  t.strictSame(read('A', 0, 0, 0, 3, 0x56, 0x74, 1), [null, true]);
  t.strictSame(read('F', 0, 0, 0, 3, 1, 0x62, 0x56), { b: null });
});

t.test('broken bytes are an error and nothing worse', async (t) => {
  const broken = [
    field('?'),
    field('I', 0, 0),
    field('S', 0, 0, 0, 9, 0x41),
    field('S', 255, 255, 255, 255),
    field('A', 0, 0, 0, 9, 0x56),
    field('F', 0, 0, 0, 9),
    field('A', 0, 0, 0, 2, 0x49, 0),
    Buffer.from([200]),
    Buffer.from([1, 0x61]),
  ];
  for (const bytes of broken) t.throws(() => decodeTable(bytes), `${bytes.toString('hex')}`);
});
