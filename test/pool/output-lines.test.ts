/** What a child writes outside of its own logging becomes log lines, ascribed to its task where there is only one. */
import { PassThrough } from 'node:stream';
import t from 'tap';
import type { Job } from '../../src/pool/job.ts';
import { OutputLines, type OutputLinesParams } from '../../src/pool/output-lines.ts';
import { settled } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';

function open(params: Partial<OutputLinesParams> = {}): { out: PassThrough; err: PassThrough; log: RecordingLog; lines: OutputLines } {
  const log = new RecordingLog();
  const lines = new OutputLines({ log, level: 'warning', redirect: true, childIndex: 2, currentJob: () => undefined, ...params });
  const [out, err] = [new PassThrough(), new PassThrough()];
  lines.attach(out, err);
  return { out, err, log, lines };
}

const inspector = 'Debugger listening on ws://127.0.0.1:45678/0f2c936f-b1cd-4ac9-aab3-f63b0f33d55e';

t.test('lines, however they are cut, with the stream they came from', async (t) => {
  const { out, err, log, lines } = open();
  out.write('one\ntw');
  out.write('o\n');
  err.write(Buffer.from('drei\u00df').subarray(0, 5));
  err.write(Buffer.from('\u00df').subarray(1));
  await settled();
  lines.end();
  t.match(log.lines, [
    { level: 'warning', event: 'task.output', message: 'one', fields: { stream: 'stdout', child: 2 } },
    { message: 'two', fields: { stream: 'stdout' } },
    { message: 'dreiß', fields: { stream: 'stderr' } },
  ]);
});

t.test('ascribed to the task when there is exactly one', async (t) => {
  const job = { taskId: 'id-1', taskName: 'tasks.it' } as Job;
  const { out, log } = open({ currentJob: () => job, level: 'info' });
  out.write('mine\n');
  await settled();
  t.match(log.lines, [{ level: 'info', message: 'mine', fields: { taskId: 'id-1', taskName: 'tasks.it' } }]);
});

t.test("the inspector's address answers who waits for it, and is nobody's output", async (t) => {
  const { err, log, lines } = open();
  let asked = false;
  const url = lines.nextInspectorUrl(30_000, () => {
    asked = true;
  });
  t.ok(asked);
  err.write(`${inspector}\nFor help, see: https://nodejs.org/en/docs/inspector\nDebugger attached.\na line of a task\n`);
  t.match(await url, /^ws:\/\/127\.0\.0\.1:45678\//);
  await settled();
  t.match(log.lines, [{ message: 'a line of a task' }]);
  t.equal(log.lines.length, 1);
});

t.test('who waits for the inspector of a child that ends is not left waiting', async (t) => {
  const { lines } = open();
  const url = lines.nextInspectorUrl(30_000, () => {});
  lines.end();
  t.equal(await url, null);
  t.equal(await lines.nextInspectorUrl(1, () => {}), null, 'nor one whose time is over');
});

t.test('the last words of a child may come after its end', async (t) => {
  const { err, log, lines } = open();
  lines.end();
  err.end('FATAL ERROR: out of memory');
  await settled();
  t.match(log.lines, [{ message: 'FATAL ERROR: out of memory', fields: { stream: 'stderr' } }]);
});
