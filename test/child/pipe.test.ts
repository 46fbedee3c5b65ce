/** The child's end of the pipe, in a process of its own, towards a parent that does not read for a while. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { FrameReader } from '../../src/ipc/frame.ts';
import { systemClock } from '../../src/std/clock.ts';

/** Fills the pipe with whole frames, says one more, and then one that must be with the kernel before a time. Prints whether it was. */
const script = (beforeMs: number): string => `
import { writeSync } from 'node:fs';
import { ChildPort } from '${import.meta.resolve('../../src/child/child-port.ts')}';
import { PipeCarrier } from '${import.meta.resolve('../../src/child/pipe.ts')}';
import { FrameWriter } from '${import.meta.resolve('../../src/ipc/frame.ts')}';
const pipe = new ChildPort(new PipeCarrier({ onBytes() {}, onEnd() {} }));
const writer = new FrameWriter();
const fill = () => {
  for (;;) {
    writer.add(1, 6, 0, '', Buffer.alloc(1000));
    try {
      writeSync(4, writer.take());
    } catch (error) {
      if (error.code === 'EAGAIN') return;
      throw error;
    }
  }
};
fill();
process.stdout.write('full\\n', () => {
  pipe.send(1, 7, 0, 'last', null);
  const sent = pipe.sendBefore(2, 8, 1.5, ${beforeMs});
  pipe.send(3, 9, 0, String(sent), null);
  pipe.close();
});
`;

interface Told {
  readonly type: number;
  readonly id: number;
  readonly number: number;
  readonly meta: string;
  readonly bytes: number;
}

async function told(t: Test, beforeMs: number, readFromMs: number): Promise<Told[]> {
  // Nobody reads from it by himself, as Node would from a pipe that it makes.
  const path = join(t.testdir({}), 'pipe');
  execFileSync('mkfifo', [path]);
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeFd = openSync(path, constants.O_WRONLY);
  const child = spawn(process.execPath, ['--input-type=module', '-e', script(beforeMs)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', writeFd],
    env: {},
  });
  closeSync(writeFd);
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  const frames: Told[] = [];
  const reader = new FrameReader((type, id, number, meta, payload) => frames.push({ type, id, number, meta, bytes: payload.length }));
  const errors = text(child.stderr as Readable);
  await once(child.stdout as Readable, 'data');
  // Time passes here because it is what is tested: the parent stands still.
  while (systemClock.monotonic() < readFromMs) await new Promise((resolve) => setTimeout(resolve, 10));
  const pipe = new Socket({ fd: readFd, readable: true, writable: false }).on('data', (chunk: Buffer) => reader.push(chunk));
  const [[code]] = await Promise.all([closed, once(pipe, 'end')]);
  t.equal(code, 0, await errors);
  t.ok(reader.atBoundary);
  return frames;
}

const last = { type: 1, id: 7, number: 0, meta: 'last', bytes: 0 };

t.test('what could not be said in time is not said, and all before it is', async (t) => {
  const beforeMs = systemClock.monotonic() + 1500;
  const frames = await told(t, beforeMs, beforeMs + 50);
  t.same(frames.slice(-2), [last, { type: 3, id: 9, number: 0, meta: 'false', bytes: 0 }]);
  t.ok(frames.slice(0, -2).every(({ id, bytes }) => id === 6 && bytes === 1000));
});

t.test('what is in time waits for its parent', async (t) => {
  const readFromMs = systemClock.monotonic() + 1000;
  const frames = await told(t, readFromMs + 600_000, readFromMs);
  t.same(frames.slice(-3), [
    last,
    { type: 2, id: 8, number: 1.5, meta: '', bytes: 0 },
    { type: 3, id: 9, number: 0, meta: 'true', bytes: 0 },
  ]);
});

t.test('when it is too late already, nothing is tried', async (t) => {
  const frames = await told(t, 0, 0);
  t.same(frames.slice(-2), [last, { type: 3, id: 9, number: 0, meta: 'false', bytes: 0 }]);
});
