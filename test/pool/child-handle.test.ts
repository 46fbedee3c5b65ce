/** One child seen by its parent, with a small program in the child's place that says on its pipe what the test wants. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { toChild, toParent } from '../../src/ipc/exchange.ts';
import { FrameReader, FrameWriter } from '../../src/ipc/frame.ts';
import { type ChildEvents, ChildHandle } from '../../src/pool/child-handle.ts';
import type { ChildKind, ChildLink } from '../../src/pool/child-link.ts';
import { type ChildExit, Job } from '../../src/pool/job.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { childSettings, fixtureTasks } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;

/** Waits for its first input (the settings are sent at once), then writes the given bytes and ends. */
const parrot = `
const { readFileSync, readSync, writeSync } = require('node:fs');
readSync(3, Buffer.alloc(65536));
const bytes = readFileSync(process.argv[1]);
for (let at = 0; at < bytes.length; ) at += writeSync(4, bytes, at);
process.exit(9);
`;

interface Gone {
  readonly exit: ChildExit;
  readonly started: readonly Job[];
  readonly unstarted: readonly Job[];
}

function openParrot(
  t: Test,
  says: Buffer,
  events: Partial<ChildEvents> = {},
  open: ChildKind['open'] | null = null,
): { handle: ChildHandle; gone: Promise<Gone>; log: RecordingLog } {
  const gone = Promise.withResolvers<Gone>();
  const log = new RecordingLog();
  const path = join(t.testdir(), 'says');
  writeFileSync(path, says);
  const kind = processChildren({ execPath: process.execPath, args: ['-e', parrot, path] });
  const handle = new ChildHandle({
    index: 1,
    kind: open === null ? kind : { ...kind, open },
    settings: childSettings(1, 1, [fixtureTasks]),
    log,
    childLog: log,
    events: {
      onReady: () => {},
      onStarted: () => {},
      onRoom: () => {},
      mayRest: () => false,
      onRecalled: () => {},
      onJobDone: () => {},
      onPublish: () => t.fail('nothing is published'),
      onState: () => t.fail('no state is stored'),
      onGone: (_child, exit, started, unstarted) => gone.resolve({ exit, started, unstarted }),
      ...events,
    },
  });
  t.teardown(() => handle.kill('SIGKILL'));
  return { handle, gone: gone.promise, log };
}

function job(id: number): Job {
  const wrong = (): never => {
    throw new Error('a handle settles nothing by itself');
  };
  return new Job({
    id,
    taskName: 'tasks.add',
    taskId: `task-${id}`,
    meta: '{}',
    body: Buffer.alloc(0),
    listener: { onStarted: () => {}, onSucceeded: () => {}, onEnded: () => {}, onWorkerLost: wrong, onReturned: wrong },
  });
}

