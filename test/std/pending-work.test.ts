import t from 'tap';
import { PendingWork } from '../../src/std/pending-work.ts';

t.test('the end waits for all of it, and for nothing that is forgotten', async (t) => {
  const work = new PendingWork();
  await work.idle();
  const order: string[] = [];
  work.begun();
  work.begun();
  t.equal(work.size, 2);
  const waits = [1, 2].map(() => work.idle().then(() => order.push('idle')));
  work.done();
  await new Promise(setImmediate);
  t.strictSame(order, []);
  work.done();
  await Promise.all(waits);
  t.strictSame(order, ['idle', 'idle']);
  work.begun();
  const forgotten = work.idle();
  work.forget();
  await forgotten;
  t.equal(work.size, 0);
  await work.idle();
});
