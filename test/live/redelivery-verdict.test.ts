/** The judge of the RabbitMQ chaos run sees what is wrong and nothing else. */
import t from 'tap';
import { type Break, judgeRedeliveries } from './redelivery-verdict.ts';
import type { RunLine } from './run-log.ts';

const line = (what: 'start' | 'end', worker: number, atMs: number, redelivered = false): RunLine => ({
  what,
  taskId: 'a',
  kind: 'umbel',
  worker,
  child: worker * 10,
  redelivered,
  atMs,
  lookedAtMs: null,
});

const judged = (lines: readonly RunLine[], breaks: readonly Break[] = [], killed: readonly (readonly [number, number])[] = []) => {
  const { runs, repeats, unmarked, uncaused, beside } = judgeRedeliveries({ lines, breaks, killedAtMs: new Map(killed), reserveMs: 100 });
  return [runs, repeats, unmarked.length, uncaused.length, beside.length];
};

t.test('verdicts', async (t) => {
  const first = line('start', 1, 1000);
  const marked = line('start', 2, 2000, true);
  t.same(judged([first, line('end', 1, 1500)]), [1, 0, 0, 0, 0]);
  t.same(judged([first, marked]), [2, 1, 0, 1, 0], 'for no reason');
  t.same(judged([first, marked], [{ pid: 1, atMs: 1500 }]), [2, 1, 0, 0, 0], 'the connection broke');
  t.same(judged([first, marked], [{ pid: null, atMs: 950 }]), [2, 1, 0, 0, 0], 'everybody’s, before it was started');
  t.same(judged([first, marked], [{ pid: 3, atMs: 1500 }]), [2, 1, 0, 1, 0], 'that of another');
  t.same(judged([first, marked], [{ pid: 1, atMs: 2500 }]), [2, 1, 0, 1, 0], 'later');
  t.same(judged([first, marked], [{ pid: 1, atMs: 800 }]), [2, 1, 0, 1, 0], 'long before');
  t.same(judged([first, marked], [], [[10, 1500]]), [2, 1, 0, 0, 0], 'its child was killed');
  t.same(judged([first, line('start', 2, 2000)], [{ pid: 1, atMs: 1500 }]), [2, 1, 1, 0, 0], 'unmarked');
  const again = line('start', 1, 2000, true);
  t.same(judged([first, again], [{ pid: 1, atMs: 1500 }]), [2, 1, 0, 0, 1], 'beside itself');
  t.same(judged([first, line('end', 1, 1800), again], [{ pid: 1, atMs: 1500 }]), [2, 1, 0, 0, 0], 'after its end');
});
