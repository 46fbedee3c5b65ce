/** Children that are replaced while the pool works: real processes run from source. */
import { resolve } from 'node:path';
import t from 'tap';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { eventually } from './eventually.ts';
import { type BenchOptions, fixtureTasks, PoolBench, type PoolFactory, type Run } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;

const main = resolve(import.meta.dirname, '../../src/main.ts');
const command = {
  execPath: process.execPath,
  args: ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'],
};
const create: PoolFactory = (params) =>
  new ChildPool({ ...params, kind: processChildren(command), startTimeoutMs: 30_000, childLog: () => params.log });
const started = (t: Tap, options: BenchOptions): Promise<PoolBench> => PoolBench.started(t, create, options);
type Tap = Parameters<typeof PoolBench.started>[0];

const megabyte = 1024 * 1024;

function pidsOf(ends: readonly Awaited<Run['end']>[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const end of ends) if (end.kind === 'succeeded') counts.set(end.value as number, (counts.get(end.value as number) ?? 0) + 1);
  return counts;
}

t.jobs = 1;

t.test('no child runs more tasks than it may, none is lost, and the numbers stay', async (t) => {
  const { pool, runMany, log } = await started(t, { concurrency: 2, recycling: { maxTasks: 20 } });
  const runs = runMany(150, 'pid');
  const indexes = new Set<number>();
  for (const run of runs.slice(0, 50).filter((_, at) => at % 10 === 0)) {
    await run.started;
    for (const { index } of await pool.report()) indexes.add(index);
  }
  const counts = pidsOf(await Promise.all(runs.map(({ end }) => end)));
  t.equal(
    [...counts.values()].reduce((sum, count) => sum + count, 0),
    150,
  );
  t.ok(counts.size >= 8, `so many children for 150 tasks of 20 each: ${counts.size}`);
  t.ok(
    [...counts.values()].every((count) => count <= 20),
    `tasks per child: ${[...counts.values()].join(' ')}`,
  );
  t.equal([...counts.values()].filter((count) => count === 20).length >= 6, true, 'a child that is replaced has run all it may');
  t.same([...indexes].sort(), [1, 2]);
  t.ok(log.lines.every(({ event }) => event !== 'child.lost'));
});

t.test('the replacement stands by before the last task ends, and starts nothing before', async (t) => {
  const { pool, run, gates } = await started(t, { recycling: { maxTasks: 1 } });
  const first = run('mostlyShort', [gates.path, 'first']);
  const second = run('mostlyShort', [gates.path, 'second']);
  const arrival = await gates.arrival('first');
  await eventually(t, 'two processes of one number, both ready', async () => {
    const reports = await pool.report();
    return reports.length === 2 && reports.every(({ index, doing }) => index === 1 && doing !== null);
  });
  t.equal(second.hasStarted, false, 'one task at a time is one task at a time');
  arrival.open();
  await first.end;
  const next = await gates.arrival('second');
  t.not(next.pid, arrival.pid);
  next.open();
  await second.end;
});

t.test('with several places the replacement gets those that are free', async (t) => {
  const { run, gates } = await started(t, { childConcurrency: 2, recycling: { maxTasks: 2 } });
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => run('mostlyShort', [gates.path, name])) as [Run, Run, Run, Run];
  const held = await gates.arrival('a');
  (await gates.arrival('b')).open();
  await b.end;
  const third = await gates.arrival('c');
  t.not(third.pid, held.pid);
  t.equal(d.hasStarted, false, 'the first of the old child still has its place');
  held.open();
  await a.end;
  (await gates.arrival('d')).open();
  third.open();
  await Promise.all([c.end, d.end]);
});

t.test('what has ended children before gets one for itself, and the next stands by', async (t) => {
  const { pool, run, make, gates, log } = await started(t, {});
  await run('pid').end;
  const suspect = make('mostlyShort', [gates.path, 'suspect']);
  suspect.job.suspect = true;
  pool.submit(suspect.job);
  const behind = run('pid');
  const { pid } = await gates.arrival('suspect');
  await log.event('child.recycled');
  const spare = pool.pids.find((other) => other !== pid);
  t.equal(behind.hasStarted, false, 'one task at a time is one task at a time');
  process.kill(pid, 'SIGKILL');
  t.match(await suspect.end, { kind: 'lost', exit: { signal: 'SIGKILL' } });
  t.match(await behind.end, { kind: 'succeeded', value: spare }, 'in the one that stood by, not lost with the other');
  t.equal(pool.pids.length, 1);
});

