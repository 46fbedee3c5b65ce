/** When children are looked at and what comes of it: on a clock of the test's, with children in name only. */
import t from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { MemoryWatch } from '../../src/pool/memory-watch.ts';
import { Tenure } from '../../src/pool/tenure.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';

const kib = 1024;

class NamedChild {
  readonly index = 1;
  readonly tenure = new Tenure();
  readonly jobs = new Map<number, string>();
  readonly signals: string[] = [];
  rss: number | null = 100 * kib;
  readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }
}

function bench(limits: { softBytes?: number; hardBytes?: number }) {
  const clock = new FakeClock();
  const log = new RecordingLog();
  const children = [new NamedChild(11), new NamedChild(12)];
  const outgrown: number[] = [];
  const looks: number[] = [];
  const work = { waiting: false };
  const watch = new MemoryWatch({
    softBytes: limits.softBytes ?? null,
    hardBytes: limits.hardBytes ?? null,
    hasWork: () => work.waiting || children.some(({ jobs }) => jobs.size > 0),
    children: () => children as unknown as ChildHandle[],
    rssBytes: (pid) => {
      looks.push(pid);
      return children.find((child) => child.pid === pid)?.rss ?? null;
    },
    stackOf: async (child) => `stack of ${child.pid}`,
    clock,
    log,
    onOutgrown: (child) => {
      child.tenure.renewal = 'max_memory';
      outgrown.push(child.pid);
    },
  });
  const [a, b] = children as [NamedChild, NamedChild];
  return { clock, log, watch, a, b, outgrown, looks, work };
}

t.test('only children that work are looked at, and only while there are some', async (t) => {
  const { clock, watch, a, looks } = bench({ hardBytes: 1000 * kib });
  t.equal(clock.pending, 0);
  a.jobs.set(1, 'job');
  watch.wake();
  watch.wake();
  t.equal(clock.pending, 1);
  clock.advance(250);
  t.same(looks, [11, 11]);
  a.jobs.clear();
  clock.advance(10_000);
  t.same(looks, [11, 11]);
  t.equal(clock.pending, 0, 'an idle pool sleeps');
});

t.test('a job that waits for a child is watched when it has one', (t) => {
  const { clock, watch, a, looks, work } = bench({ hardBytes: 1000 * kib });
  work.waiting = true;
  watch.wake();
  clock.advance(500);
  t.same(looks, []);
  work.waiting = false;
  a.jobs.set(1, 'job');
  clock.advance(100);
  t.same(looks, [11]);
  t.end();
});

t.test('what comes near the hard limit is looked at more often, and the others again as before', async (t) => {
  const { clock, watch, a, looks } = bench({ hardBytes: 1000 * kib });
  a.jobs.set(1, 'job');
  a.rss = 501 * kib;
  watch.wake();
  clock.advance(100);
  t.equal(looks.length, 1);
  clock.advance(100);
  t.equal(looks.length, 6);
  a.rss = 499 * kib;
  clock.advance(20);
  t.equal(looks.length, 7);
  clock.advance(99);
  t.equal(looks.length, 7);
  a.rss = 1001 * kib;
  clock.advance(1);
  t.strictSame(a.signals, ['SIGKILL']);
  clock.advance(99);
  t.equal(looks.length, 8, 'it is on its way');
  t.equal(clock.pending, 1);
});

t.test('what a short task has left behind is seen, though no other follows', async (t) => {
  const { clock, watch, a, outgrown } = bench({ softBytes: 200 * kib });
  a.jobs.set(1, 'job');
  watch.wake();
  clock.advance(250);
  a.rss = 201 * kib;
  a.jobs.clear();
  clock.advance(10);
  watch.onJobDone(a as unknown as ChildHandle);
  t.strictSame(outgrown, [], 'it was looked at a moment ago');
  clock.advance(240);
  t.strictSame(outgrown, [11]);
  t.equal(clock.pending, 0);
});

t.test('above the soft limit: told once', async (t) => {
  const { clock, watch, a, b, outgrown } = bench({ softBytes: 200 * kib });
  for (const child of [a, b]) child.jobs.set(1, 'job');
  b.rss = 201 * kib;
  watch.wake();
  clock.advance(1000);
  t.same(outgrown, [12]);
  t.same(b.signals, []);
  t.equal(b.tenure.peakRssBytes, 201 * kib);
});

t.test('above the hard limit: killed once, and why', async (t) => {
  const { clock, watch, a, b, log } = bench({ softBytes: 200 * kib, hardBytes: 300 * kib });
  for (const child of [a, b]) child.jobs.set(1, 'job');
  a.rss = 300 * kib;
  b.rss = 301 * kib;
  watch.wake();
  clock.advance(1000);
  t.same([a.signals, b.signals], [[], ['SIGKILL']]);
  t.equal(b.tenure.killedBecause, 'It held 301 KiB of memory, more than worker.max_memory_hard allows (300 KiB).');
  t.equal(a.tenure.killedBecause, null);
  await null;
  t.same([a.tenure.stack, b.tenure.stack], ['stack of 11', 'stack of 12'], 'asked above three quarters of it');
  t.same(
    log.lines.map(({ event }) => event),
    ['child.memory-exceeded'],
  );
});

t.test('after a task, unless it was looked at just before', async (t) => {
  const { clock, watch, a, outgrown, looks } = bench({ softBytes: 200 * kib });
  const child = a as unknown as ChildHandle;
  watch.onJobDone(child);
  watch.onJobDone(child);
  t.same(looks, [11]);
  a.rss = 201 * kib;
  clock.advance(60);
  watch.onJobDone(child);
  t.same(outgrown, [11]);
});

t.test('without limits the peak alone is noted, once a second', async (t) => {
  const { clock, watch, a, looks } = bench({});
  a.jobs.set(1, 'job');
  watch.onJobDone(a as unknown as ChildHandle);
  t.same(looks, []);
  watch.wake();
  clock.advance(2500);
  t.same(looks, [11, 11]);
  a.rss = 1;
  clock.advance(1000);
  t.equal(a.tenure.peakRssBytes, 100 * kib);
});

t.test('one that is gone, or cannot be seen', async (t) => {
  const { clock, watch, a } = bench({ hardBytes: kib });
  a.jobs.set(1, 'job');
  a.rss = null;
  watch.wake();
  clock.advance(500);
  t.same(a.signals, []);
  watch.stop();
  t.equal(clock.pending, 0);
});
