/** Hard time limits on real children: whatever a task is stuck in, and nothing but that task. */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import t from 'tap';
import { idleStack } from '../../src/os/inspector-stack.ts';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import { ChildPool } from '../../src/pool/child-pool.ts';
import { LimitEnforcer } from '../../src/pool/limit-enforcer.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { TimeLimits } from '../../src/pool/time-limits.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { eventually } from './eventually.ts';
import { jobOfType } from './job-of-type.ts';
import { type JobEnd, PoolBench, type PoolFactory, type Run } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;
process.env.NODE_COMPILE_CACHE ??= t.testdir();

const main = resolve(import.meta.dirname, '../../src/main.ts');
const args = ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'];
const create: PoolFactory = (params) =>
  new ChildPool({
    ...params,
    kind: processChildren({ execPath: process.execPath, args }),
    startTimeoutMs: 30_000,
    childLog: () => params.log,
  });
const stuck = { taskPaths: [join(import.meta.dirname, 'fixture/stuck/tasks.ts')] };

/** Times at which a machine that is too busy to take a stack in time, which is then the answer, is asked again. */
const moreLooks = 3;

/** Why the pool ended the child of a job. */
const killed = (end: JobEnd) => (end.kind === 'lost' ? (end.exit.killed ?? null) : null);

t.test('a task stuck in anything is killed, and where it stood is known', async (t) => {
  const bench = await PoolBench.started(t, create, { ...stuck, concurrency: 6, timeLimit: { hardSeconds: 4, softSeconds: null } });
  const path = join(t.testdir(), 'fifo');
  execFileSync('mkfifo', [path]);
  const shapes: readonly (readonly [string, RegExp | null])[] = [
    ['loop', /loop .*stuck.tasks\.ts:8/],
    ['regex', /regex .*stuck.tasks\.ts:12/],
    ['atomics', /atomics .*stuck.tasks\.ts:25/],
    ['exec', /native code/],
    ['fifo', /native code/],
    ['waiting', null],
  ];
  const start = (shape: string): Run => bench.run(shape, shape === 'fifo' ? [path] : []);
  const stackOf = (end: JobEnd) => {
    const outcome = killed(end)?.outcome;
    return outcome?.kind === 'time-limit' ? outcome.stack : undefined;
  };
  /** Also null: one that was kept from running for a moment looks idle. */
  const wasMissed = (stack: readonly string[] | null | undefined, where: RegExp | null): boolean =>
    stack === null ? where !== null : /^no (?:answer|stack): /.test(stack?.[0] ?? '') && where?.test(stack?.join('\n') ?? '') !== true;
  const runs = shapes.map(([shape, where]) => ({ shape, where, first: start(shape) }));
  let again = 0;
  for (const { shape, where, first } of runs) {
    let run = first;
    let end = await run.end;
    // Beside fewer that spin.
    for (let looks = moreLooks; looks > 0 && wasMissed(stackOf(end), where); looks -= 1) {
      again += 1;
      run = start(shape);
      end = await run.end;
    }
    t.match(end, { kind: 'lost', exit: { signal: 'SIGKILL' } }, shape);
    const kill = killed(end);
    t.match(kill, { outcome: { kind: 'time-limit', limitSeconds: 4 } });
    t.equal(kill?.job, run.job);
    const line = bench.log.lines.find(({ event, fields }) => event === 'task.hard-limit' && fields?.taskId === run.job.taskId);
    t.match(line, { level: 'error', message: `Hard time limit (4s) exceeded for tasks.${shape}[${run.job.taskId}]` });
    const stack = stackOf(end);
    if (where === null) t.equal(stack, null, 'one that waits has no stack');
    else for (const text of [stack?.join('\n'), line?.message]) t.match(text, where, shape);
  }
  t.equal(await bench.value('add', [1, 2]), 3, 'the children were replaced');
  t.notOk(
    bench.log.lines.some(({ event }) => event === 'child.lost'),
    'none of them was lost',
  );
  t.equal(bench.log.lines.filter(({ event }) => event === 'child.killed').length, 6 + again);
});

t.test('others in the same child: who ran hears why, who did not start is run elsewhere', async (t) => {
  const bench = await PoolBench.started(t, create, { ...stuck, childConcurrency: 3 });
  const beside = bench.run('mostlyShort', [bench.gates.path, 'beside']);
  await bench.gates.arrival('beside');
  const waiting = bench.run('mostlyShort', [bench.gates.path, 'third']);
  await bench.gates.arrival('third');
  // The last to begin: its time is over soon, and the others must run by then.
  const culprit = bench.run('waiting', [], { hardTimeLimitSeconds: 0.5 });
  const unstarted = bench.run('add', [1, 2]);
  t.equal(killed(await culprit.end)?.job, culprit.job);
  for (const { end } of [beside, waiting]) t.equal(killed(await end)?.job, culprit.job, 'ended because of the other one');
  t.match(await unstarted.end, { kind: 'succeeded', value: 3 });
});

t.test('the limits of a message, and a change at run time for what starts later', async (t) => {
  const bench = await PoolBench.started(t, create, { ...stuck, concurrency: 2, timeLimit: { hardSeconds: 1000, softSeconds: null } });
  const before = bench.run('mostlyShort', [bench.gates.path, 'before']);
  const arrival = await bench.gates.arrival('before');
  bench.pool.changeTimeLimit('tasks.mostlyShort', { hardSeconds: 0.3, softSeconds: null });
  t.same(bench.pool.timeLimitOf('tasks.mostlyShort'), { hardSeconds: 0.3, softSeconds: null });
  t.match(killed(await bench.run('mostlyShort', [bench.gates.path, 'after']).end), { outcome: { limitSeconds: 0.3 } });
  t.match(killed(await bench.run('waiting', [], { hardTimeLimitSeconds: 0.2 }).end), { outcome: { limitSeconds: 0.2 } });
  arrival.open('as it began');
  t.match(await before.end, { kind: 'succeeded', value: 'as it began' });
});

