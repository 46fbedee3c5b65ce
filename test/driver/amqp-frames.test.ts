/** What comes from the socket is taken apart as it comes, wherever it was cut: each frame once and in order, and a delivery as a whole where it came as one. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import { readAtOnce, takeOverFrames } from '../../src/driver/amqp-frames.ts';
import { type RawConnection, rawMethod } from '../../src/driver/amqp-raw.ts';
import { SeededRandom } from '../live/seeded-random.ts';

const require = createRequire(import.meta.url);
const libraryFolder = join(dirname(require.resolve('amqplib/callback_api')), 'lib');

interface LibraryConnection extends RawConnection {
  accept(frame: unknown): void;
  acceptLoop(): void;
  on(event: 'frameError', listener: (error: Error) => void): void;
}
const { Connection } = require(join(libraryFolder, 'connection.js')) as { Connection: new (stream: Duplex) => LibraryConnection };
const { encodeMethod, encodeProperties } = require(join(libraryFolder, 'defs.js')) as {
  encodeMethod(id: number, channel: number, fields: object): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
};
const { makeBodyFrame, HEARTBEAT_BUF: heartbeat } = require(join(libraryFolder, 'frame.js')) as {
  makeBodyFrame(channel: number, body: Buffer): Buffer;
  readonly HEARTBEAT_BUF: Buffer;
};

const ours = 1;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Socket extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }
}

/** A body of several frames is never handed over as a whole. */
function delivery(tag: number, channel: number, parts: readonly string[]): Buffer {
  const fields = { consumerTag: 'c', deliveryTag: tag, redelivered: false, exchange: '', routingKey: 'q' };
  const size = Buffer.byteLength(parts.join(''));
  return Buffer.concat([
    encodeMethod(rawMethod.basicDeliver, channel, fields),
    encodeProperties(60, channel, size, {}),
    ...parts.map((part) => makeBodyFrame(channel, Buffer.from(part))),
  ]);
}

/** What is said of each frame that goes through amqplib, and of each delivery that does not. */
function open(t: Test) {
  const socket = new Socket();
  const connection = new Connection(socket);
  t.teardown(() => socket.destroy());
  const said: string[] = [];
  const errors: string[] = [];
  let bodyBytes = 0;
  connection.accept = (frame) => {
    const { id, fields, size, content, channel } = frame as {
      id?: number;
      fields?: { deliveryTag?: number };
      size?: number;
      content?: Buffer;
      channel: number;
    };
    if (id === rawMethod.basicDeliver) said.push(`deliver ${fields?.deliveryTag}`);
    else if (size !== undefined) bodyBytes = size;
    else if (content !== undefined) {
      bodyBytes -= content.length;
      said.push(`${content}${bodyBytes === 0 ? '.' : ''}`);
    } else said.push(channel === 0 ? 'heartbeat' : `method ${id}`);
  };
  connection.on('frameError', (error) => errors.push(error.message));
  connection.acceptLoop();
  const sinks = takeOverFrames(connection);
  readAtOnce(connection);
  sinks.set(ours, (tag, message) => {
    said.push(`deliver ${message.fields.deliveryTag}`, `${message.content}.`);
    return tag === 'c';
  });
  return { socket, connection, said, errors };
}

const stream = Buffer.concat([
  delivery(1, ours, ['one']),
  heartbeat,
  delivery(2, ours, ['two']),
  delivery(3, 2, ['of another channel']),
  encodeMethod(rawMethod.channelFlowOk, 3, { active: true }),
  delivery(4, ours, ['in ', 'three ', 'frames']),
  delivery(5, ours, ['x'.repeat(5000)]),
  delivery(6, ours, ['six']),
]);
const expected = [
  ...['deliver 1', 'one.', 'heartbeat', 'deliver 2', 'two.', 'deliver 3', 'of another channel.', `method ${rawMethod.channelFlowOk}`],
  ...['deliver 4', 'in ', 'three ', 'frames.', 'deliver 5', `${'x'.repeat(5000)}.`, 'deliver 6', 'six.'],
];

