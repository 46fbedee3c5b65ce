/** The quick reading of plain messages from AMQP's frames finds what the full one finds, or nothing. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { fromWire, toWire } from '../../src/broker/amqp/wire-message.ts';
import { PlainDelivery } from '../../src/broker/plain-delivery.ts';
import { takeOverFrames } from '../../src/driver/amqp-frames.ts';
import type { RawConnection, RawMessage } from '../../src/driver/amqp-raw.ts';
import { readPlainFrames } from '../../src/protocol/plain-frames.ts';
import { encodeTask, type OutgoingTask, readReceipt } from '../../src/protocol/task-message.ts';
import { loadVectors, messagesOf, type TaskVector } from './vectors.ts';

interface AmqpMessage {
  readonly exchange: string;
  readonly routing_key: string;
  readonly body_base64: string;
  /** Of the content header, from its flags on. */
  readonly content_header_base64: string;
}

const channel = 3;
const consumerTag = 'umbel-1';
const deliveryTag = 2 ** 32 + 5;
const require = createRequire(import.meta.url);
// Its own encoder, which it does not show.
const { encodeProperties } = require(join(dirname(require.resolve('amqplib/callback_api')), 'lib/defs.js')) as {
  encodeProperties(classId: number, channel: number, size: number, fields: object): Buffer;
};