t.test('with several places, nothing more is started beside what has ended children before', async (t) => {
  const { pool, run, make, gates } = await started(t, { childConcurrency: 2 });
  const suspect = make('mostlyShort', [gates.path, 'suspect']);
  suspect.job.suspect = true;
  pool.submit(suspect.job);
  const other = run('mostlyShort', [gates.path, 'other']);
  const dangerous = await gates.arrival('suspect');
  const safe = await gates.arrival('other');
  t.not(safe.pid, dangerous.pid, 'in the one that takes its place');
  for (const { open } of [dangerous, safe]) open();
  await Promise.all([suspect.end, other.end]);
});

t.test('a child that dies while another stands by: that one works at once', async (t) => {
  const { pool, run, gates, log } = await started(t, { recycling: { maxTasks: 1 } });
  const first = run('mostlyShort', [gates.path, 'first']);
  const { pid } = await gates.arrival('first');
  await eventually(t, 'a spare is ready', async () => (await pool.report()).filter(({ doing }) => doing !== null).length === 2);
  const spare = pool.pids.find((other) => other !== pid);
  process.kill(pid, 'SIGKILL');
  t.match(await first.end, { kind: 'lost', exit: { signal: 'SIGKILL', because: null } });
  t.match(await run('pid').end, { kind: 'succeeded', value: spare });
  t.match(await log.event('child.lost'), { message: /exited with signal SIGKILL; it is replaced/ });
});

t.test('a spare that dies is started again', async (t) => {
  const { pool, run, gates } = await started(t, { recycling: { maxTasks: 1 } });
  const first = run('mostlyShort', [gates.path, 'first']);
  const arrival = await gates.arrival('first');
  const spareOf = async (): Promise<number | undefined> =>
    (await pool.report()).find(({ pid, doing }) => pid !== arrival.pid && doing !== null)?.pid;
  const spare = await eventually(t, 'a spare is ready', spareOf);
  process.kill(spare, 'SIGKILL');
  await eventually(t, 'another is ready', async () => {
    const next = await spareOf();
    return next !== undefined && next !== spare;
  });
  arrival.open();
  await first.end;
  t.not(((await run('pid').end) as { value?: unknown }).value, spare);
});

t.test('too big during a task: it is finished, and the next runs elsewhere', async (t) => {
  const { run, gates, log, pool } = await started(t, { recycling: { softBytes: 250 * megabyte } });
  const first = run('hoard', [300, gates.path, 'first']);
  const arrival = await gates.arrival('first');
  t.match(await log.event('child.recycled'), {
    message: /PoolChild-1 .* has grown too big \(worker\.max_memory_per_child\); pid \d+ takes its place/,
  });
  const second = run('pid');
  t.equal(first.settled, null, 'it still runs');
  t.equal(second.hasStarted, false);
  arrival.open('done');
  t.match(await first.end, { kind: 'succeeded', value: 'done' });
  const end = await second.end;
  t.equal(end.kind, 'succeeded');
  t.not((end as { value?: unknown }).value, arrival.pid);
  await eventually(t, 'the big one is gone', () => pool.pids.length === 1);
});

t.test('above the hard limit: that child alone is killed, in the middle of a loop', async (t) => {
  const { run, gates, log, value } = await started(t, { concurrency: 2, recycling: { hardBytes: 400 * megabyte } });
  const bystander = run('mostlyShort', [gates.path, 'bystander']);
  const arrival = await gates.arrival('bystander');
  const because = /^It held \d+ KiB of memory, more than worker\.max_memory_hard allows \(409600 KiB\)\.$/;
  const end = await run('devour', [1500]).end;
  t.match(end, { kind: 'lost', exit: { signal: 'SIGKILL', because } });
  const peak = end.kind === 'lost' ? (end.exit.peakRssBytes ?? 0) : 0;
  t.ok(peak > 400 * megabyte, `it was seen to hold ${peak}`);
  t.match(await log.event('child.memory-exceeded'), { level: 'error' });
  arrival.open('unharmed');
  t.match(await bystander.end, { value: 'unharmed' });
  t.type(await value('pid'), 'number');
});

