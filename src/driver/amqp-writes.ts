/**
 * Frames on their way out: all frames of one turn of the event loop go to the socket in one write.
 *
 * amqplib puts each frame through a stream of its channel and a multiplexer, and then gives the socket one write per frame. Here a frame goes to the
 * socket in the order in which it was sent, whatever its channel; how much is on its way is limited by those who send (the publisher's window, the
 * prefetch). Owns nothing beyond the connection it is given.
 */
import type { Duplex } from 'node:stream';
import type { RawConnection } from './amqp-raw.ts';

/** For channels that are opened from now on. */
export function takeOverWrites(connection: RawConnection): void {
  const { stream } = connection;
  writeTogether(stream);
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

function writeTogether(stream: Duplex): void {
  const write = stream.write.bind(stream) as (chunk: unknown) => boolean;
  let corked = false;
  const uncork = (): void => {
    corked = false;
    stream.uncork();
  };
  stream.write = (chunk: unknown): boolean => {
    if (!corked) {
      corked = true;
      stream.cork();
      setImmediate(uncork);
    }
    return write(chunk);
  };
}
