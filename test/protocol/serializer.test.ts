import t from 'tap';
import { decodeContent, encodeContent, isAccepted, refusalOf } from '../../src/protocol/serializer.ts';

t.test('accept lists', async (t) => {
  t.ok(isAccepted('application/json', ['json']));
  t.ok(isAccepted('application/json', ['application/json']));
  t.ok(isAccepted('application/x-yaml', ['json', 'yaml']));
  t.ok(isAccepted('application/foo', ['application/foo']), 'unknown types can be accepted');
  t.notOk(isAccepted('application/x-python-serialize', ['json']));
  t.notOk(isAccepted('application/json', []));
  for (const trusted of ['application/data', 'application/text', '']) t.ok(isAccepted(trusted, []), `always trusted: ${trusted}`);
});

t.test('refusals in the words of kombu', async (t) => {
  const start = 'Refusing to deserialize untrusted content of type';
  t.equal(refusalOf('application/x-python-serialize'), `${start} pickle (application/x-python-serialize)`);
  t.equal(refusalOf('application/foo'), `${start} application/foo (application/foo)`);
});

t.test('json', async (t) => {
  const { body, contentType, contentEncoding } = encodeContent({ a: ['é', null] }, 'json');
  t.equal(body.toString(), '{"a":["é",null]}');
  t.equal(contentType, 'application/json');
  t.equal(contentEncoding, 'utf-8');
  t.strictSame(decodeContent(body, contentType, contentEncoding), { a: ['é', null] });
  t.throws(() => decodeContent(Buffer.from('{'), 'application/json', 'utf-8'), { code: 'MESSAGE_UNDECODABLE', message: /must be JSON/ });
  t.throws(() => decodeContent(Buffer.alloc(0), 'application/json', 'utf-8'), { code: 'MESSAGE_UNDECODABLE' });
  t.throws(() => decodeContent(Buffer.from([0x22, 0xff, 0x22]), 'application/json', 'utf-8'), {
    code: 'MESSAGE_UNDECODABLE',
    message: /UTF-8/,
  });
});

t.test('type envelopes', async (t) => {
  const decode = (text: string) => decodeContent(Buffer.from(text), 'application/json', 'utf-8');
  t.strictSame(decode('{"at": [{"__type__": "datetime", "__value__": "2030-01-02T03:04:05.678901+00:00"}]}'), {
    at: [new Date('2030-01-02T03:04:05.678Z')],
  });
  t.strictSame(
    decode('{"__type__": "uuid", "__value__": {"hex": "00000000000040008000000000000001", "version": 4}}'),
    '00000000-0000-4000-8000-000000000001',
  );
  t.strictSame(
    decode('{"__type__": "date", "__value__": "2030-01-02", "more": 1}'),
    { __type__: 'date', __value__: '2030-01-02', more: 1 },
    'exactly two keys',
  );
  t.strictSame(Object.keys(decode('{"__proto__": {"__type__": "date", "__value__": "2030-01-02"}}') as object), ['__proto__']);
  const bad = [
    '{"__type__": "complex", "__value__": 1}',
    '{"__type__": "datetime", "__value__": "soon"}',
    '{"__type__": "uuid", "__value__": "x"}',
    '{"__type__": "bytes", "__value__": 5}',
  ];
  for (const text of bad) t.throws(() => decode(text), { code: 'MESSAGE_UNDECODABLE' }, text);
});

t.test('raw and text', async (t) => {
  t.strictSame(encodeContent(Buffer.from([1, 2]), 'raw'), {
    body: Buffer.from([1, 2]),
    contentType: 'application/data',
    contentEncoding: 'binary',
  });
  t.strictSame(encodeContent('é', 'text'), { body: Buffer.from('é'), contentType: 'text/plain', contentEncoding: 'utf-8' });
  t.throws(() => encodeContent({}, 'raw'), { name: 'TypeError' });
  t.throws(() => encodeContent(1, 'text'), { name: 'TypeError' });
  t.strictSame(decodeContent(Buffer.from([0xff]), 'application/data', 'binary'), Buffer.from([0xff]));
  t.equal(decodeContent(Buffer.from('é'), 'text/plain', 'UTF-8'), 'é');
  t.equal(decodeContent(Buffer.from('é'), 'application/foo', ''), 'é');
  t.equal(decodeContent(Buffer.from([0xe9]), 'text/plain', 'iso-8859-1'), 'é');
  t.throws(() => decodeContent(Buffer.from('x'), 'text/plain', 'no-such'), { code: 'MESSAGE_UNDECODABLE' });
});

t.test('known and not built', async (t) => {
  for (const type of ['application/x-yaml', 'application/x-msgpack', 'application/x-python-serialize']) {
    t.throws(() => decodeContent(Buffer.from('x'), type, 'binary'), { code: 'NOT_SUPPORTED', message: new RegExp(type) });
  }
  for (const name of ['yaml', 'msgpack', 'pickle', 'auth', 'nonsense'])
    t.throws(() => encodeContent(1, name), { code: 'NOT_SUPPORTED' }, name);
});
