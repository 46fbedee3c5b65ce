/** The pool of threads: the conformance suite with threads run from source, and what only they have. */
import { resolve } from 'node:path';
import t from 'tap';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { threadChildren } from '../../src/pool/thread-link.ts';
import { poolConformance } from './conformance.ts';
import { eventually } from './eventually.ts';
import { PoolBench, type PoolFactory } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;
// Most of the start of a thread from source is the compiler's.
process.env.NODE_COMPILE_CACHE ??= t.testdir();

const main = resolve(import.meta.dirname, '../../src/main.ts');
const threads: PoolFactory = (params) =>
  new ChildPool({ ...params, kind: threadChildren({ file: main }), startTimeoutMs: 30_000, childLog: () => params.log });

t.jobs = 1;
poolConformance(t, {
  name: 'threads',
  create: threads,
  features: { resize: true, terminate: true, memoryLimits: false },
  processes: false,
});

t.test('a thread that ends is lost alone, whatever ended it, and replaced under its number', async (t) => {
  const { gates, log, pool, run, value } = await PoolBench.started(t, threads, { concurrency: 2 });
  const bystander = run('mostlyShort', [gates.path, 'bystander']);
  const arrival = await gates.arrival('bystander');
  t.match(await run('exit', [3]).end, { kind: 'lost', exit: { pid: process.pid, exitCode: 3, signal: null } });
  t.match(await run('exit', [0]).end, { kind: 'lost', exit: { exitCode: 0 } }, 'also when it calls that a success');
  t.match(await run('crash').end, { kind: 'lost', exit: { exitCode: 1 } });
  t.match(await log.event('child.uncaught'), { message: /this child ends: thrown by a timer/ });
  await log.event('child.lost');
  t.equal(await value('add', [1, 2]), 3);
  await eventually(t, 'there are two again', () => [...pool.written.keys()].sort().join() === '1,2');
  arrival.open('unharmed');
  t.match(await bystander.end, { value: 'unharmed' });
});

t.test('a thread that spins is ended where it stands', async (t) => {
  const { gates, log, pool, run, value } = await PoolBench.started(t, threads, {});
  const spinning = run('spinUntil', [gates.path, '/nonexistent']);
  (await gates.arrival('spinning')).open();
  spinning.job.withdrawn = true;
  pool.cancel(spinning.job, 'enough');
  t.match(await spinning.end, { kind: 'lost', exit: { exitCode: null, signal: 'SIGKILL' } });
  t.match(await log.event('child.lost'), { message: /exited with signal SIGKILL; it is replaced/ });
  t.equal(await value('add', [1, 2]), 3, 'its successor works');
});

t.test('what a thread has said before its end is heard: a task that it had ended is not lost', async (t) => {
  const { run, runMany, proveShort } = await PoolBench.started(t, threads, {});
  await proveShort('exitAfter', [false]);
  const runs = [...runMany(20, 'exitAfter', [false]), run('exitAfter', [true])];
  const ends = await Promise.all(runs.map(({ end }) => end));
  t.same(
    ends.map(({ kind }) => kind),
    [...Array(20).fill('succeeded'), 'lost'],
  );
});

t.test('threads are no processes to be signalled', async (t) => {
  const { pool } = await PoolBench.started(t, threads, { concurrency: 2 });
  t.same(pool.pids, []);
  t.match(await pool.report(), [{ pid: process.pid }, { pid: process.pid }]);
});
