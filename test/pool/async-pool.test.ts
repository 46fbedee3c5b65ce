/** The async pool: the conformance suite with child processes that run many tasks at a time. */
import { resolve } from 'node:path';
import t from 'tap';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { poolConformance } from './conformance.ts';
import { PoolBench, type PoolFactory } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;
process.env.NODE_COMPILE_CACHE ??= t.testdir();

const args = ['--disable-warning=ExperimentalWarning', resolve(import.meta.dirname, '../../src/main.ts'), 'pool-child'];
const create: PoolFactory = (params) => {
  const kind = processChildren({ execPath: process.execPath, args }, 'async');
  return new ChildPool({ ...params, kind, startTimeoutMs: 30_000, childLog: () => params.log });
};

t.jobs = 1;
poolConformance(t, {
  name: 'async',
  create,
  features: { resize: true, terminate: true, memoryLimits: true },
  processes: true,
  sameChildrenAs: 'prefork',
});

t.test('a thousand at a time in one child', async (t) => {
  const { gates, pool, runMany } = await PoolBench.started(t, create, { childConcurrency: 1000 });
  const runs = runMany(1100, 'mostlyShort', [gates.path, 'crowd']);
  const arrivals = await Promise.all(runs.slice(0, 1000).map(() => gates.arrival('crowd')));
  t.equal(new Set(arrivals.map(({ child }) => child)).size, 1);
  // They come another way than the word that they have started.
  await Promise.all(runs.slice(0, 1000).map(({ started }) => started));
  t.equal(runs.filter(({ hasStarted }) => hasStarted).length, 1000, 'and no more');
  t.equal(pool.jobCount, 1100);
  const rest = runs.slice(1000).map(() => gates.arrival('crowd'));
  for (const arrival of arrivals) arrival.open();
  for (const arrival of await Promise.all(rest)) arrival.open();
  for (const { end } of runs) t.match(await end, { kind: 'succeeded' });
});
