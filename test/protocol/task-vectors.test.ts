/** Every task message captured from real Celery is read, and what we write from it equals it, field by field. */
import t, { type Test } from 'tap';
import { parseIsoTime } from '../../src/protocol/iso-time.ts';
import type { Message } from '../../src/protocol/message.ts';
import { encodeTask, readContent, readReceipt, type TaskContent, type TaskHeader } from '../../src/protocol/task-message.ts';
import { decodeEnvelope, encodeEnvelope } from '../../src/protocol/virtual-envelope.ts';
import { type AmqpMessage, loadVectors, messageOfAmqp, messagesOf, type RedisMessage, type TaskVector } from './vectors.ts';

/** Read to the end only by a later version; until then a clear error. */
const notBuilt: ReadonlySet<string> = new Set([
  'compression-bzip2',
  'compression-lzma',
  'serializer-yaml',
  'serializer-msgpack',
  'serializer-pickle',
]);

/** Values of kombu's envelopes are read; written they are plain JSON. */
const notWrittenBack: ReadonlySet<string> = new Set(['json-datetime', 'json-decimal-uuid-date-time', 'json-bytes', 'json-binary']);

function headerOf(t: Test, message: Message, name: string): TaskHeader | null {
  const receipt = readReceipt(message);
  t.equal(receipt.kind, 'task', `${name} is a task`);
  return receipt.kind === 'task' ? receipt.header : null;
}

function checkMessage(t: Test, name: string, message: Message, bodyText: string | undefined): void {
  const header = headerOf(t, message, name);
  if (header === null) return;
  t.equal(header.protocol, name.startsWith('protocol1') ? 1 : 2, `${name}: protocol`);
  if (notBuilt.has(name)) {
    t.throws(() => readContent(message, header.protocol), { code: 'NOT_SUPPORTED' }, `${name}: not built`);
    return;
  }
  const content = readContent(message, header.protocol);
  checkContent(t, name, header, content, bodyText);
  if (!notWrittenBack.has(name)) checkWriting(t, name, message, header, content);
}

function checkContent(t: Test, name: string, header: TaskHeader, content: TaskContent, bodyText: string | undefined): void {
  if (bodyText === undefined || notWrittenBack.has(name)) return;
  const body = JSON.parse(bodyText);
  if (header.protocol === 1) {
    t.match(
      { ...content },
      { args: body.args, kwargs: body.kwargs, callbacks: body.callbacks, errbacks: body.errbacks, chain: null },
      `${name}: content`,
    );
    t.equal(header.group, body.taskset, `${name}: group`);
  } else {
    t.strictSame({ ...content }, { args: body[0], kwargs: body[1], ...body[2] }, `${name}: content`);
  }
}

function checkWriting(t: Test, name: string, original: Message, header: TaskHeader, content: TaskContent): void {
  const sent = original.headers as Record<string, unknown>;
  const { task, id, stampedHeaders, stamps, ...fields } = header;
  const known = new Set([
    ...Object.keys(encodeTask({ task, id, args: [], kwargs: {}, origin: '' }).headers ?? {}),
    'ignore_result',
    'compression',
  ]);
  const custom = Object.fromEntries(Object.entries(sent).filter(([key]) => !known.has(key)));
  const written = encodeTask({
    ...fields,
    ...content,
    task,
    id,
    origin: header.origin ?? '',
    stampedHeaders,
    stamps,
    headers: custom,
    compression: (sent.compression as string | undefined) ?? null,
    replyTo: original.properties.replyTo ?? null,
    priority: original.properties.priority ?? null,
    deliveryMode: original.properties.deliveryMode ?? null,
  });

  // Unknown properties are stray ones: Celery 5.2 lets some options leak there.
  const { expiration, priority, extra, ...properties } = original.properties;
  const { expiration: ours, priority: ourPriority, ...ourProperties } = written.properties;
  t.strictSame(ourProperties, properties, `${name}: properties`);
  t.equal(ours === undefined, expiration === undefined, `${name}: expiration`);
  t.equal(ourPriority, priority ?? 0, `${name}: priority`);
  t.strictSame(readContent(written, header.protocol), content, `${name}: content is read back`);
  if (header.protocol === 1) {
    t.same(Object.keys(JSON.parse(written.body.toString())), Object.keys(JSON.parse(original.body.toString())), `${name}: keys in order`);
    return;
  }

  const headers = written.headers as Record<string, unknown>;
  for (const [key, value] of Object.entries(sent)) {
    if (key === 'lang') t.equal(headers.lang, 'js', `${name}: lang`);
    else if ((key === 'eta' || key === 'expires') && typeof value === 'string') {
      t.equal(parseIsoTime(String(headers[key])), parseIsoTime(value), `${name}: ${key} is the same moment`);
    } else t.strictSame(headers[key], value, `${name}: header ${key}`);
  }
  const names = Object.keys(headers).filter((key) => key in sent);
  t.strictSame(names, Object.keys(sent), `${name}: headers in order`);
}

t.test('AMQP messages of Celery 5.2.6', async (t) => {
  const vectors = loadVectors(t, 'tasks-amqp.json') as TaskVector<AmqpMessage>[] | null;
  if (vectors === null) return;
  t.ok(vectors.length >= 67);
  for (const vector of vectors) {
    for (const message of messagesOf(vector)) checkMessage(t, vector.name, messageOfAmqp(message), message.body_text);
  }
});

t.test('AMQP messages of Celery 5.6.3', async (t) => {
  const file = loadVectors(t, 'tasks-amqp-5.6.3.json') as { vectors: TaskVector<AmqpMessage>[] } | null;
  if (file === null) return;
  t.ok(file.vectors.length >= 29);
  const contents = new Map<string, TaskContent>();
  for (const vector of file.vectors) {
    for (const message of messagesOf(vector)) {
      checkMessage(t, vector.name, messageOfAmqp(message), message.body_text);
      contents.set(vector.name, readContent(messageOfAmqp(message), vector.name.startsWith('protocol1') ? 1 : 2));
    }
  }
  t.strictSame(contents.get('json-datetime')?.args, [new Date('2030-01-02T03:04:05.678Z')]);
  t.strictSame(contents.get('json-decimal-uuid-date-time')?.args, [
    '1.50',
    '00000000-0000-4000-8000-000000000001',
    '2030-01-02',
    '03:04:05',
  ]);
  t.strictSame(contents.get('json-bytes')?.args, [Buffer.from('raw bytes')]);
  t.strictSame(contents.get('json-binary')?.args, [Buffer.from([0xff, 0x00])]);
});

t.test('Redis messages of Celery 5.2.6: envelope and all', async (t) => {
  const vectors = loadVectors(t, 'tasks-redis.json') as TaskVector<RedisMessage>[] | null;
  if (vectors === null) return;
  t.ok(vectors.length >= 66);
  for (const vector of vectors) {
    for (const { raw, envelope, body_text } of messagesOf(vector)) {
      const { message, exchange, routingKey, deliveryTag, redelivered } = decodeEnvelope(raw);
      checkMessage(t, vector.name, message, body_text);
      const written = JSON.parse(encodeEnvelope(message, { exchange, routingKey, deliveryTag, redelivered }));
      t.strictSame(written, envelope, `${vector.name}: the same envelope`);
      t.strictSame(Object.keys(written), Object.keys(envelope), `${vector.name}: keys in order`);
    }
  }
});
