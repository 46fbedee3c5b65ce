/** Questions to a child: what is an answer in time, and what is none. */
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import { PendingDumps } from '../../src/pool/pending-dumps.ts';

const doing = { jobs: [], waiting: 3 };

t.test('an answer, and none', async (t) => {
  const dumps = new PendingDumps();
  const answered = dumps.ask(60_000, (request) => setImmediate(() => dumps.answered(request, doing)));
  t.strictSame(await answered, doing);
  let asked = 0;
  t.equal(
    await dumps.ask(1, (request) => {
      asked = request;
    }),
    null,
  );
  dumps.answered(asked, doing);
  t.pass('too late, and passed over');
  const left = dumps.ask(60_000, () => {});
  dumps.end();
  t.strictSame(await left, { jobs: [], waiting: 0 });
});

t.test('an answer that came while this process stood still was in time', async (t) => {
  const dumps = new PendingDumps();
  const { port1: child, port2: here } = new MessageChannel();
  t.teardown(() => child.close());
  here.on('message', (request: number) => dumps.answered(request, doing));
  // From there timers come before what has arrived.
  await new Promise((resolve) => setImmediate(resolve));
  const answer = dumps.ask(20, (request) => child.postMessage(request));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  t.strictSame(await answer, doing);
});
