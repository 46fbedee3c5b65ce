/** The solo pool: the conformance suite with the one child that lives in this very process, and what only it has. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startSoloChild } from '../../src/child/solo-home.ts';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { soloChild } from '../../src/pool/solo-link.ts';
import { currentTask } from '../../src/task/task-context.ts';
import { poolConformance } from './conformance.ts';
import { PoolBench, type PoolFactory } from './pool-bench.ts';

const solo: PoolFactory = (params) =>
  new ChildPool({ ...params, concurrency: 1, kind: soloChild(startSoloChild), startTimeoutMs: 30_000, childLog: () => params.log });

t.jobs = 1;
poolConformance(t, {
  name: 'solo',
  create: solo,
  features: { resize: false, terminate: false, memoryLimits: false },
  processes: false,
});

t.test('an error that nothing caught loses what runs and ends the worker', async (t) => {
  const { fatal, gates, log, pool, run } = await PoolBench.started(t, solo, { childConcurrency: 2 });
  const other = run('mostlyShort', [gates.path, 'other']);
  await gates.arrival('other');
  t.match(await run('crash').end, { kind: 'lost', exit: { pid: process.pid, exitCode: 1 } });
  t.match(await other.end, { kind: 'lost' }, 'nobody knows what state it is in');
  t.match(await fatal, { code: 'SOLO_ENDED', exitStatus: 70 });
  t.match(await log.event('child.uncaught'), { message: /this worker ends: thrown by a timer/ });
  await pool.stop();
});

t.test('the parent has its turn between the news of a start and the start', async (t) => {
  const path = join(t.testdir(), 'flag');
  const { run } = await PoolBench.started(t, solo, {});
  const seeing = run('sees', [path]);
  // As brokers do: what one turn has collected goes out at its end.
  void seeing.started.then(() => setImmediate(() => writeFileSync(path, '')));
  t.match(await seeing.end, { value: true });
});

t.test('what the parent does for a task is not done in the context of that task', async (t) => {
  const seen: unknown[] = [];
  const publish = async (): Promise<void> => {
    seen.push(currentTask());
  };
  const { run } = await PoolBench.started(t, solo, { publish });
  t.match(await run('callOther').end, { kind: 'succeeded' });
  t.same(seen, [undefined]);
});

t.test('it leaves alone what others write, and leaves nothing behind', async (t) => {
  const listeners = (): number[] => ['uncaughtException', 'exit'].map((event) => process.listenerCount(event));
  const before = { listeners: listeners(), write: process.stdout.write };
  const written: unknown[] = [];
  process.stdout.write = (chunk: unknown) => written.push(chunk) > 0;
  t.teardown(() => {
    process.stdout.write = before.write;
  });
  const ours = process.stdout.write;
  const { log, pool, run } = await PoolBench.started(t, solo, {});
  process.stdout.write('from the worker itself\n');
  await run('print', ['from a task']).end;
  await pool.stop();
  t.same(written, ['from the worker itself\n']);
  t.same(
    log.lines.filter(({ event }) => event === 'task.output').map(({ message }) => message),
    ['from a task'],
  );
  t.equal(process.stdout.write, ours);
  t.same(listeners(), before.listeners);
});