function frame(type: number, ...parts: readonly Buffer[]): Buffer {
  const payload = Buffer.concat(parts);
  const head = Buffer.alloc(7);
  head[0] = type;
  head.writeUInt16BE(channel, 1);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

function shortText(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
}

function deliverFrame(exchange: string, routingKey: string, redelivered: boolean): Buffer {
  const tag = Buffer.alloc(8);
  tag.writeBigUInt64BE(BigInt(deliveryTag));
  const method = Buffer.from([0, 60, 0, 60]);
  return frame(1, method, shortText(consumerTag), tag, Buffer.from([redelivered ? 1 : 0]), shortText(exchange), shortText(routingKey));
}

function framesOfPython(message: AmqpMessage): Buffer {
  const body = Buffer.from(message.body_base64, 'base64');
  const head = Buffer.alloc(12);
  head.writeUInt16BE(60, 0);
  head.writeBigUInt64BE(BigInt(body.length), 4);
  const header = frame(2, head, Buffer.from(message.content_header_base64, 'base64'));
  return Buffer.concat([deliverFrame(message.exchange, message.routing_key, false), header, frame(3, body)]);
}

function sent(more: Partial<OutgoingTask> = {}, redelivered = false): Buffer {
  const message = encodeTask({
    task: 'tasks.add',
    id: 'id-1',
    args: [1],
    kwargs: { a: 'é"\\' },
    argsrepr: '(1,)',
    kwargsrepr: '{}',
    origin: 'o',
    ...more,
  });
  const header = encodeProperties(60, channel, message.body.length, toWire(message, '', 'celery', false));
  return Buffer.concat([deliverFrame('', 'celery', redelivered), header, frame(3, message.body)]);
}

/** As the driver hands it on; null: it would leave it to amqplib. */
function received(frames: Buffer): RawMessage | null {
  let found: RawMessage | null = null;
  const connection = { stream: new PassThrough(), rest: frames, recvFrame: () => false, maxFrameSize: 1_000_000 };
  const sinks = takeOverFrames(connection as unknown as RawConnection);
  sinks.set(channel, (tag, message) => {
    found = tag === consumerTag ? message : null;
    return true;
  });
  connection.recvFrame();
  return found;
}

/** Everything that either reading says; a text when the full one says no. */
function fullReading({ fields, properties: raw, content }: RawMessage): unknown {
  try {
    if (raw.headersProblem !== undefined) return raw.headersProblem;
    const properties = fromWire(raw);
    const headers = raw.headers ?? null;
    const receipt = readReceipt({ properties, headers, body: content });
    if (receipt.kind !== 'task') return `not a task: ${receipt.kind}`;
    const { exchange, routingKey, redelivered, deliveryTag: tag } = fields;
    return { properties, headers, body: content, exchange, routingKey, redelivered, tag, header: receipt.header };
  } catch (error) {
    return String(error);
  }
}

function plainReading(frames: Buffer): unknown {
  const plain = readPlainFrames(frames);
  if (plain === null) return null;
  const delivery = new PlainDelivery(plain, plain.deliveryTag, 'celery', 1);
  const { exchange, routingKey, redelivered, headers, properties, body, tag } = delivery;
  return { properties, headers, body, exchange, routingKey, redelivered, tag, header: plain.header };
}

function full(t: Test, frames: Buffer): unknown {
  const message = received(frames);
  t.ok(message, 'the frames are whole');
  return message === null ? null : fullReading(message);
}

t.test('what Python sends', async (t) => {
  const vectors = (loadVectors(t, 'tasks-amqp.json') ?? []) as TaskVector<AmqpMessage>[];
  const plain: string[] = [];
  for (const vector of vectors) {
    for (const [at, message] of messagesOf(vector).entries()) {
      const frames = framesOfPython(message);
      const quick = plainReading(frames);
      if (quick === null) continue;
      plain.push(`${vector.name} ${at}`);
      t.strictSame(quick, full(t, frames), vector.name);
    }
  }
  if (vectors.length === 0) return;
  for (const name of ['plain 0', 'delay 0', 'kwargs 0', 'group-of-3 2', 'priority-9 0', 'long-argsrepr 0'])
    t.ok(plain.includes(name), `${name} is plain`);
  for (const name of ['eta-naive 0', 'expires-seconds 0', 'compression-zlib 0', 'serializer-pickle 0', 'protocol1-plain 0'])
    t.notOk(plain.includes(name), `${name} is not plain`);
});

t.test('what umbel sends', async (t) => {
  const more: Partial<OutgoingTask>[] = [
    {},
    { group: 'g', groupIndex: 3, rootId: 'r', parentId: 'p', shadow: 's', replyTo: 'q', priority: 9, deliveryMode: 1 },
    { ignoreResult: true, retries: 4, replacedTaskNesting: 2, hardTimeLimitSeconds: 15, softTimeLimitSeconds: 10 },
    { ignoreResult: false, headers: { trace: 'abc', number: -7, flag: true, nothing: null }, argsrepr: 'x'.repeat(300) },
  ];
  for (const one of more) {
    t.not(plainReading(sent(one)), null);
    t.strictSame(plainReading(sent(one)), full(t, sent(one)));
  }
});

t.test('as text it is the same, and so is its content', async (t) => {
  for (const kwargs of [{ a: 1 }, { a: 'é"\\' }]) {
    const frames = sent({ kwargs, args: [1, 'two'] });
    const [plain, text] = [readPlainFrames(frames), readPlainFrames(frames.toString('latin1'))];
    t.strictSame(text?.envelope, frames);
    t.strictSame(text?.body, plain?.body);
    t.strictSame(text?.headers, plain?.headers);
    t.match(plain?.content(), { args: [1, 'two'], kwargs });
    t.strictSame(text?.content(), plain?.content());
  }
  const broken = sent();
  broken[broken.length - 2] = 0x7d;
  t.throws(() => readPlainFrames(broken)?.content(), { code: 'MESSAGE_UNDECODABLE' });
});

t.test('what is left to the full reading', async (t) => {
  const others: Partial<OutgoingTask>[] = [
    { etaMs: 1 },
    { expiresMs: 1 },
    { protocol: 1 },
    { compression: 'zlib' },
    { headers: { redelivered: true } },
    { headers: { 'x-delivery-count': 1 } },
    { headers: { nested: { a: 1 } } },
    { headers: { big: 2n ** 40n } },
    { headers: { id: 'other', trace: 'é' } },
    { stampedHeaders: ['a'], stamps: { a: 'b' } },
    { extraProperties: { message_id: 'm' } },
    { args: ['x'.repeat(20_000)] },
    { argsrepr: 'é' },
    { hardTimeLimitSeconds: 1.5 },
    { task: '' },
    { id: '' },
  ];
  for (const one of others) t.equal(plainReading(sent(one)), null, JSON.stringify(Object.keys(one)));
  t.equal(plainReading(sent({}, true)), null, 'redelivered');
  const hybrid = sent();
  hybrid[hybrid.indexOf('[[1]')] = 0x7b;
  t.equal(plainReading(hybrid), null, 'a body of protocol 1 under headers of protocol 2');
  const twice = Buffer.from(
    sent({ headers: { ij: 'yes' } })
      .toString('latin1')
      .replace('\x02ijS', '\x02idS'),
    'latin1',
  );
  t.equal(plainReading(twice), null, 'a key that comes twice');
});

t.test('whatever happens to the bytes, the two never disagree', async (t) => {
  const bases = [sent(), sent({ headers: { mine: 'yes', n: 1 } }), sent({ ignoreResult: true, group: 'g', groupIndex: 1, priority: 3 })];
  const seed = Number(process.env.UMBEL_TEST_SEED ?? Date.now() % 1_000_000);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let plain = 0;
  let refused = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const frames = Buffer.from(bases[random(bases.length)] as Buffer);
    for (let change = random(3); change >= 0; change -= 1) {
      const at = random(frames.length);
      // Near what was there: lengths and tags that are a little wrong find the most.
      frames[at] = random(2) === 0 ? random(256) : (frames[at] as number) + random(7) - 3;
    }
    const message = received(frames);
    if (message === null) continue;
    // As a consumer gets it: without a body, where the header says that there is none.
    const quick = plainReading(message.frames!);
    if (quick === null) {
      refused += 1;
      continue;
    }
    plain += 1;
    const whole = fullReading(message);
    if (JSON.stringify(whole) !== JSON.stringify(quick)) {
      t.strictSame(quick, whole, `round ${round} of UMBEL_TEST_SEED=${seed}`);
      return;
    }
  }
  t.ok(plain > 1000 && refused > 1000, `${plain} plain, ${refused} not`);
});
