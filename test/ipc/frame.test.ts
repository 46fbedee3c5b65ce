/** Frames survive any cutting of the stream; garbage is refused; large bodies are joined once. */
import t from 'tap';
import { FrameReader, FrameWriter, maxFrameBytes } from '../../src/ipc/frame.ts';
import { SeededRandom } from '../live/seeded-random.ts';

interface Frame {
  readonly type: number;
  readonly id: number;
  readonly number: number;
  readonly meta: string;
  readonly payload: Buffer;
}

const letters = ['a', 'Z', '0', '"', '\\', 'ß', '€', '漢', '😀', '\0', '\n'];

function randomText(random: SeededRandom, length: number): string {
  return Array.from({ length }, () => random.pick(letters)).join('');
}

function randomFrame(random: SeededRandom): Frame {
  const size = random.pick([0, 1, 10, 300, 70_000]);
  const payload = Buffer.alloc(random.below(size + 1));
  for (let at = 0; at < payload.length; at += 1) payload[at] = random.below(256);
  return {
    type: random.below(256),
    id: random.below(2 ** 32),
    number: random.pick([0, -1, 0.1, Number.MAX_VALUE, 1.7e9 + random.next(), Number.POSITIVE_INFINITY]),
    meta: randomText(random, random.below(random.pick([1, 20, 3000]))),
    payload,
  };
}

function collect(): { readonly frames: Frame[]; readonly reader: FrameReader } {
  const frames: Frame[] = [];
  const reader = new FrameReader((type, id, number, meta, payload) => {
    frames.push({ type, id, number, meta, payload: Buffer.from(payload) });
  });
  return { frames, reader };
}

function written(frames: readonly Frame[]): Buffer {
  const writer = new FrameWriter();
  for (const { type, id, number, meta, payload } of frames) writer.add(type, id, number, meta, payload);
  return writer.take();
}

t.test('random frames, cut at random places, come out as they went in', (t) => {
  const random = SeededRandom.fromEnvironment('FRAME_SEED');
  t.comment(`FRAME_SEED=${random.seed}`);
  for (let round = 0; round < 60; round += 1) {
    const sent = Array.from({ length: 1 + random.below(20) }, () => randomFrame(random));
    const stream = written(sent);
    const { frames, reader } = collect();
    const longest = random.pick([1, 3, 30, 1000, 65_536, stream.length]);
    // Cutting into single bytes is worth doing, but not for megabytes.
    const cutBelow = longest < 30 ? Math.min(stream.length, 5000) : stream.length;
    let at = 0;
    while (at < stream.length) {
      const end = at >= cutBelow ? stream.length : Math.min(stream.length, at + 1 + random.below(longest));
      // A chunk of its own: a reader that keeps a view of a reused buffer would be seen.
      const chunk = Buffer.from(stream.subarray(at, end));
      reader.push(chunk);
      at = end;
    }
    if (frames.length !== sent.length) throw new Error(`round ${round}: ${sent.length} frames must arrive, got ${frames.length}`);
    for (const [index, frame] of sent.entries()) {
      const got = frames[index]!;
      const same =
        got.type === frame.type &&
        got.id === frame.id &&
        Object.is(got.number, frame.number) &&
        got.meta === frame.meta &&
        got.payload.equals(frame.payload);
      if (!same) throw new Error(`round ${round}, frame ${index}: ${JSON.stringify(frame)} must arrive, got ${JSON.stringify(got)}`);
    }
    if (!reader.atBoundary) throw new Error(`round ${round}: nothing may be left over`);
  }
  t.pass('60 rounds');
  t.end();
});

t.test('a stream that ends within a frame is known to be cut', (t) => {
  const stream = written([{ type: 1, id: 2, number: 3, meta: 'meta', payload: Buffer.from('payload') }]);
  for (let length = 1; length < stream.length; length += 1) {
    const { frames, reader } = collect();
    reader.push(stream.subarray(0, length));
    if (frames.length > 0 || reader.atBoundary) throw new Error(`${length} bytes of ${stream.length} are no frame`);
  }
  t.pass('cut at every byte');
  t.end();
});

t.test('text payloads are written as UTF-8, a null payload as none', (t) => {
  const writer = new FrameWriter();
  writer.add(1, 0, 0, 'ä', '漢😀');
  writer.add(2, 0, 0, '', null);
  writer.add(3, 0, 0, '\ud800', '\udc00');
  const { frames, reader } = collect();
  reader.push(writer.take());
  t.match(
    frames.map(({ type, meta, payload }) => [type, meta, payload.toString()]),
    [
      [1, 'ä', '漢😀'],
      [2, '', ''],
      [3, '\ufffd', '\ufffd'],
    ],
  );
  t.end();
});

t.test('what was taken is not written over by later frames', (t) => {
  const writer = new FrameWriter();
  writer.add(1, 1, 1, 'first', Buffer.alloc(100, 1));
  const first = writer.take();
  const copy = Buffer.from(first);
  writer.add(1, 1, 1, 'other', Buffer.alloc(100, 2));
  t.ok(first.equals(copy));
  t.equal(writer.pendingBytes, written([{ type: 1, id: 1, number: 1, meta: 'other', payload: Buffer.alloc(100, 2) }]).length);
  writer.take();
  t.equal(writer.pendingBytes, 0);
  t.end();
});

