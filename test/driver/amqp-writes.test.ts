/** Frames of one turn go out together, in the order in which they were sent. */
import { PassThrough } from 'node:stream';
import t from 'tap';
import type { RawConnection } from '../../src/driver/amqp-raw.ts';
import { takeOverWrites } from '../../src/driver/amqp-writes.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('one write per turn, in the order of sending, whatever the channel; after a silence the first goes at once', async (t) => {
  const written: string[] = [];
  const stream = new PassThrough();
  stream._write = (chunk: Buffer, _encoding, done) => {
    written.push(chunk.toString());
    done();
  };
  stream._writev = (chunks, done) => {
    written.push(chunks.map(({ chunk }) => String(chunk)).join(' '));
    done();
  };
  let ended = 0;
  const connection = {
    stream,
    channels: [] as { buffer: { write(frames: Buffer): boolean; end(): void } }[],
    freshChannel(): number {
      const never = (): never => {
        throw new Error("amqplib's own stream is not used");
      };
      const end = (): void => {
        ended += 1;
      };
      return this.channels.push({ buffer: { write: never, end } }) - 1;
    },
    sendMessage: () => false,
  };
  let nowMs = 1000;
  takeOverWrites(connection as unknown as RawConnection, () => nowMs);
  const [one, two] = [connection.freshChannel(), connection.freshChannel()].map((number) => connection.channels[number]?.buffer);
  one?.write(Buffer.from('first'));
  t.strictSame(written.splice(0), ['first']);
  nowMs += 1;
  one?.write(Buffer.from('a'));
  two?.write(Buffer.from('b'));
  stream.write('heartbeat');
  one?.write(Buffer.from('c'));
  t.strictSame(written, []);
  nowMs += 5;
  await turn();
  t.strictSame(written, ['a b heartbeat c']);
  two?.write(Buffer.from('d'));
  t.equal(written.length, 1, 'a long turn is no silence');
  await turn();
  t.strictSame(written.splice(0), ['a b heartbeat c', 'd']);
  nowMs += 1.5;
  two?.write(Buffer.from('e'));
  one?.write(Buffer.from('f'));
  t.strictSame(written, ['e']);
  await turn();
  t.strictSame(written, ['e', 'f']);
  one?.end();
  t.equal(ended, 1, 'its own stream ends with the channel');
});
