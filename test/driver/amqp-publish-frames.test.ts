/** A message of the common form is the same bytes as amqplib writes; every other is left to it. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import t from 'tap';
import { toWire } from '../../src/broker/amqp/wire-message.ts';
import { publishFrames } from '../../src/driver/amqp-publish-frames.ts';
import { type RawPublish, rawMethod } from '../../src/driver/amqp-raw.ts';
import type { Message } from '../../src/protocol/message.ts';

const channel = 513;
const frameMax = 131_072;
const require = createRequire(import.meta.url);
const libraryFolder = join(dirname(require.resolve('amqplib/callback_api')), 'lib');
// Its own encoder, which it does not show.
const { encodeMethod, encodeProperties } = require(join(libraryFolder, 'defs.js')) as {
  encodeMethod(id: number, channel: number, fields: object): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
};
const { makeBodyFrame } = require(join(libraryFolder, 'frame.js')) as { makeBodyFrame(channel: number, body: Buffer): Buffer };

const inLibrary = (wire: RawPublish, body: Buffer): string =>
  Buffer.concat([
    encodeMethod(rawMethod.basicPublish, channel, wire),
    encodeProperties(60, channel, body.length, wire),
    makeBodyFrame(channel, body),
  ]).toString('hex');

const reply: Message = {
  properties: { contentType: 'application/json', contentEncoding: 'utf-8', correlationId: 'id-1', deliveryMode: 1, priority: 0 },
  headers: {},
  body: Buffer.from('{"task_id": "id-1", "status": "SUCCESS", "result": "é"}'),
};

t.test('the same bytes', async (t) => {
  const wires = {
    reply: toWire(reply, '', 'c1a5e1a0-0000-4000-8000-000000000000', false),
    'mandatory, without headers, mode and priority': toWire(
      { ...reply, properties: { contentType: 'text/plain', contentEncoding: '', replyTo: 'r' }, headers: null },
      'news',
      '',
      true,
    ),
    'beyond ASCII': toWire({ ...reply, properties: { ...reply.properties, correlationId: 'ünïcödé ✓', priority: 255 } }, 'ü', '😀', false),
    'as long as a text may be': toWire(reply, 'x'.repeat(255), 'é'.repeat(127), false),
  };
  for (const [name, wire] of Object.entries(wires))
    t.equal(publishFrames(channel, wire, reply.body, frameMax)?.toString('hex'), inLibrary(wire, reply.body), name);
  const bodies = [Buffer.from('x'), Buffer.alloc(16_384, 7)];
  for (const body of bodies) t.equal(publishFrames(1, wires.reply, body, frameMax)?.length, inLibrary(wires.reply, body).length / 2);
});

t.test('what is left to amqplib', async (t) => {
  const wire = (more: Partial<Message['properties']>, headers: Message['headers'] = {}): RawPublish =>
    toWire({ ...reply, properties: { ...reply.properties, ...more }, headers }, '', 'q', false);
  const others = {
    headers: wire({}, { task: 'x' }),
    expiration: wire({ expiration: '1000' }),
    'message id': wire({ extra: { message_id: 'm' } }),
    timestamp: wire({ extra: { timestamp: 1 } }),
    type: wire({ extra: { type: 't' } }),
    app: wire({ extra: { app_id: 'a' } }),
    user: { ...wire({}), userId: 'guest' },
    'a priority that is no byte': wire({ priority: 256 }),
    'a broken one': wire({ priority: 0.5 }),
    'a text that is too long': toWire(reply, '', 'x'.repeat(256), false),
    'one that is too long in bytes': toWire(reply, '', 'é'.repeat(128), false),
  };
  for (const [name, other] of Object.entries(others)) t.equal(publishFrames(channel, other, reply.body, frameMax), null, name);
  const common = wire({});
  t.equal(publishFrames(channel, common, Buffer.alloc(0), frameMax), null, 'no body frame');
  t.equal(publishFrames(channel, common, Buffer.alloc(16_385), frameMax), null, 'a large body');
  t.equal(publishFrames(channel, common, Buffer.alloc(4089), 4096), null, 'more than one body frame');
  t.not(publishFrames(channel, common, Buffer.alloc(4088), 4096), null);
});
