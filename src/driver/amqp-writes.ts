/**
 * Frames on their way out: those of one turn of the event loop go to the socket in one write; after a silence the first goes ahead of the others.
 *
 * amqplib puts each frame through a stream of its channel and a multiplexer, and then gives the socket one write per frame. Here a frame goes to the
 * socket in the order in which it was sent, whatever its channel; how much is on its way is limited by those who send (the publisher's window, the
 * prefetch). Owns nothing beyond the connection it is given.
 */
import type { Duplex } from 'node:stream';
import { publishFrames } from './amqp-publish-frames.ts';
import type { RawConnection } from './amqp-raw.ts';

/** After so long without a write the next is not kept waiting for others of its turn: somebody may be waiting for it. */
const quietMs = 1;

/** For channels that are opened from now on. */
export function takeOverWrites(connection: RawConnection, now: () => number = () => performance.now()): void {
  const { stream } = connection;
  writeTogether(stream, now);
  const sendMessage = connection.sendMessage.bind(connection);
  connection.sendMessage = (channel, method, fields, propertiesOf, properties, content) => {
    const frames = publishFrames(channel, fields, content, connection.frameMax);
    if (frames === null) return sendMessage(channel, method, fields, propertiesOf, properties, content);
    connection.sentSinceLastCheck = true;
    return stream.write(frames);
  };
  const freshChannel = connection.freshChannel.bind(connection);
  connection.freshChannel = (channel, options) => {
    const number = freshChannel(channel, options);
    const entry = connection.channels[number];
    if (entry !== null && entry !== undefined) {
      const { buffer } = entry;
      entry.buffer = { write: (frames) => stream.write(frames), end: () => buffer.end() };
    }
    return number;
  };
}

function writeTogether(stream: Duplex, now: () => number): void {
  const write = stream.write.bind(stream) as (chunk: unknown) => boolean;
  let corked = false;
  let lastAtMs = Number.NEGATIVE_INFINITY;
  const uncork = (): void => {
    corked = false;
    stream.uncork();
    lastAtMs = now();
  };
  stream.write = (chunk: unknown): boolean => {
    if (!corked) {
      const nowMs = now();
      const isFirst = nowMs - lastAtMs > quietMs;
      lastAtMs = nowMs;
      if (isFirst) return write(chunk);
      corked = true;
      stream.cork();
      setImmediate(uncork);
    }
    return write(chunk);
  };
}
