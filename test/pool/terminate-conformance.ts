/** The part of the pool's conformance suite about ending running tasks on request: that task, and no other. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { namedSignal } from '../../src/os/signal-name.ts';
import { SeededRandom } from '../live/seeded-random.ts';
import { eventually } from './eventually.ts';
import type { BenchOptions, PoolBench } from './pool-bench.ts';

type PoolTest = (title: string, options: BenchOptions, body: (t: Test, bench: PoolBench) => Promise<void>) => void;

const term = namedSignal('SIGTERM');

/** Children of any kind that can be ended. */
export function terminateSuite(test: PoolTest): void {
  test('a running task is ended with its child, the one beside it is not', { concurrency: 2 }, async (t, { gates, pool, run, log }) => {
    const over = run('add', [1, 2]);
    await over.end;
    const [victim, other] = [run('mostlyShort', [gates.path, 'victim']), run('mostlyShort', [gates.path, 'other'])];
    const waiting = run('add', [3, 4]);
    const [, arrival] = [await gates.arrival('victim'), await gates.arrival('other')];
    pool.terminate(over.job, term);
    pool.terminate(waiting.job, term);
    pool.terminate(victim.job, term);
    const end = await victim.end;
    t.match(end, { kind: 'lost', exit: { signal: 'SIGTERM', killed: { outcome: { kind: 'terminated', signal: 'SIGTERM' } } } });
    t.equal(end.kind === 'lost' ? end.exit.killed?.job : null, victim.job);
    arrival.open('unharmed');
    t.match(await other.end, { value: 'unharmed' });
    t.match(await waiting.end, { value: 7 }, 'what has not begun is not ended');
    await eventually(t, 'the child is replaced', async () => (await pool.report()).length === 2);
    t.match(await log.event('child.terminated'), { level: 'info', message: /is ended for tasks\.mostlyShort\[[^,]+\] \(SIGTERM\)$/ });
    t.notOk(
      log.lines.some(({ event }) => event === 'child.lost'),
      'no child was lost',
    );
  });

  test('blocked, with others it has been sent: killed at once, and they run elsewhere', {}, async (t, bench) => {
    const { pool, run, runMany, proveShort, log } = bench;
    await proveShort('shortOrBlocked');
    const folder = t.testdir();
    const begun = join(folder, 'begun');
    const victim = run('shortOrBlocked', [begun, join(folder, 'until')]);
    const behind = runMany(5, 'shortOrBlocked');
    t.ok(
      behind.some(({ job }) => job.child !== null),
      'some were sent behind it',
    );
    await eventually(t, 'it has begun', () => victim.hasStarted && existsSync(begun));
    pool.terminate(victim.job, term);
    const end = await victim.end;
    t.match(end, { kind: 'lost', exit: { signal: 'SIGKILL' } });
    t.equal(end.kind === 'lost' ? end.exit.killed?.job : null, victim.job);
    for (const { end } of behind) t.match(await end, { kind: 'succeeded' });
    t.match(await log.event('child.terminated'), { message: /\(SIGKILL, because its JavaScript is blocked\)$/ });
  });

  test('who runs in the same child ends with it and hears why', { childConcurrency: 3 }, async (t, { gates, pool, run, log }) => {
    const runs = ['a', 'b', 'c'].map((name) => run('mostlyShort', [gates.path, name]));
    await Promise.all(['a', 'b', 'c'].map((name) => gates.arrival(name)));
    const later = run('add', [1, 2]);
    pool.terminate(runs[1]!.job, term);
    pool.terminate(runs[1]!.job, term);
    for (const { end } of runs) t.match(await end, { kind: 'lost', exit: { killed: { job: { taskId: 'task-2' } } } });
    t.match(await later.end, { value: 3 });
    t.match(await log.event('child.terminated'), {
      message: /is ended for \S+\[task-2\] \(SIGTERM\); with it end, because they run there too: \S+\[task-1\], \S+\[task-3\]$/,
    });
    t.equal(pool.jobCount, 0);
  });

  test('at whatever moment: only what was to be ended is', { concurrency: 2 }, async (t, { pool, runMany, proveShort }) => {
    // Far below what counts as short: on a busy machine everything takes longer.
    await proveShort('spinFor', [0.1]);
    const random = new SeededRandom(7);
    const wanted = new Set<number>();
    let ended = 0;
    for (let round = 0; round < 10; round += 1) {
      const runs = runMany(40, 'spinFor', [2]);
      await Promise.race(runs.map(({ started }) => started));
      const turns = Math.floor(random.next() * 8);
      for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
      for (const { job } of runs.filter(({ hasStarted, settled }) => hasStarted && settled === null).slice(0, 2)) {
        wanted.add(job.id);
        pool.terminate(job, term);
      }
      for (const { job, end } of runs) {
        const { kind } = await end;
        if (kind === 'lost') ended += 1;
        if (kind !== 'succeeded' && !(kind === 'lost' && wanted.has(job.id))) t.fail(`nobody wanted ${job.id} to end, and it is ${kind}`);
      }
    }
    t.ok(wanted.size > 0, `${wanted.size} were to be ended, ${ended} were, the others were faster`);
    t.equal(pool.jobCount, 0);
  });
}

/** Children that are processes. */
export function signalSuite(test: PoolTest): void {
  test(
    'a task that handles the signal ends by itself, and its child is replaced; a second signal goes out at once',
    {},
    async (t, { gates, pool, run, value, log }) => {
      const [pid] = pool.pids;
      const victim = run('cleansUp', [gates.path]);
      await gates.arrival('working');
      pool.terminate(victim.job, term);
      const later = run('pid');
      const cleaning = await gates.arrival('cleaning');
      t.notOk(later.hasStarted, 'nothing begins there beside it');
      cleaning.open('cleaned up');
      t.match(await victim.end, { kind: 'succeeded', value: 'cleaned up' });
      t.notMatch(await later.end, { value: pid });
      t.not(await value('pid'), pid);
      t.notOk(
        log.lines.some(({ event }) => event === 'child.lost'),
        'no child was lost',
      );

      const stubborn = run('cleansUp', [gates.path]);
      await gates.arrival('working');
      pool.terminate(stubborn.job, term);
      await gates.arrival('cleaning');
      pool.terminate(stubborn.job, namedSignal(9));
      t.match(await stubborn.end, { kind: 'lost', exit: { signal: 'SIGKILL' } });
    },
  );

  test('by number', {}, async (t, { gates, pool, run }) => {
    const victim = run('mostlyShort', [gates.path, 'victim']);
    await gates.arrival('victim');
    pool.terminate(victim.job, namedSignal(6));
    t.match(await victim.end, { kind: 'lost', exit: { signal: 'SIGABRT' } });
  });
}

/** Every kind of children. */
export function softTerminateSuite(test: PoolTest): void {
  test('SIGUSR1 opens no inspector: it is a soft time limit that is over now', {}, async (t, { gates, pool, run, log }) => {
    const before = [...pool.pids];
    const task = run('waitForAbort', [gates.path]);
    const arrival = await gates.arrival('aborting');
    pool.terminate(task.job, namedSignal(10));
    t.match(await task.end, { kind: 'succeeded', value: 'SoftTimeLimitExceeded' });
    arrival.open();
    const ended = run('add', [1, 2]);
    await ended.end;
    pool.terminate(ended.job, namedSignal(10));
    t.match(await run('add', [3, 4]).end, { value: 7 });
    t.strictSame(pool.pids, before, 'the child goes on');
    t.notOk(log.lines.some(({ message }) => message.includes('Debugger listening')));
  });
}