t.test('a child with nothing to do is told at once; the others of a turn go together', async (t) => {
  const writes: number[][] = [];
  const reader = new FrameReader((type, id) => {
    if (type === toChild.run) writes.at(-1)?.push(id);
  });
  let say: (bytes: Buffer) => void = () => {};
  const { handle } = openParrot(t, Buffer.alloc(0), {}, (params) => {
    say = params.events.onBytes;
    const hear = (bytes: Buffer): void => {
      writes.push([]);
      reader.push(bytes);
    };
    const never = async (): Promise<never> => {
      throw new Error('nobody asks');
    };
    const inspector = { stack: never, debug: never } as unknown as ChildLink['inspector'];
    const nothing = (): void => {};
    return { pid: 1, write: hear, rest: nothing, freeze: async () => false, thaw: nothing, kill: nothing, inspector, jobEnded: nothing };
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const run = (id: number): void => handle.run(job(id), Number.POSITIVE_INFINITY);
  await turn();
  t.strictSame(writes.splice(0), [[]], 'its settings');
  for (const id of [1, 2, 3]) run(id);
  t.strictSame(writes, [[1]]);
  await turn();
  t.strictSame(writes.splice(0), [[1], [2, 3]]);
  run(4);
  t.strictSame(writes, [], 'it is at work');
  await turn();
  t.strictSame(writes.splice(0), [[4]]);
  const writer = new FrameWriter();
  for (const id of [1, 2, 3, 4]) writer.add(toParent.succeeded, id, 0.001, '', 'null');
  say(writer.take());
  run(5);
  t.strictSame(writes, [[5]]);
});

t.test('everything a child has said before its end is heard, however busy this process is', async (t) => {
  const count = 3000;
  const writer = new FrameWriter();
  for (let id = 1; id <= count; id += 1) {
    writer.add(toParent.started, id, Date.now() / 1000, '', null);
    if (id < count) writer.add(toParent.succeeded, id, 0.001, '', '"a result of some length"');
  }
  // Always resting, and standing still between any two looks at the pipe for longer than the grace after an exit.
  const { handle, gone } = openParrot(t, writer.take(), { mayRest: () => true });
  for (let id = 1; id <= count + 1; id += 1) handle.run(job(id), Number.POSITIVE_INFINITY);
  const still = new Int32Array(new SharedArrayBuffer(4));
  let busy = true;
  const stand = (): void => {
    Atomics.wait(still, 0, 0, 520);
    if (busy) setImmediate(stand);
  };
  setImmediate(stand);
  const { exit, started, unstarted } = await gone;
  busy = false;
  t.match(exit, { exitCode: 9, signal: null, index: 1 });
  t.same(
    started.map(({ id }) => id),
    [count],
    'the one that had begun',
  );
  t.same(
    unstarted.map(({ id }) => id),
    [count + 1],
    'the one that had not',
  );
  t.equal(handle.processed, count - 1);
});

t.test('half a frame at the end is nothing said', async (t) => {
  const writer = new FrameWriter();
  writer.add(toParent.started, 1, Date.now() / 1000, '', null);
  const whole = writer.take();
  const { handle, gone, log } = openParrot(t, whole.subarray(0, whole.length - 1));
  handle.run(job(1), Number.POSITIVE_INFINITY);
  const { started, unstarted } = await gone;
  t.same([started.length, unstarted.length], [0, 1]);
  t.notOk(log.lines.some(({ event }) => event === 'child.garbage'));
});

t.test('a frame that only a parent sends, meta that is no JSON, plain text: killed, and whatever it held may have run', async (t) => {
  const frames: readonly ((writer: FrameWriter) => void)[] = [
    (writer) => writer.add(2, 1, 0, '{}', null),
    (writer) => writer.add(toParent.ended, 1, 0, '{not json', 'null'),
    (writer) => writer.add(0x61, 0x62636465, 0, 'text', null),
  ];
  for (const add of frames) {
    const writer = new FrameWriter();
    add(writer);
    const { handle, gone, log } = openParrot(t, writer.take());
    handle.run(job(1), Number.POSITIVE_INFINITY);
    handle.run(job(2), Number.POSITIVE_INFINITY);
    const { started, unstarted } = await gone;
    t.ok(log.lines.some(({ event }) => event === 'child.garbage'));
    t.same(started.map(({ id }) => id).at(-1), 2);
    t.equal(unstarted.length, 0);
  }
});

t.test('one recall at a time: a child that does not listen finds no heap of them', async (t) => {
  const { handle, gone } = openParrot(t, Buffer.alloc(0));
  const recalls: number[] = [];
  const { add } = FrameWriter.prototype;
  t.teardown(() => {
    FrameWriter.prototype.add = add;
  });
  FrameWriter.prototype.add = function (type, ...rest) {
    if (type === toChild.recall) recalls.push(type);
    add.call(this, type, ...rest);
  };
  handle.run(job(1), Number.POSITIVE_INFINITY);
  for (let times = 0; times < 50; times += 1) handle.recall();
  t.equal(recalls.length, 1);
  handle.run(job(2), Number.POSITIVE_INFINITY);
  handle.recall();
  t.equal(recalls.length, 2, 'what was sent after it needs one of its own');
  await gone;
});

t.test('words about jobs it does not hold are passed over', async (t) => {
  const writer = new FrameWriter();
  writer.add(toParent.started, 77, 1, '', null);
  writer.add(toParent.succeeded, 77, 1, '', 'null');
  writer.add(toParent.ended, 77, 1, '{"kind":"failed"}', 'null');
  writer.add(toParent.followUp, 77, 1, '{}', 'x');
  writer.add(toParent.recalled, 0, 0, '[77]', null);
  writer.add(toParent.dumped, 77, 0, '{"jobs":[],"waiting":0}', null);
  const { handle, gone, log } = openParrot(t, writer.take());
  handle.run(job(1), Number.POSITIVE_INFINITY);
  const { unstarted } = await gone;
  t.same(unstarted.length, 1);
  t.equal(handle.processed, 0);
  t.notOk(log.lines.some(({ event }) => event === 'child.garbage'));
});

t.test('stop, kill and dump of a child that is gone do nothing', async (t) => {
  const { handle, gone } = openParrot(t, Buffer.alloc(0));
  const dumping = handle.dump(60_000);
  await gone;
  t.equal(handle.state, 'gone');
  handle.stop();
  handle.kill('SIGTERM');
  handle.recall();
  handle.replyPublished(1, { error: null });
  t.same(await dumping, { jobs: [], waiting: 0 }, 'who waited for it is not left waiting');
  t.equal(await handle.dump(60_000), null);
});

t.test('the states of a real child', async (t) => {
  const log = new RecordingLog();
  const ready = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<ChildExit>();
  const main = join(import.meta.dirname, '../../src/main.ts');
  const handle = new ChildHandle({
    index: 7,
    kind: processChildren({
      execPath: process.execPath,
      args: ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'],
    }),
    settings: childSettings(7, 2, [fixtureTasks]),
    log,
    childLog: log,
    events: {
      onReady: (_child, meta) => {
        t.equal(meta.pid, handle.pid);
        ready.resolve();
      },
      onStarted: () => {},
      onRoom: () => {},
      mayRest: () => false,
      onRecalled: () => {},
      onJobDone: () => {},
      onPublish: () => {},
      onState: () => {},
      onGone: (_child, exit) => gone.resolve(exit),
    },
  });
  t.equal(handle.state, 'starting');
  await ready.promise;
  t.equal(handle.state, 'ready');
  t.same(await handle.dump(30_000), { jobs: [], waiting: 0 });
  handle.stop();
  t.equal(handle.state, 'stopping');
  t.match(await gone.promise, { index: 7, exitCode: 0, signal: null });
  t.equal(handle.state, 'gone');
});
