/** When a child that has died is replaced: at once, or later. The children are the test's own; what real ones come to is death-conformance.ts. */
import t, { type Test } from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { ChildReplacer } from '../../src/pool/child-replacer.ts';
import { RecordingLog } from '../driver/recording-log.ts';

class Bench {
  readonly log = new RecordingLog();
  readonly replacer: ChildReplacer;
  #spawned = 0;

  constructor(t: Test) {
    this.replacer = new ChildReplacer({
      log: this.log,
      startTimeoutMs: 1000,
      maxStartFailures: 3,
      replaceable: true,
      children: () => [],
      isFirst: () => false,
      hasNext: () => false,
      wantsNext: () => false,
      spawn: () => {
        this.#spawned += 1;
      },
      giveUp: (cause) => t.fail(cause.message),
    });
    t.teardown(() => this.replacer.forgetAbove(0));
  }

  /** A child dies that was ready so long ago, and has ended so many jobs. What is said of the next. */
  dies({ hadBegun, processed = 0, aliveMs = 0 }: { hadBegun: boolean; processed?: number; aliveMs?: number }): string {
    const before = this.#spawned;
    const readyAtMs = performance.now() - aliveMs;
    const child = { index: 1, pid: 7, letGo: false, wasReady: true, readyAtMs, processed } as unknown as ChildHandle;
    this.replacer.replace(child, { pid: 7, index: 1, exitCode: 1, signal: null, killed: null }, null, hadBegun);
    const atOnce = this.#spawned > before;
    if (atOnce === this.replacer.isPending(1)) throw new Error('it is replaced either at once or later');
    this.replacer.forget(1);
    const text = this.log.lines.at(-1)?.message.split('exit code 1; ')[1] ?? '';
    if (atOnce !== (text === 'it is replaced')) throw new Error(`what is said must be so, got ${text}`);
    return text;
  }
}

const atOnce = 'it is replaced';
const idle = /^it had done nothing since it was ready; it is replaced in (\d+) ms$/;

t.test('one that dies by itself as soon as it is ready is replaced at once the first time only', async (t) => {
  const bench = new Bench(t);
  t.equal(bench.dies({ hadBegun: false }), atOnce);
  const delays = Array.from({ length: 10 }, () => Number(idle.exec(bench.dies({ hadBegun: false }))?.[1]));
  t.ok(delays[0]! >= 100 && delays[0]! <= 200, `got ${delays}`);
  t.ok(delays.at(-1)! >= 5000 && delays.at(-1)! <= 10_000);
  bench.replacer.onJobDone();
  t.equal(bench.dies({ hadBegun: false }), atOnce, 'a task has ended since');
});

t.test(
  'one that had begun a task has done something, and yet a task that ends every child is no way to start them without end',
  async (t) => {
    const bench = new Bench(t);
    for (let death = 1; death <= 4; death += 1) t.equal(bench.dies({ hadBegun: true }), atOnce, `death ${death}`);
    const late = /^(\d+) children died soon after they were ready, and no task ended meanwhile; it is replaced in (\d+) ms$/;
    const delays = [5, 6, 7, 8, 9, 10, 11, 12].map((death) => {
      const [, deaths, delayMs] = late.exec(bench.dies({ hadBegun: true })) ?? [];
      t.equal(Number(deaths), death);
      return Number(delayMs);
    });
    t.ok(delays[0]! >= 100 && delays[0]! <= 200, `got ${delays}`);
    t.ok(delays.at(-1)! >= 5000);
    t.match(bench.dies({ hadBegun: false }), idle, 'those without a task are of the same row');
    bench.replacer.onJobDone();
    t.equal(bench.dies({ hadBegun: true }), atOnce);
  },
);

t.test('one that has done a task, or lived for a while, is replaced at once each time', async (t) => {
  const bench = new Bench(t);
  for (let death = 1; death <= 6; death += 1) {
    t.equal(bench.dies({ hadBegun: true, processed: 1 }), atOnce);
    t.equal(bench.dies({ hadBegun: false, aliveMs: 2000 }), atOnce);
  }
});
