import t from 'tap';
import { encodeJson, parseJson } from '../../src/protocol/json.ts';

t.test('reads what JSON.parse reads', async (t) => {
  for (const text of ['null', '[1,2.5,"a",true,{"k":null}]', '{"__proto__": 1}', '"NaN"', '"\\u00e9\\ud83d\\ude00"']) {
    t.same(parseJson(text), JSON.parse(text), text);
  }
  t.ok(Object.hasOwn(parseJson('{"__proto__": 1}') as object, '__proto__'));
});

t.test('reads bare words outside of strings only', async (t) => {
  t.same(parseJson('[NaN, Infinity, -Infinity, "NaN, Infinity", 1]'), [Number.NaN, Infinity, -Infinity, 'NaN, Infinity', 1]);
  t.same(parseJson('{"NaN": NaN, "a\\"NaN": "\\\\", "b": [Infinity]}'), { NaN: Number.NaN, 'a"NaN': '\\', b: [Infinity] });
  t.ok(Number.isNaN(parseJson('NaN')));
  const long = 'x'.repeat(3_000_000);
  t.same(parseJson(`["${long}", NaN]`), [long, Number.NaN]);
});

t.test('keeps big integers', async (t) => {
  t.same(parseJson('[12345678901234567890, -9007199254740993, 9007199254740991]'), [
    12345678901234567890n,
    -9007199254740993n,
    9007199254740991,
  ]);
  t.same(parseJson('{"id": 1234567890123456789, "f": 0.12345678901234566, "s": "12345678901234567890"}'), {
    id: 1234567890123456789n,
    f: 0.12345678901234566,
    s: '12345678901234567890',
  });
  t.equal(parseJson('12345678901234567890'), 12345678901234567890n);
  t.same(parseJson('[NaN, 12345678901234567890]'), [Number.NaN, 12345678901234567890n]);
  t.equal(parseJson('1e400'), Infinity, 'a float stays a float');
  for (let offset = 0; offset < 40; offset++) {
    const text = `["${'-'.repeat(offset)}",12345678901234567]`;
    t.equal((parseJson(text) as unknown[])[1], 12345678901234567n, `found at any place: ${offset}`);
  }
});

t.test('refuses what is not JSON', async (t) => {
  for (const text of ['', '{', '[1,]', 'nan', '[NaN', '"NaN', 'Infinity Infinity', "{'a': 1}", '\\NaN']) {
    t.throws(() => parseJson(text), { name: 'SyntaxError' }, text);
  }
});

t.test('writes as JSON.stringify does', async (t) => {
  const bare = Object.create(null) as Record<string, unknown>;
  bare.a = 1;
  for (const value of [
    null,
    1,
    -0,
    'é"\n',
    true,
    [],
    {},
    [1, [2, { a: 'b' }]],
    { a: { b: [null] } },
    { a: undefined, b: 1 },
    bare,
    '\ud800',
  ]) {
    t.equal(encodeJson(value), JSON.stringify(value));
  }
  t.equal(encodeJson([1, undefined, 2]), '[1,null,2]');
  class Point {
    x = 1;
    y = undefined;
  }
  t.equal(encodeJson({ at: new Point() }), '{"at":{"x":1}}');
  t.equal(encodeJson({ toJSON: () => ({ n: 1n }) }), '{"n":1}');
  t.equal(encodeJson(new URL('http://example.com/')), '"http://example.com/"');
});

t.test('writes what JSON.stringify cannot', async (t) => {
  t.equal(encodeJson([Number.NaN, Infinity, -Infinity, 1]), '[NaN,Infinity,-Infinity,1]');
  t.equal(encodeJson(Number.NaN), 'NaN');
  t.equal(encodeJson({ big: 12345678901234567890n, list: [1n] }), '{"big":12345678901234567890,"list":[1]}');
  t.equal(encodeJson([new Date('2030-01-02T03:04:05.678Z')]), '["2030-01-02T03:04:05.678000+00:00"]');
  const twice = { a: 1 };
  t.equal(encodeJson([twice, twice, Number.NaN]), '[{"a":1},{"a":1},NaN]', 'the same object twice is no cycle');
});

t.test('refuses what would be lost, in Python words', async (t) => {
  const refused: [unknown, string][] = [
    [new Map([[1, 2]]), 'Map'],
    [{ a: new Set() }, 'Set'],
    [[Promise.resolve(1)], 'Promise'],
    [() => 1, 'function'],
    [{ deep: [{ f: () => 1 }] }, 'function'],
    [Symbol('s'), 'symbol'],
    [undefined, 'undefined'],
    [new Error('x'), 'Error'],
    [new RangeError('x'), 'RangeError'],
    [Buffer.from('x'), 'Buffer'],
    [new Uint8Array(1), 'Uint8Array'],
    [/x/, 'RegExp'],
    [new Date(Number.NaN), 'Invalid Date'],
  ];
  for (const [value, name] of refused) {
    t.throws(() => encodeJson(value), { name: 'TypeError', message: `Object of type ${name} is not JSON serializable` }, name);
  }
});

t.test('cycles and depth', async (t) => {
  const cycle: Record<string, unknown> = { a: [1] };
  cycle.self = [cycle];
  t.throws(() => encodeJson(cycle), { name: 'RangeError', message: 'Circular reference detected' });
  const nest = (depth: number) => {
    let value: unknown = 1;
    for (let i = 0; i < depth; i++) value = [value];
    return value;
  };
  t.equal(encodeJson(nest(500)), JSON.stringify(nest(500)));
  t.throws(() => encodeJson(nest(100_000)), { name: 'RangeError', message: /nested 900 levels/ });
});