t.test('a limit below what an idle child holds is said', async (t) => {
  const { log, value } = await started(t, { recycling: { softBytes: megabyte } });
  t.match(await log.event('child.memory-limit-low'), { message: /^worker\.max_memory_per_child \(1024 KiB\) is less than a child holds/ });
  t.type(await value('pid'), 'number');
});

t.test('when no replacement can start, the pool gives up as it does for any child', async (t) => {
  const moody = fixtureTasks.replace('tasks.ts', 'moody/tasks.ts');
  const { run, fatal, value } = await started(t, { taskPaths: [moody], recycling: { maxTasks: 1 } });
  process.env.MOODY_FLAG = `${t.testdir({ flag: '' })}/flag`;
  t.teardown(() => {
    delete process.env.MOODY_FLAG;
  });
  t.equal(await value('fine'), 'fine');
  void run('fine');
  t.match(await fatal, { code: 'TASK_MODULE_BROKEN' });
});

t.test('shrinking takes the spare along', async (t) => {
  const { pool, run, gates } = await started(t, { concurrency: 2, recycling: { maxTasks: 1 } });
  const runs = ['a', 'b'].map((name) => run('mostlyShort', [gates.path, name]));
  const arrivals = await Promise.all(['a', 'b'].map((name) => gates.arrival(name)));
  await eventually(t, 'both have a spare', () => pool.pids.length === 4);
  pool.shrink(1);
  await eventually(t, 'one of them is gone', () => pool.pids.length === 3);
  for (const arrival of arrivals) arrival.open();
  await Promise.all(runs.map(({ end }) => end));
  await eventually(t, 'one child is left', async () => (await pool.report()).every(({ index }: Pick<ChildHandle, 'index'>) => index === 1));
});

t.test('all are replaced at a word, and no task is harmed', async (t) => {
  const { pool, run, gates, log } = await started(t, { concurrency: 2 });
  const runs = ['a', 'b'].map((name) => run('mostlyShort', [gates.path, name]));
  const arrivals = await Promise.all(['a', 'b'].map((name) => gates.arrival(name)));
  const before = [...pool.pids];
  pool.restart();
  await eventually(t, 'both have a successor', () => log.lines.filter(({ event }) => event === 'child.recycled').length === 2);
  t.ok(
    runs.every(({ settled }) => settled === null),
    'they still run',
  );
  for (const arrival of arrivals) arrival.open('done');
  for (const { end } of runs) t.match(await end, { kind: 'succeeded', value: 'done' });
  await eventually(t, 'the old ones are gone', () => pool.pids.length === 2 && !pool.pids.some((pid) => before.includes(pid)));
  t.match(log.lines.find(({ event }) => event === 'child.recycled')?.message, /is to be replaced, as all are/);
});

t.test('the number of children follows the load, within its range', async (t) => {
  const autoscale = { max: 3, min: 1, keepaliveMs: 1, load: null };
  const { pool, run, gates, log } = await started(t, { autoscale });
  t.equal(pool.sizeLimit, 3);
  t.throws(() => pool.grow(1), { code: 'AUTOSCALED', message: /got 3,1: change the range instead/ });
  t.throws(() => pool.shrink(1), { code: 'AUTOSCALED' });
  const names = ['a', 'b', 'c', 'd'];
  const runs = names.map((name) => run('mostlyShort', [gates.path, name]));
  const arrivals = await Promise.all(names.slice(0, 3).map((name) => gates.arrival(name)));
  t.equal(new Set(arrivals.map(({ pid }) => pid)).size, 3, 'three work');
  for (const arrival of arrivals) arrival.open();
  (await gates.arrival('d')).open();
  for (const { end } of runs) t.match(await end, { kind: 'succeeded' });
  await eventually(t, 'one is left', () => pool.pids.length === 1);
  t.match(await log.event('pool.scaled'), { message: /Scaling up 1 processes/ });
});