t.test('a kill hits the job it is meant for, or nothing', async (t) => {
  const bench = await PoolBench.started(t, create, stuck);
  const { pool } = bench;
  const outcome = { kind: 'time-limit', limitSeconds: 1, stack: null } as const;
  const done = bench.run('add', [1, 2]);
  t.equal(await pool.kill(done.job, outcome), false, 'not started');
  await done.end;
  t.equal(await pool.kill(done.job, outcome), false, 'ended');

  // Short ones, one after the other without a pause: when one is heard to have started, its child is at another long since.
  await bench.proveShort('add', [1, 2]);
  let doomed = 0;
  for (let round = 0; round < 5; round += 1) {
    const runs = bench.runMany(100, 'add', [1, 2]);
    const kills = [runs[10], runs[50]].map(async (run) => run?.started.then(() => pool.kill(run.job, outcome)));
    doomed += (await Promise.all(kills)).filter(Boolean).length;
    for (const { job, end } of runs) {
      const how = await end;
      if (how.kind !== 'succeeded' && killed(how)?.job !== job) t.fail(`${job.taskId} was hit in the place of another`);
    }
  }
  t.equal(bench.log.lines.filter(({ event }) => event === 'child.killed').length, doomed);
  t.equal(await bench.value('add', [1, 2]), 3);
});

t.test('a soft limit alone ends a task that cannot be told of it, and its child goes with what still waits of it', async (t) => {
  const bench = await PoolBench.started(t, create, { taskPaths: [join(import.meta.dirname, 'fixture/soft/tasks.ts')] });
  const [pid] = bench.pool.pids;
  const end = await bench.run('waitsForEver', [], { softTimeLimitSeconds: 0.1 }).end;
  t.match(end, { kind: 'ended', value: { exc_type: 'SoftTimeLimitExceeded' }, meta: { kind: 'failed', retire: true } });
  t.match(await bench.run('awaits').end, { kind: 'succeeded' });
  await eventually(t, 'another child', () => !bench.pool.pids.includes(pid ?? 0));
  t.notOk(
    bench.log.lines.some(({ event }) => event === 'child.lost'),
    'it ended by itself',
  );
  const hard = await bench.run('waitsForEver', [], { softTimeLimitSeconds: 0.1, hardTimeLimitSeconds: 1.5 }).end;
  t.match(hard, { kind: 'lost', exit: { killed: { outcome: { limitSeconds: 1.5 } } } }, 'with a hard one it is that which ends it');
});

t.test('a blocked task is looked at when its soft limit is over', async (t) => {
  const bench = await PoolBench.started(t, create, stuck);
  for (let looks = moreLooks; ; looks -= 1) {
    const run = bench.run('loop', [], { softTimeLimitSeconds: 0.2, hardTimeLimitSeconds: 6 });
    t.match(await run.end, { kind: 'lost' });
    const said = bench.log.lines.find(({ event, fields }) => event === 'task.blocked' && fields?.taskId === run.job.taskId);
    // Nothing is said of one that was killed before it was known where it stands.
    if (looks > 0 && (said === undefined || /limit:\nno (?:answer|stack): /.test(said.message))) continue;
    t.match(said, {
      level: 'warning',
      message: /tasks\.loop\[.*cannot hear of its soft time limit:\n.*loop .*stuck.tasks\.ts:8/s,
    });
    return;
  }
});

t.test('a soft limit is told to the modules of the author, not to the packages they use', async (t) => {
  const folder = t.testdir({
    'tasks.mjs': `
      import { work } from 'pack';
      export const uses = async () => {
        try { for (;;) await work(); } catch (error) { return error.name + ' ' + /tasks.mjs/.test(error.stack.split('\\n')[1]); }
      };`,
    node_modules: {
      pack: {
        'package.json': '{ "type": "module", "exports": "./index.js" }',
        'index.js': `
          const tick = () => new Promise((resolve) => setTimeout(resolve, 2));
          export const work = async () => { try { for (let n = 0; n < 20; n += 1) await tick(); } catch (error) { throw new Error('spoilt'); } };`,
      },
    },
  });
  const bench = await PoolBench.started(t, create, { taskPaths: [join(folder, 'tasks.mjs')] });
  t.match(await bench.run('uses', [], { softTimeLimitSeconds: 0.15, hardTimeLimitSeconds: 60 }).end, {
    value: 'SoftTimeLimitExceeded true',
  });
});

t.test('a child that is late with its answer and then waits for something is not blocked', async (t) => {
  for (const [stack, said] of [
    [[idleStack], ['task.soft-limit']],
    [['    at loop (tasks.ts:8:1)'], ['task.soft-limit', 'task.blocked']],
  ] as const) {
    const [clock, log] = [new FakeClock(), new RecordingLog()];
    const limits = new TimeLimits({ softSeconds: 1, hardSeconds: null });
    const enforcer = new LimitEnforcer({ limits, clock, log, pool: { name: 'prefork', features: { terminate: true } as never } });
    const job = jobOfType('tasks.loop');
    job.child = {
      index: 1,
      pid: 4711,
      killed: null,
      softLimit() {},
      dump: async () => null,
      inspector: { stack: async () => stack },
    } as unknown as ChildHandle;
    enforcer.started(job);
    clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
    t.strictSame(
      log.lines.map(({ event }) => event),
      said,
    );
  }
});