t.test('cut anywhere', async (t) => {
  const random = SeededRandom.fromEnvironment('AMQP_FRAMES_SEED');
  t.comment(`AMQP_FRAMES_SEED=${random.seed}`);
  for (const longest of [1, 2, 9, 100, 3000, stream.length]) {
    const { socket, connection, said, errors } = open(t);
    await turn();
    for (let at = 0; at < stream.length; ) {
      const end = longest === stream.length ? longest : at + 1 + random.below(longest);
      connection.recvSinceLastCheck = false;
      socket.push(Buffer.from(stream.subarray(at, end)));
      at = end;
      if (random.below(8) === 0) await turn();
    }
    await turn();
    t.strictSame(said, expected, `pieces of at most ${longest}`);
    t.strictSame(errors, []);
    t.ok(connection.recvSinceLastCheck, 'the heartbeat knows');
    t.equal(connection.rest.length, 0);
  }
});

t.test("a channel that is ended a second time, after it is no more, is nobody's; the first time is for amqplib", async (t) => {
  const { socket, connection, said, errors } = open(t);
  await turn();
  const end = (channel: number): Buffer =>
    encodeMethod(rawMethod.channelClose, channel, { replyCode: 406, replyText: 'timed out', classId: 0, methodId: 0 });
  connection.channels[3] = { buffer: new Socket() };
  socket.push(Buffer.concat([delivery(1, ours, ['one']), end(3), end(2), end(2), delivery(2, ours, ['two']), end(0)]));
  await turn();
  t.strictSame(said, ['deliver 1', 'one.', `method ${rawMethod.channelClose}`, 'deliver 2', 'two.', 'heartbeat']);
  connection.channels[3] = null;
  socket.push(Buffer.concat([end(3), delivery(3, ours, ['three'])]));
  await turn();
  t.strictSame(said.slice(6), ['deliver 3', 'three.']);
  t.strictSame(errors, []);
  t.equal(connection.rest.length, 0);
});

t.test('what came while nobody listened comes once', async (t) => {
  const { socket, connection, said, errors } = open(t);
  await turn();
  socket.pause();
  for (let at = 0; at < stream.length; at += 700) socket.push(Buffer.from(stream.subarray(at, at + 700)));
  await turn();
  t.strictSame(said, []);
  socket.resume();
  await turn();
  t.strictSame(said, expected);
  t.strictSame(errors, []);
  t.equal(connection.rest.length, 0);
});

t.test('what had come before it was taken over is not lost', async (t) => {
  const socket = new Socket();
  t.teardown(() => socket.destroy());
  const connection = new Connection(socket);
  const said: unknown[] = [];
  connection.accept = (frame) => said.push((frame as { fields: { deliveryTag: number } }).fields.deliveryTag);
  const frame = encodeMethod(rawMethod.basicDeliver, 2, {
    consumerTag: 'c',
    deliveryTag: 9,
    redelivered: false,
    exchange: '',
    routingKey: 'q',
  });
  socket.push(frame.subarray(0, 10));
  connection.acceptLoop();
  socket.push(frame.subarray(10, 20));
  takeOverFrames(connection);
  readAtOnce(connection);
  socket.push(frame.subarray(20));
  await turn();
  t.strictSame(said, [9]);
});

t.test('no frames', async (t) => {
  for (const [name, bytes] of Object.entries({
    'Frame size 4294967295 exceeds': Buffer.from([1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0]),
    'Invalid frame': Buffer.from([1, 0, 1, 0, 0, 0, 1, 0, 0]),
  })) {
    const { socket, said, errors } = open(t);
    socket.push(Buffer.concat([delivery(1, ours, ['one']), bytes]));
    await turn();
    t.strictSame(said, ['deliver 1', 'one.']);
    t.match(errors, [new RegExp(name)]);
  }
});
