import t from 'tap';
import type { Message } from '../../src/protocol/message.ts';
import { decodeEnvelope, encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';

const message: Message = {
  properties: {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: 'c"1',
    replyTo: '',
    deliveryMode: 2,
    priority: 3,
    expiration: '1500',
    extra: { message_id: 'm-1' },
  },
  headers: { task: 'proj.é', n: Number.NaN },
  body: Buffer.from([0, 0xff, 0x22]),
};
const address = { exchange: 'x"', routingKey: 'celery', deliveryTag: 'tag-1' };

const envelope = (changes: Record<string, unknown>, properties: Record<string, unknown> = {}): string =>
  JSON.stringify({
    body: 'e30=',
    'content-type': 'application/json',
    headers: {},
    properties: { delivery_tag: 't', delivery_info: { exchange: '', routing_key: 'q' }, body_encoding: 'base64', ...properties },
    ...changes,
  });

t.test('round trip', async (t) => {
  const read = decodeEnvelope(encodeEnvelope(message, address));
  t.strictSame(read.message.properties, message.properties);
  t.equal(read.message.headers?.task, 'proj.é');
  t.ok(Number.isNaN(read.message.headers?.n));
  t.strictSame(read.message.body, message.body);
  t.match(read, { exchange: 'x"', routingKey: 'celery', deliveryTag: 'tag-1', redelivered: false });
});

t.test('redelivery is marked in both places, the message is left alone', async (t) => {
  const text = encodeEnvelope(message, { ...address, redelivered: true });
  t.match(JSON.parse(text.replace('NaN', 'null')), {
    headers: { redelivered: true },
    properties: { delivery_info: { redelivered: true } },
  });
  t.equal(decodeEnvelope(text).redelivered, true);
  t.notOk('redelivered' in (message.headers ?? {}));
});

t.test('what kombu tolerates', async (t) => {
  const plain = decodeEnvelope(envelope({ body: '{"é": 1}' }, { body_encoding: undefined, delivery_tag: 17 }));
  t.equal(plain.message.body.toString(), '{"é": 1}');
  t.equal(plain.deliveryTag, '17');
  t.strictSame(plain.message.properties, { contentType: 'application/json', contentEncoding: '' });
  t.equal(decodeEnvelope(envelope({ headers: undefined })).message.headers, null);
  t.equal(decodeEnvelope(envelope({ headers: null })).message.headers, null);
  t.equal(decodeEnvelope(envelope({ 'content-type': undefined })).message.properties.contentType, '');
  t.equal(Array.isArray(decodeEnvelope(envelope({ unknown: 1 }, { stray: [1] })).message.properties.extra?.stray), true);
});

t.test('what ends a Python worker is one undecodable message here', async (t) => {
  const bad = [
    'not json',
    '[]',
    'null',
    envelope({ properties: undefined }),
    envelope({}, { delivery_tag: undefined }),
    envelope({}, { delivery_info: undefined }),
    envelope({}, { body_encoding: 'rot13' }),
    envelope({ body: undefined }),
    envelope({ body: { a: 1 } }),
  ];
  for (const text of bad) t.throws(() => decodeEnvelope(text), { code: 'MESSAGE_UNDECODABLE', message: /envelope/ }, text.slice(0, 50));
});