t.test('drainSync gives out everything once, and nothing when there is nothing', (t) => {
  const writer = new FrameWriter();
  const parts: Buffer[] = [];
  writer.drainSync((bytes) => parts.push(Buffer.from(bytes)));
  t.equal(parts.length, 0);
  writer.add(9, 1, 2, 'm', 'p');
  writer.drainSync((bytes) => parts.push(Buffer.from(bytes)));
  writer.drainSync((bytes) => parts.push(Buffer.from(bytes)));
  t.equal(parts.length, 1);
  const { frames, reader } = collect();
  reader.push(Buffer.concat(parts));
  t.match(frames, [{ type: 9, id: 1, number: 2, meta: 'm' }]);
  t.end();
});

t.test('a body of 100 MB in chunks of 64 KB is joined once', (t) => {
  const size = 100 * 1024 * 1024;
  const body = Buffer.alloc(size, 7);
  const stream = written([{ type: 2, id: 5, number: 0, meta: '{"big":true}', payload: body }]);
  const realConcat = Buffer.concat;
  let copiedBytes = 0;
  let sizeSeen = 0;
  Buffer.concat = ((list: readonly Uint8Array[], total?: number) => {
    copiedBytes += list.reduce((sum, part) => sum + part.length, 0);
    return realConcat(list, total);
  }) as typeof Buffer.concat;
  try {
    const reader = new FrameReader((_type, _id, _number, _meta, payload) => {
      sizeSeen = payload.length;
      t.ok(payload.equals(body));
    });
    for (let at = 0; at < stream.length; at += 65_536) reader.push(stream.subarray(at, at + 65_536));
  } finally {
    Buffer.concat = realConcat;
  }
  t.equal(sizeSeen, size);
  t.ok(copiedBytes < 1.1 * size, `each byte is copied once, got ${copiedBytes} bytes for ${size}`);
  t.end();
});

t.test('a large frame does not cost its memory for ever', (t) => {
  const writer = new FrameWriter();
  const capacityOf = (bytes: Buffer): number => bytes.buffer.byteLength;
  let largest = 0;
  let last = 0;
  for (const size of [8 * 1024 * 1024, 1]) {
    writer.add(1, 0, 0, '', Buffer.alloc(size));
    writer.drainSync((bytes) => {
      last = capacityOf(bytes);
      largest = Math.max(largest, last);
    });
  }
  t.ok(largest > 8 * 1024 * 1024);
  t.ok(last < 1024 * 1024, `the next frame is written from a small buffer, got ${last} bytes`);
  t.end();
});

t.test('what is said while a large frame goes out is not lost with its memory', async (t) => {
  const { frames, reader } = collect();
  const writer = new FrameWriter();
  writer.add(1, 1, 0, '', Buffer.alloc(4 * 1024 * 1024));
  writer.drainSync((bytes) => {
    reader.push(Buffer.from(bytes));
    writer.add(2, 2, 0, 'meanwhile', null);
  });
  writer.drainSync((bytes) => reader.push(Buffer.from(bytes)));
  t.strictSame(
    frames.map(({ id, meta }) => [id, meta]),
    [
      [1, ''],
      [2, 'meanwhile'],
    ],
  );
});

t.test('after a large frame small ones go on', (t) => {
  const writer = new FrameWriter();
  writer.add(1, 0, 0, '', Buffer.alloc(8 * 1024 * 1024));
  t.equal(writer.take().length, 8 * 1024 * 1024 + 21);
  writer.add(1, 0, 0, '', 'x');
  t.equal(writer.take().length, 22);
  t.end();
});

t.test('lengths that cannot be are refused at once', (t) => {
  for (const length of [0, 1, 16, maxFrameBytes + 1, 2 ** 32 - 1]) {
    const { reader } = collect();
    const garbage = Buffer.alloc(4);
    garbage.writeUInt32LE(length);
    t.throws(() => reader.push(garbage), { name: 'RangeError', message: `frame length must be 17…${maxFrameBytes}, got ${length}` });
  }
  for (const text of ['hello, world\n', 'Error: x\n    at y (z)\n'])
    t.throws(() => collect().reader.push(Buffer.from(text)), RangeError, text);
  t.end();
});

t.test('a frame with meta longer than itself is refused, whole or still incomplete', (t) => {
  const whole = written([{ type: 1, id: 1, number: 1, meta: 'abc', payload: Buffer.from('d') }]);
  whole.writeUInt32LE(5, 17);
  t.throws(() => collect().reader.push(whole), /frame meta must end within its frame of 21 bytes, got 5/);
  const claim = Buffer.alloc(21);
  claim.writeUInt32LE(1_000_000);
  claim.writeUInt32LE(1_000_000, 17);
  t.throws(() => collect().reader.push(claim), /frame meta must end within its frame of 1000000 bytes/, 'before a megabyte has come');
  t.end();
});

t.test('garbage that claims a body of plausible size is seen by its type, as soon as the head is there', (t) => {
  // A newline or a digit as fourth byte makes a length below the limit: waiting for so much would swallow every later frame.
  const known = (type: number): boolean => type >= 65 && type <= 75;
  const after = written([{ type: 67, id: 1, number: 0, meta: '', payload: Buffer.alloc(0) }]);
  const reader = new FrameReader(() => t.fail('no frame is in there'), known);
  reader.push(Buffer.from('abc\n'));
  t.throws(() => reader.push(after), /frame type must be one of those the other end sends, got 17/);
  t.end();
});
