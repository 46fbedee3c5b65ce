import t from 'tap';
import { sliceElements, sliceMember } from '../../src/protocol/json-slice.ts';

t.test('elements of an array', async (t) => {
  t.strictSame(sliceElements('[]'), []);
  t.strictSame(sliceElements(' [ 1 , "a,]\\"b" ,{"k": [1, {"x": "}"}]}, -1.50, NaN, [[ ]], null ] '), [
    '1',
    '"a,]\\"b"',
    '{"k": [1, {"x": "}"}]}',
    '-1.50',
    'NaN',
    '[[ ]]',
    'null',
  ]);
  t.strictSame(sliceElements('["\\\\", "\\\\\\"]"]'), ['"\\\\"', '"\\\\\\"]"']);
  t.strictSame(sliceElements('[123456789012345678901234567890]'), ['123456789012345678901234567890'], 'every digit is kept');
});

t.test('the value of a key', async (t) => {
  const text = '{"status": "SUCCESS", "nested": {"result": 1}, "result": [1, {"a": "}"}], "x": {}}';
  t.equal(sliceMember(text, 'result'), '[1, {"a": "}"}]');
  t.equal(sliceMember(text, 'status'), '"SUCCESS"');
  t.equal(sliceMember(text, 'a'), null);
  t.equal(sliceMember('{}', 'a'), null);
  t.equal(sliceMember('{"a":1,"a":2}', 'a'), '2');
  t.equal(sliceMember('{"a":"b"}', 'b'), null, 'a value is no key');
});

t.test('what is not JSON of that kind gives nothing, and an end', async (t) => {
  for (const text of ['', '1', '{}', '[', '[1', '[1,', '[1 2]', '["', '["a', '[{', ']', '[1}']) t.equal(sliceElements(text), null, text);
  for (const text of ['', '[]', '{', '{"a', '{"a"', '{"a" 1}', '{a:1}']) t.equal(sliceMember(text, 'a'), null, text);
});

t.test('pieces parse to what the whole parses to', async (t) => {
  const value = [1, 'ü\u2028"\\', { a: [[], {}, null, true], 'b"c': '\\' }, [1.5e300, -0.1], ''];
  for (const text of [JSON.stringify(value), JSON.stringify(value, null, 3)]) {
    t.strictSame(
      sliceElements(text)?.map((piece) => JSON.parse(piece)),
      value,
    );
    t.strictSame(JSON.parse(sliceMember(`{"z":"","r" : ${text}}`, 'r') ?? ''), value);
  }
});
