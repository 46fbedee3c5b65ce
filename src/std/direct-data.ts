/**
 * What comes in on a socket or a pipe, given to its listeners as it comes.
 *
 * A stream of Node's books each chunk, and looks in a later step whether there is more to read: a tenth of the time that a process with nothing else to do
 * takes for a short message, on each side of a pipe (docs/decisions.md). Who listens for data needs neither. A stream that is paused keeps what comes, as ever.
 */
import type { Readable } from 'node:stream';

/** Listeners have each chunk once, in order, also after a pause; the end and errors come as ever. */
export function giveDataDirectly(stream: Readable): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null || stream.readableFlowing !== true || stream.readableLength > 0) return push(chunk, encoding);
    stream.emit('data', chunk);
    return true;
  };
}
