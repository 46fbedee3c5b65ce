/** The prefork pool: the conformance suite with child processes run from source, and what only it has. */
import { resolve } from 'node:path';
import t from 'tap';
import { PreforkPool } from '../../src/pool/prefork-pool.ts';
import { poolConformance } from './conformance.ts';
import { PoolBench, type PoolFactory } from './pool-bench.ts';

// Children are started as the worker starts them, without the test runner's own loaders.
delete process.env.NODE_OPTIONS;

const main = resolve(import.meta.dirname, '../../src/main.ts');
const childArguments = ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'];

function prefork(execPath: string, args: readonly string[]): PoolFactory {
  return (params) => new PreforkPool({ ...params, command: { execPath, args }, startTimeoutMs: 30_000, childLog: () => params.log });
}

t.jobs = 1;
poolConformance(t, { name: 'prefork', create: prefork(process.execPath, childArguments), processes: true });

t.test('a program that ends at once: tried again with back-off, then CHILD_CANNOT_START', async (t) => {
  const create = prefork(process.execPath, ['-e', 'process.exit(3)']);
  const { pool, log } = await PoolBench.create(t, create, { concurrency: 2, maxStartFailures: 4 });
  await t.rejects(pool.start(), {
    code: 'CHILD_CANNOT_START',
    message: /no pool child can start: PoolChild-\d ended with exit code 3 while starting/,
  });
  t.equal(log.lines.filter(({ event }) => event === 'child.start-failed').length, 3);
});

t.test('a program that is not there', async (t) => {
  const create = prefork('/nonexistent/umbel', []);
  const { pool } = await PoolBench.create(t, create, { maxStartFailures: 2 });
  await t.rejects(pool.start(), { code: 'CHILD_CANNOT_START', message: /could not be spawned.*ENOENT/ });
});

t.test('a system that refuses to start a process', async (t) => {
  // One argument longer than the kernel takes.
  const create = prefork(process.execPath, ['-e', '0', 'x'.repeat(4 * 1024 * 1024)]);
  const { pool, log } = await PoolBench.create(t, create, { maxStartFailures: 2 });
  await t.rejects(pool.start(), { code: 'CHILD_CANNOT_START', message: /could not be spawned.*E2BIG/ });
  t.equal(log.lines.filter(({ event }) => event === 'child.start-failed').length, 1, 'it was tried again');
});
