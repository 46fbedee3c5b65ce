/** The inspector of a child process: asked for once at a time, and with a rest in between. */
import type { ChildProcess } from 'node:child_process';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { OutputLines } from '../../src/pool/output-lines.ts';
import { processInspector, restMs } from '../../src/pool/process-inspector.ts';
import { RecordingLog } from '../driver/recording-log.ts';

/** A process that says at once where its inspector listens, where nobody does. */
function signalled(times: number[]): ReturnType<typeof processInspector> {
  const output = new OutputLines({ log: new RecordingLog(), level: 'warning', redirect: true, childIndex: 1, jobs: new Map(), slots: 1 });
  const stderr = new PassThrough();
  output.attach(new PassThrough(), stderr);
  const kill = (): boolean => {
    times.push(performance.now());
    return stderr.write('Debugger listening on ws://127.0.0.1:1/aa-bb\n');
  };
  return processInspector({ kill } as unknown as ChildProcess, output);
}

t.test('who asks for a stack while one is taken gets that one', async (t) => {
  const times: number[] = [];
  const inspector = signalled(times);
  const stacks = await Promise.all([inspector.stack(5000), inspector.stack(5000)]);
  t.match(stacks, [['no stack: the process closed its inspector before it answered'], stacks[0]]);
  t.equal(times.length, 1);
});

t.test('the next stack waits until the process has surely gone on', async (t) => {
  const times: number[] = [];
  const inspector = signalled(times);
  await inspector.stack(5000);
  await inspector.stack(5000);
  const [first = 0, second = 0] = times;
  // A timer may be a millisecond early.
  t.ok(second - first >= restMs - 1, `${second - first} ms`);
});
