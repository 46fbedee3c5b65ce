/** The part of the pool's conformance suite about what is no longer ours: past the time up to which it certainly was, or because it was withdrawn. */
import type { Test } from 'tap';
import { systemClock } from '../../src/std/clock.ts';
import { eventually } from './eventually.ts';
import type { BenchOptions, PoolBench } from './pool-bench.ts';

type PoolTest = (title: string, options: BenchOptions, body: (t: Test, bench: PoolBench) => Promise<void>) => void;

export function holdingSuite(test: PoolTest): void {
  test('past the time up to which it is ours nothing is started; all of it when that has moved on', {}, async (t, bench) => {
    const { gates, log, pool, run, runMany, proveShort } = bench;
    await proveShort('mostlyShort');
    const running = run('mostlyShort', [gates.path, 'running']);
    // Time enough to be sent ahead on a busy machine; until the gate opens none of them can start.
    bench.heldUntilMs = systemClock.monotonic() + 300;
    const ahead = runMany(5, 'mostlyShort');
    t.ok(
      ahead.some(({ job }) => job.child !== null),
      'some are with the child already',
    );
    const arrival = await gates.arrival('running');
    await eventually(t, 'the time is over', () => systemClock.monotonic() > bench.heldUntilMs);
    const later = runMany(5, 'add', [1, 2]);
    arrival.open('done');
    t.match(await running.end, { value: 'done' }, 'what runs goes on');
    await log.event('pool.held-back');
    await eventually(t, 'all have come back', () => ahead.every(({ job }) => job.child === null));
    await pool.report();
    t.notOk(
      [...ahead, ...later].some(({ hasStarted }) => hasStarted),
      'none was started by then, though the child had nothing to do',
    );
    bench.heldUntilMs = systemClock.monotonic() + 60_000;
    pool.held();
    for (const { end } of [...ahead, ...later]) t.match(await end, { kind: 'succeeded' });
    await log.event('pool.held');
  });
}

/** Where a child can be killed alone. */
export function killedHoldingSuite(test: PoolTest): void {
  test(
    'withdrawn jobs do not run when the child that has them dies',
    { concurrency: 1 },
    async (t, { gates, pool, run, runMany, proveShort }) => {
      await proveShort('mostlyShort');
      const held = run('mostlyShort', [gates.path, 'held']);
      const [gone, kept] = runMany(2, 'mostlyShort');
      t.ok(gone!.job.child !== null, 'it is with the child');
      // Before the other one can be found to take long: what was sent behind that is recalled, and waits here if it is still wanted.
      gone!.job.withdrawn = true;
      await gates.arrival('held');
      process.kill(pool.pids[0]!, 'SIGKILL');
      t.equal((await held.end).kind, 'lost');
      t.equal((await gone!.end).kind, 'returned');
      t.equal((await kept!.end).kind, 'succeeded');
    },
  );
}

/** Where a running task can be ended with its child. */
export function cancelSuite(test: PoolTest): void {
  test('a cancelled job that goes on is ended with its child', { concurrency: 1 }, async (t, { gates, pool, run }) => {
    const { job, end } = run('mostlyShort', [gates.path, 'deaf']);
    await gates.arrival('deaf');
    job.withdrawn = true;
    pool.cancel(job, 'enough');
    t.equal((await end).kind, 'lost');
    t.equal(pool.jobCount, 0);
  });
}
