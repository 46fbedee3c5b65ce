/** The prefork pool: the conformance suite with child processes run from source, and what only it has. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { UsefulReserve } from '../../src/pool/useful-reserve.ts';
import type { RecordingLog } from '../driver/recording-log.ts';
import { poolConformance } from './conformance.ts';
import { eventually } from './eventually.ts';
import { PoolBench, type PoolFactory } from './pool-bench.ts';

// Children are started as the worker starts them, without the test runner's own loaders.
delete process.env.NODE_OPTIONS;
// Three quarters of the start of a child from source are the compiler's.
process.env.NODE_COMPILE_CACHE ??= t.testdir();

const main = resolve(import.meta.dirname, '../../src/main.ts');
const childArguments = ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'];

function prefork(execPath: string, args: readonly string[]): PoolFactory {
  return (params) =>
    new ChildPool({ ...params, kind: processChildren({ execPath, args }), startTimeoutMs: 30_000, childLog: () => params.log });
}

const endedWith3 = {
  code: 'CHILD_CANNOT_START',
  message: /no pool child can start: PoolChild-\d ended with exit code 3 while starting/,
};

function failedStarts(log: RecordingLog): string[] {
  return log.lines.filter(({ event }) => event === 'child.start-failed').map(({ message }) => message);
}

t.jobs = 1;
poolConformance(t, {
  name: 'prefork',
  create: prefork(process.execPath, childArguments),
  features: { resize: true, terminate: true, memoryLimits: true },
  processes: true,
});

t.test('a program that ends at once: tried again with back-off, then CHILD_CANNOT_START', async (t) => {
  const create = prefork(process.execPath, ['-e', 'process.exit(3)']);
  const { pool, log } = await PoolBench.create(t, create, { maxStartFailures: 4 });
  await t.rejects(pool.start(), endedWith3);
  t.equal(failedStarts(log).length, 3);
});

t.test('several that end while others are still starting: no more is tried before it is known what those come to', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-pool-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const script = `
    const { existsSync, mkdirSync, watch } = require('node:fs');
    try { mkdirSync('${folder}/slow'); } catch { process.exit(3); }
    watch('${folder}', () => { if (existsSync('${folder}/go')) process.exit(3); });
    mkdirSync('${folder}/watching');
    setTimeout(() => process.exit(4), 60_000);
  `;
  const { pool, log } = await PoolBench.create(t, prefork(process.execPath, ['-e', script]), { concurrency: 2, maxStartFailures: 3 });
  const started = pool.start();
  const refused = t.rejects(started, endedWith3);
  await eventually(t, 'one of them is slow', () => existsSync(join(folder, 'watching')));
  await eventually(t, 'no more is tried', () => failedStarts(log).some((text) => text.includes('when the others have started, or none')));
  t.equal(failedStarts(log).length, 3);
  mkdirSync(join(folder, 'go'));
  await refused;
  t.equal(failedStarts(log).length, 3, 'the end of the slow one was the last');
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

t.test('a process without a file descriptor left: tried again, and not its end', async (t) => {
  const script = `
    import { closeSync, openSync } from 'node:fs';
    import { ChildHandle } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/pool/child-handle.ts'))};
    import { processChildren } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/pool/process-link.ts'))};
    process.on('uncaughtException', (error) => { console.log('uncaught', error.code); process.exit(1); });
    const hoard = [];
    try { for (;;) hoard.push(openSync('/dev/null')); } catch {}
    const settings = { nodeName: 'a@b', workdir: process.cwd(), redirectStdoutsLevel: 'warning', redirectStdouts: true };
    let refused = 'not refused';
    try {
      new ChildHandle({ index: 1, kind: processChildren({ execPath: process.execPath, args: [] }), settings, events: {} });
    } catch (error) { refused = error.message; }
    for (const fd of hoard) closeSync(fd);
    setImmediate(() => { console.log(refused); process.exit(0); });
  `;
  const limited = 'ulimit -n 64; exec "$0" --disable-warning=ExperimentalWarning --input-type=module -e "$1"';
  const { status, stdout } = spawnSync('sh', ['-c', limited, process.execPath, script], { encoding: 'utf8' });
  t.match(stdout, /file descriptor/);
  t.equal(status, 0);
});

t.test('what is worth holding: by what its jobs took, for all slots, and within what children take ahead', async (t) => {
  const asked: (readonly number[])[] = [];
  const took: number[] = [];
  let found = 0;
  t.intercept(UsefulReserve.prototype, 'count', {
    value: (slots: number, roundTripMs: number) => {
      asked.push([slots, roundTripMs]);
      return found;
    },
  });
  t.intercept(UsefulReserve.prototype, 'done', { value: (runMs: number) => void took.push(runMs) });
  const bench = await PoolBench.started(t, prefork(process.execPath, childArguments), { concurrency: 2, childConcurrency: 3 });
  await eventually(t, 'both children are ready', () => bench.pool.written.size === 2);
  const run = bench.run('add', [2, 3]);
  const end = await run.end;
  t.strictSame(took, [end.kind === 'succeeded' ? end.runtimeSeconds * 1000 : Number.NaN]);
  t.equal(bench.pool.usefulReserve(7), 6, 'a message for each slot at least');
  found = 100;
  t.equal(bench.pool.usefulReserve(0), 100);
  found = 4096;
  t.equal(bench.pool.usefulReserve(0), 512, '256 for each child at most');
  t.strictSame(asked, [
    [6, 7],
    [6, 0],
    [6, 0],
  ]);
});
