/** The part of the pool's conformance suite about children that die: where each is a process of its own. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { allGone, isRunning } from '../live/live-worker.ts';
import { eventually } from './eventually.ts';
import { type BenchOptions, fixtureTasks, type PoolBench } from './pool-bench.ts';

type PoolTest = (title: string, options: BenchOptions, body: (t: Test, bench: PoolBench) => Promise<void>) => void;

export function deathSuite(test: PoolTest): void {
  test('kill -9 of a child: what it had started is lost, the rest is done by others', {}, async (t, bench) => {
    const { gates, pool, run, runMany, proveShort, log } = bench;
    await proveShort('mostlyShort');
    const [victim] = pool.pids;
    const held = run('mostlyShort', [gates.path, 'held']);
    const others = runMany(20, 'mostlyShort');
    t.ok(
      others.some(({ job }) => job.child !== null),
      'some were with the child',
    );
    await gates.arrival('held');
    process.kill(victim!, 'SIGKILL');
    t.match(await held.end, { kind: 'lost', exit: { pid: victim!, index: 1, exitCode: null, signal: 'SIGKILL' } });
    for (const { end } of others) {
      const outcome = await end;
      t.match(outcome, { kind: 'succeeded' });
      t.not((outcome as { value: number }).value, victim, 'done by the replacement');
    }
    t.match(await pool.report(), [{ index: 1 }]);
    t.notOk(pool.pids.includes(victim!));
    t.match(await log.event('child.lost'), {
      level: 'error',
      message: /PoolChild-1 \(pid \d+\) exited with signal SIGKILL; it is replaced/,
    });
    t.notOk(log.lines.some(({ event }) => event === 'child.start-failed'));
  });

  test('the death of one harms no other', { concurrency: 3 }, async (t, { gates, pool, run }) => {
    const names = ['a', 'b', 'c'];
    const runs = names.map((name) => run('mostlyShort', [gates.path, name]));
    const arrivals = await Promise.all(names.map((name) => gates.arrival(name)));
    const before = new Map((await pool.report()).map(({ pid, index }) => [pid, index]));
    process.kill(arrivals[1]!.pid, 'SIGKILL');
    t.match(await runs[1]!.end, { kind: 'lost', exit: { index: before.get(arrivals[1]!.pid)! } });
    arrivals[0]!.open('fine');
    arrivals[2]!.open('fine');
    t.match(await runs[0]!.end, { value: 'fine' });
    t.match(await runs[2]!.end, { value: 'fine' });
    await eventually(t, 'three again, with the same numbers', async () => {
      const reports = await pool.report();
      return (
        reports.length === 3 &&
        reports
          .map(({ index }) => index)
          .sort()
          .join() === '1,2,3'
      );
    });
    t.ok(pool.pids.includes(arrivals[0]!.pid) && pool.pids.includes(arrivals[2]!.pid));
  });

  test('all slots of a killed child are lost', { childConcurrency: 3 }, async (t, { gates, run, pool }) => {
    const runs = ['a', 'b', 'c', 'd'].map((name) => run('mostlyShort', [gates.path, name]));
    const arrivals = await Promise.all(['a', 'b', 'c'].map((name) => gates.arrival(name)));
    process.kill(arrivals[0]!.pid, 'SIGKILL');
    for (const lost of runs.slice(0, 3)) t.match(await lost.end, { kind: 'lost' });
    (await gates.arrival('d')).open('later');
    t.match(await runs[3]!.end, { value: 'later' });
    t.equal(pool.jobCount, 0);
  });

  test('a task that ends its process', {}, async (t, { run, value, log }) => {
    t.match(await run('exit', [3]).end, { kind: 'lost', exit: { exitCode: 3, signal: null } });
    t.match(await run('exit', [0]).end, { kind: 'lost', exit: { exitCode: 0 } }, 'also when it calls that a success');
    t.match(await run('crash').end, { kind: 'lost', exit: { exitCode: 1 } });
    t.match(await log.event('child.uncaught'), { message: /thrown by a timer/ });
    t.equal(await value('add', [1, 2]), 3);
    const lost = log.lines.filter(({ event }) => event === 'child.lost').map(({ message }) => message);
    t.equal(lost.length, 3);
    for (const message of lost) t.match(message, /exited with exit code [013]; it is replaced$/, 'at once: it had begun a task');
  });

  test('garbage on the pipe costs the child its life, nothing else', { concurrency: 2 }, async (t, { gates, run, value, log }) => {
    const bystander = run('mostlyShort', [gates.path, 'bystander']);
    const arrival = await gates.arrival('bystander');
    for (const text of ['plain text on the wrong descriptor\n', 'abc\n']) {
      const since = log.lines.length;
      t.match(await run('writeGarbage', [text]).end, { kind: 'lost', exit: { signal: 'SIGKILL' } }, JSON.stringify(text));
      t.ok(
        log.lines.slice(since).some(({ event }) => event === 'child.garbage'),
        'and the log says why',
      );
    }
    t.equal(await value('add', [1, 2]), 3);
    arrival.open('unharmed');
    t.match(await bystander.end, { value: 'unharmed' });
  });

  test('after garbage nobody knows what has begun: all that the child held is lost', {}, async (t, { run, runMany, proveShort }) => {
    await proveShort('writeGarbage', ['']);
    const first = run('writeGarbage', ['plain text on the wrong descriptor\n']);
    const behind = runMany(3, 'writeGarbage', ['']);
    const sent = behind.filter(({ job }) => job.child !== null);
    t.ok(sent.length > 0);
    t.match(await first.end, { kind: 'lost' });
    for (const { end } of sent) t.match(await end, { kind: 'lost' });
  });

  test('grandchildren go with their child', {}, async (t, { gates, run, pool }) => {
    const spawning = run('spawnGrandchild', [gates.path]);
    const { name } = await gates.arrival('grandchild*');
    const grandchild = Number(name.split(':')[1]);
    t.ok(isRunning(grandchild));
    process.kill(pool.pids[0]!, 'SIGKILL');
    t.match(await spawning.end, { kind: 'lost' });
    t.same(await allGone([grandchild]), []);
  });

  const moody = fixtureTasks.replace('tasks.ts', 'moody/tasks.ts');
  const inBadMood = (t: Test, pool: PoolBench['pool']): string => {
    const flag = join(t.testdir({ flag: '' }), 'flag');
    process.env.MOODY_FLAG = flag;
    process.kill(pool.pids[0]!, 'SIGKILL');
    return flag;
  };

  test('children that cannot start any more: back-off, then the pool gives up', { taskPaths: [moody] }, async (t, { pool, log, fatal }) => {
    inBadMood(t, pool);
    t.match(await fatal, { code: 'TASK_MODULE_BROKEN', message: /in a bad mood/ });
    const failures = log.lines.filter(({ event }) => event === 'child.start-failed');
    const delays = failures.map(({ message }) => Number(/next try in (\d+) ms/.exec(message)?.[1]));
    t.equal(delays.length, 2, 'the third failure is the last');
    t.ok(
      delays.every((delay) => delay > 0),
      `each try waits, got ${delays.join(' and ')} ms`,
    );
  });

  test('a bad mood that passes costs no task', { taskPaths: [moody], maxStartFailures: 1000 }, async (t, { pool, log, run }) => {
    const flag = inBadMood(t, pool);
    await log.event('child.start-failed');
    const waiting = run('fine');
    rmSync(flag);
    t.match(await waiting.end, { kind: 'succeeded', value: 'fine' });
  });
}
