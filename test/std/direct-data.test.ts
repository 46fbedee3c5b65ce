import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { giveDataDirectly } from '../../src/std/direct-data.ts';

function flowing(): { readonly stream: Readable; readonly heard: string[] } {
  const stream = new Readable({ read() {} });
  giveDataDirectly(stream);
  const heard: string[] = [];
  stream.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
  return { stream, heard };
}

/** The two ends of a connection on the loopback interface. */
async function pair(t: Test): Promise<{ readonly here: Socket; readonly there: Socket }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const here = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [there] = (await once(server, 'connection')) as [Socket];
  t.teardown(() => {
    here.destroy();
    there.destroy();
    server.close();
  });
  return { here, there };
}

test('a chunk is with the listeners when it has been pushed, and the stream has not booked it', async (t) => {
  const { stream, heard } = flowing();
  t.equal(stream.push(Buffer.from('one')), true);
  t.equal(stream.push(Buffer.from('two')), true);
  t.strictSame(heard, ['one', 'two']);
  t.equal(stream.readableDidRead, false);
});

test('a stream that is paused keeps what comes, and gives it in order before what comes later', async (t) => {
  const { stream, heard } = flowing();
  stream.push(Buffer.from('one'));
  stream.pause();
  stream.push(Buffer.from('two'));
  stream.push(Buffer.from('three'));
  t.strictSame(heard, ['one']);
  stream.resume();
  // It flows again, but what it has kept is still to be given.
  stream.push(Buffer.from('four'));
  while (heard.join('').length < 'onetwothreefour'.length) await turn();
  stream.push(Buffer.from('five'));
  t.equal(heard.join(' '), 'one two three four five');
});

test('a listener that pauses has the next chunk only when it goes on', async (t) => {
  const { stream, heard } = flowing();
  stream.on('data', () => stream.pause());
  stream.push(Buffer.from('one'));
  stream.push(Buffer.from('two'));
  t.strictSame(heard, ['one']);
  stream.resume();
  while (heard.length < 2) await turn();
  t.strictSame(heard, ['one', 'two']);
});

test('the end comes after the last chunk', async (t) => {
  const { stream, heard } = flowing();
  stream.push(Buffer.from('one'));
  stream.push(null);
  await once(stream, 'end');
  t.strictSame(heard, ['one']);
});

test('a stream full of what it may keep reads again when it goes on: nothing is lost, nothing in another order', async (t) => {
  const { here, there } = await pair(t);
  giveDataDirectly(here);
  const received = createHash('sha256');
  let rests = 0;
  here.on('data', (chunk: Buffer) => {
    received.update(chunk);
    if (rests === 20) return;
    rests += 1;
    here.pause();
    const goOnWhenFull = (): void => {
      if (here.readableLength >= here.readableHighWaterMark || there.destroyed || there.writableFinished) here.resume();
      else setImmediate(goOnWhenFull);
    };
    setImmediate(goOnWhenFull);
  });
  const sent = Buffer.alloc(8 * 1024 * 1024);
  for (let at = 0; at < sent.length; at++) sent[at] = at % 251;
  there.end(sent);
  await once(here, 'end');
  t.equal(received.digest('hex'), createHash('sha256').update(sent).digest('hex'));
  t.equal(rests, 20);
});
