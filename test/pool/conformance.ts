/**
 * What every pool must do, run over each of them with real children and the tasks of test/pool/fixture.
 *
 * Owns the meaning of the contract in src/pool/pool.ts and src/pool/job.ts. Tasks wait at gates the tests hold, so nothing here
 * depends on how fast a machine is.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { UmbelError } from '../../src/errors.ts';
import type { ChildReport, PoolFeatures, PoolName } from '../../src/pool/pool.ts';
import { mustSupport } from '../../src/pool/pool-features.ts';
import { readContent } from '../../src/protocol/task-message.ts';
import { allGone } from '../live/live-worker.ts';
import { deathSuite } from './death-conformance.ts';
import { eventually } from './eventually.ts';
import { cancelSuite, holdingSuite, killedHoldingSuite } from './holding-conformance.ts';
import { hardLimitSuite, softLimitSuite } from './limit-conformance.ts';
import { type BenchOptions, longAboveMs, PoolBench, type PoolFactory, type Run } from './pool-bench.ts';
import { signalSuite, softTerminateSuite, terminateSuite } from './terminate-conformance.ts';

export interface PoolConformanceParams {
  readonly name: string;
  readonly create: PoolFactory;
  readonly features: PoolFeatures;
  /** Each child is a process of its own, which may be killed alone. */
  readonly processes: boolean;
  /** The pool whose tests have said about such children all that is about children and not about tasks. */
  readonly sameChildrenAs?: PoolName;
}

type Suite = (test: (title: string, options: BenchOptions, body: (t: Test, bench: PoolBench) => Promise<void>) => void) => void;

export function poolConformance(t: Test, params: PoolConformanceParams): void {
  const test: Parameters<Suite>[0] = (title, options, body) => {
    void t.test(`${params.name}: ${title}`, async (t) => {
      const bench = await PoolBench.started(t, params.create, options);
      await body(t, bench);
      const pids = [...bench.pool.pids];
      await bench.pool.stop();
      if (params.processes) t.same(await allGone(pids), [], 'no process is left');
    });
  };
  endSuite(test);
  oneChildSuite(test);
  if (params.sameChildrenAs !== undefined) {
    serviceSuite(test);
    featureSuite(t, params);
    return;
  }
  if (params.features.resize) severalChildrenSuite(test);
  holdingSuite(test);
  if (params.processes) killedHoldingSuite(test);
  if (params.features.terminate) cancelSuite(test);
  shutdownSuite(test);
  if (params.features.resize) sizeSuite(test);
  serviceSuite(test);
  softLimitSuite(test);
  if (params.features.terminate) stuckSuite(test);
  if (params.features.terminate) hardLimitSuite(test);
  startSuite(t, params);
  featureSuite(t, params);
  if (params.processes) deathSuite(test);
  softTerminateSuite(test);
  if (params.features.terminate) terminateSuite(test);
  if (params.processes) signalSuite(test);
}

const endSuite: Suite = (test) => {
  test('values, sync and async', {}, async (t, { run, pool }) => {
    t.match(await run('add', [2, 3]).end, { kind: 'succeeded', value: 5, meta: null });
    t.match(await run('addLater', [2, 3]).end, { kind: 'succeeded', value: 5 });
    t.match(await run('nothing').end, { kind: 'succeeded', value: null }, 'no value is null');
    t.match(await run('add', [], { kwargs: { x: 1, y: 2 } }).end, { kind: 'succeeded', value: 3 }, 'arguments by name');
    t.equal(pool.jobCount, 0);
  });

  test('failures carry the error, its text and the stack of the task', {}, async (t, { run }) => {
    const failed = {
      kind: 'ended',
      // What Python knows a RangeError as.
      value: { exc_type: 'ValueError', exc_message: ['too far'] },
      meta: { kind: 'failed', text: "RangeError('too far')", traceback: /fixture\/tasks\.ts/ },
    };
    t.match(await run('fail', ['too far']).end, failed);
    t.match(await run('failLater', ['too far']).end, failed);
    t.match(await run('failExpected', ['x']).end, { meta: { kind: 'failed', expected: true } });
    t.match(await run('throwText').end, { kind: 'ended', meta: { kind: 'failed', text: "'a plain string'" } });
    t.match(await run('unserializable').end, { kind: 'ended', value: { exc_type: 'EncodeError' }, meta: { kind: 'failed' } });
    t.match(await run('add', [1]).end, { kind: 'ended', value: { exc_type: 'TypeError' }, meta: { kind: 'failed' } }, 'too few arguments');
    t.match(await run('add', [1, 2]).end, { kind: 'succeeded', value: 3 }, 'and the child goes on');
  });

  test('ignored, rejected, retried', {}, async (t, { run }) => {
    t.match(await run('ignore').end, { kind: 'ended', meta: { kind: 'ignored' } });
    t.match(await run('reject', [true]).end, { meta: { kind: 'rejected', requeue: true, text: 'reject requeue=True: not for me' } });
    t.match(await run('reject', [false]).end, { meta: { kind: 'rejected', requeue: false } });

    const retried = run('retry', [60]);
    t.match(await retried.end, { value: { exc_message: ['try again'] }, meta: { kind: 'retried', text: /^Retry in 60s/ } });
    t.equal(retried.followUps.length, 1, 'the next try is a message of its own');
    const [{ meta, body }] = retried.followUps as [Run['followUps'][number]];
    t.match(meta, { taskName: 'tasks.retry', taskId: retried.job.taskId, headers: { id: retried.job.taskId, retries: 1 } });
    t.match(meta.route, { queue: 'celery' }, 'it goes where it came from');
    const inSeconds = ((meta.dueAtMs ?? 0) - Date.now()) / 1000;
    t.ok(inSeconds > 30 && inSeconds <= 60, `due in a minute, got ${inSeconds}s`);
    t.same(readContent({ headers: meta.headers, properties: meta.properties, body }, 2).args, [60]);

    const exhausted = run('retry', [60], { retries: 1 });
    t.match(await exhausted.end, { value: { exc_message: ['try again'] }, meta: { kind: 'failed' } }, 'no try left');
    t.equal(exhausted.followUps.length, 0);
  });

  test('what cannot be run ends without having started', {}, async (t, { run, make, makeRaw, pool }) => {
    const expired = run('add', [1, 2], { expiresMs: Date.now() - 1000 });
    t.match(await expired.end, { kind: 'ended', meta: { kind: 'expired' } });
    const message = {
      properties: { contentType: 'application/json', contentEncoding: 'utf-8' },
      headers: { task: 'tasks.add', id: 'x' },
    };
    const bodies: readonly (readonly [string, string])[] = [
      ['[[1, 2', 'undecodable'],
      ['"\ud800', 'undecodable'],
      ['[[1, 2]]', 'invalid'],
      ['[[1, 2], [3], {}]', 'invalid'],
      ['[{"x": 1}, {}, {}]', 'invalid'],
    ];
    const runs: Run[] = [expired];
    for (const [body, kind] of bodies) {
      const bad = makeRaw('add', { ...message, body: Buffer.from(body) });
      pool.submit(bad.job);
      t.match(await bad.end, { kind: 'ended', meta: { kind } }, body);
      runs.push(bad);
    }
    const unknown = make('noSuchTask', []);
    pool.submit(unknown.job);
    t.match(await unknown.end, { kind: 'ended', meta: { kind: 'invalid', text: /no task 'tasks\.noSuchTask'/ } });
    t.notOk([...runs, unknown].some(({ hasStarted }) => hasStarted));
    t.equal(pool.jobCount, 0);
  });

  test('every one of many jobs ends exactly once', { concurrency: 2 }, async (t, { pool, runMany, run }) => {
    const runs = [...runMany(400, 'add', [1, 1]), ...runMany(200, 'addLater', [1, 1]), ...runMany(100, 'fail', ['no'])];
    const mixed = Array.from({ length: 200 }, (_, index) => run(index % 3 === 0 ? 'ignore' : 'pid'));
    const ends = await Promise.all([...runs, ...mixed].map(({ end }) => end));
    t.equal(ends.length, 900);
    t.equal(ends.filter(({ kind }) => kind === 'succeeded').length, 600 + 133);
    t.ok(
      [...runs, ...mixed].every(({ hasStarted }) => hasStarted),
      'each was told to have started',
    );
    t.equal(pool.jobCount, 0);
    const written = [...pool.written];
    t.same(written.map(([index]) => index).sort(), pool.features.resize ? [1, 2] : [1]);
    t.equal(
      written.reduce((sum, [, count]) => sum + count, 0),
      900,
    );
  });

  test('20 MB in and 20 MB out', { concurrency: 2 }, async (t, { run, value }) => {
    const size = 20 * 1024 * 1024;
    const [length, text] = await Promise.all([value('measure', ['ä'.repeat(size / 2)]), value('big', [size])]);
    t.equal(length, size / 2);
    t.equal((text as string).length, size);
    const both = [run('measure', ['x'.repeat(size)]), run('big', [size]), run('add', [1, 2])];
    t.same(
      (await Promise.all(both.map(({ end }) => end))).map(({ kind }) => kind),
      ['succeeded', 'succeeded', 'succeeded'],
    );
  });
};

/** What one child does with several jobs. */
const oneChildSuite: Suite = (test) => {
  test('a child runs one task at a time', {}, async (t, { gates, run }) => {
    const first = run('mostlyShort', [gates.path, 'first']);
    const second = run('mostlyShort', [gates.path, 'second']);
    const arrival = await gates.arrival('first');
    t.notOk(second.hasStarted);
    arrival.open('one');
    t.match(await first.end, { value: 'one' });
    (await gates.arrival('second')).open('two');
    t.match(await second.end, { value: 'two' });
  });

  test('with more slots a child runs so many async tasks at a time', { childConcurrency: 3 }, async (t, { gates, run, pool }) => {
    const names = ['a', 'b', 'c', 'd'];
    const runs = names.map((name) => run('mostlyShort', [gates.path, name]));
    const arrivals = await Promise.all(names.slice(0, 3).map((name) => gates.arrival(name)));
    t.equal(new Set(arrivals.map(({ child }) => child)).size, 1, 'all in one child');
    t.notOk(runs[3]!.hasStarted, 'the fourth waits');
    // A busy machine may keep the child from answering in time.
    const doing = await eventually(t, 'the child says what it does', async () => (await pool.report())[0]?.doing ?? undefined);
    t.equal(doing.jobs.length, 3);
    arrivals[1]!.open();
    await runs[1]!.end;
    const fourth = await gates.arrival('d');
    for (const arrival of [arrivals[0]!, arrivals[2]!, fourth]) arrival.open();
    await Promise.all(runs.map(({ end }) => end));
  });

  test('many at a time know themselves, and their output is their own', { childConcurrency: 100 }, async (t, { log, runMany }) => {
    const runs = runMany(150, 'murmur', [5]);
    for (const { job, end } of runs) t.match(await end, { value: [job.taskId, job.taskId] });
    const lines = log.lines.filter(({ event }) => event === 'task.output');
    for (const { job } of runs) {
      const own = lines.filter(({ fields }) => fields?.taskId === job.taskId).map(({ message }) => message);
      t.same(own, [`begin ${job.taskId}`, `half of ${job.taskId} and the rest`]);
    }
    t.equal(lines.length, 300);
  });

  test('fair: nothing is ever sent ahead', { fair: true }, async (t, { gates, run, runMany, proveShort }) => {
    await proveShort('mostlyShort');
    const held = run('mostlyShort', [gates.path, 'held']);
    const others = runMany(20, 'mostlyShort');
    const arrival = await gates.arrival('held');
    t.same(
      [held, ...others].filter(({ job }) => job.child !== null),
      [held],
    );
    arrival.open();
    await Promise.all(others.map(({ end }) => end));
  });

  test('only what has proved short is sent ahead', {}, async (t, { gates, run, runMany, proveShort }) => {
    const sentAhead = (runs: readonly Run[]): number => runs.filter(({ job }) => job.child !== null).length;
    const unknown = runMany(20, 'nothing');
    t.equal(sentAhead(unknown), 1, 'a type nothing is known of waits in the parent');
    await Promise.all(unknown.map(({ end }) => end));

    await proveShort('mostlyShort');
    const short = runMany(20, 'mostlyShort');
    t.ok(sentAhead(short) > 1, `short ones go together, ${sentAhead(short)} of 20`);
    await Promise.all(short.map(({ end }) => end));

    // One long execution ends the good opinion.
    const long = run('mostlyShort', [gates.path, 'long']);
    const arrival = await gates.arrival('long');
    await eventually(
      t,
      'it has been running for a while',
      () => long.hasStarted && performance.now() - long.job.startedAtMs > 2 * longAboveMs,
    );
    arrival.open();
    await long.end;
    const after = runMany(20, 'mostlyShort');
    t.equal(sentAhead(after), 1);
    await Promise.all(after.map(({ end }) => end));
  });
};

const severalChildrenSuite: Suite = (test) => {
  test(
    'what was sent ahead of a long task is recalled for another child',
    { concurrency: 2 },
    async (t, { gates, run, runMany, proveShort }) => {
      for (let attempt = 1; ; attempt++) {
        await proveShort('mostlyShort');
        await proveShort('mostlyShort');
        const [first, second] = [`a${attempt}`, `b${attempt}`];
        const held = [run('mostlyShort', [gates.path, first]), run('mostlyShort', [gates.path, second])];
        const others = runMany(10, 'mostlyShort');
        const sentBehind = others.some(({ job }) => job.child === held[0]!.job.child);
        const [a, b] = [await gates.arrival(first), await gates.arrival(second)];
        b.open();
        // The machine may have stood still while they were measured: then they are long, and wait here.
        if (!sentBehind) a.open();
        await Promise.all(others.map(({ end }) => end));
        if (sentBehind) {
          t.equal(held[0]!.settled, null, 'the first is still running');
          a.open();
        }
        t.match(await held[0]!.end, { kind: 'succeeded' });
        if (sentBehind) return;
        if (attempt === 10) throw new Error('of ten times, some must be sent behind the first once');
      }
    },
  );

  test('work is spread over the children', { concurrency: 3 }, async (t, { gates, run }) => {
    const runs = ['a', 'b', 'c'].map((name) => run('mostlyShort', [gates.path, name]));
    const arrivals = await Promise.all(['a', 'b', 'c'].map((name) => gates.arrival(name)));
    t.equal(new Set(arrivals.map(({ child }) => child)).size, 3);
    for (const arrival of arrivals) arrival.open();
    await Promise.all(runs.map(({ end }) => end));
  });
};

const shutdownSuite: Suite = (test) => {
  test('quiet gives back what has not started and takes no more', {}, async (t, { gates, pool, run, runMany, proveShort }) => {
    await proveShort('mostlyShort');
    const held = run('mostlyShort', [gates.path, 'held']);
    const others = [...runMany(5, 'mostlyShort'), ...runMany(5, 'add', [1, 2])];
    const arrival = await gates.arrival('held');
    pool.quiet();
    const ends = await Promise.all(others.map(({ end }) => end));
    t.ok(
      ends.every(({ kind }) => kind === 'returned'),
      'those waiting here and those sent ahead',
    );
    t.match(await run('add', [1, 2]).end, { kind: 'returned' }, 'and every later one');
    t.equal(pool.jobCount, 1);
    t.equal(await pool.drain(1), false, 'the running one is waited for as long as asked');
    // Two months: more than setTimeout can count.
    const drained = pool.drain(60 * 86_400_000);
    arrival.open('done');
    t.equal(await drained, true);
    t.match(held.settled, { kind: 'succeeded', value: 'done' });
    t.equal(await pool.drain(null), true, 'nothing runs: drained at once');
  });

  test('stop ends running tasks and gives back the others', { concurrency: 2 }, async (t, { gates, pool, run, runMany }) => {
    const names = pool.features.resize ? ['a', 'b'] : ['a'];
    const held = names.map((name) => run('mostlyShort', [gates.path, name]));
    const waiting = runMany(3, 'add', [1, 2]);
    await Promise.all(names.map((name) => gates.arrival(name)));
    await pool.stop();
    t.ok(held.every(({ settled }) => settled?.kind === 'lost'));
    t.ok(waiting.every(({ settled }) => settled?.kind === 'returned'));
    t.equal(pool.jobCount, 0);
    t.equal(pool.written.size, 0, 'no child is left');
    t.same(pool.pids, []);
    await pool.stop();
    t.match(await run('add', [1, 2]).end, { kind: 'returned' }, 'a stopped pool gives back what it gets');
  });

  test('withdrawn jobs that have not started come back, the others go on', {}, async (t, { gates, pool, run, runMany, proveShort }) => {
    await proveShort('mostlyShort');
    const held = run('mostlyShort', [gates.path, 'held']);
    const ahead = runMany(4, 'mostlyShort');
    const waiting = runMany(4, 'add', [1, 2]);
    const arrival = await gates.arrival('held');
    for (const { job } of [held, ahead[0]!, ahead[2]!, waiting[1]!, waiting[3]!]) job.withdrawn = true;
    pool.withdraw();
    const back = await Promise.all([ahead[0]!, ahead[2]!, waiting[1]!, waiting[3]!].map(({ end }) => end));
    t.ok(back.every(({ kind }) => kind === 'returned'));
    t.equal(held.settled, null, 'a running one is not touched');
    arrival.open();
    const rest = await Promise.all([held, ahead[1]!, ahead[3]!, waiting[0]!, waiting[2]!].map(({ end }) => end));
    t.ok(rest.every(({ kind }) => kind === 'succeeded'));
    t.equal(pool.jobCount, 0);
  });
};

const sizeSuite: Suite = (test) => {
  test('grow and shrink', { concurrency: 1 }, async (t, { gates, pool, run, value }) => {
    pool.grow(1);
    t.equal(pool.size, 2);
    const runs = [run('mostlyShort', [gates.path, 'a']), run('mostlyShort', [gates.path, 'b'])];
    const arrivals = await Promise.all([gates.arrival('a'), gates.arrival('b')]);
    t.equal(new Set(arrivals.map(({ child }) => child)).size, 2, 'both work');
    t.same((await pool.report()).map(({ index }) => index).sort(), [1, 2]);
    pool.shrink(1);
    t.equal(pool.size, 1);
    for (const arrival of arrivals) arrival.open('finished');
    for (const { end } of runs) t.match(await end, { value: 'finished' }, 'a busy one finishes first');
    await eventually(t, 'one child is left', () => pool.written.size === 1);
    t.same(
      (await pool.report()).map(({ index }) => index),
      [1],
    );
    pool.shrink(5);
    t.equal(pool.size, 1, 'never below one');
    t.equal(await value('add', [1, 2]), 3);
  });

  test('grow while a child is leaving', { concurrency: 2 }, async (t, { gates, log, pool, run }) => {
    const runs = [run('mostlyShort', [gates.path, 'a']), run('mostlyShort', [gates.path, 'b'])];
    const arrivals = await Promise.all([gates.arrival('a'), gates.arrival('b')]);
    pool.shrink(1);
    pool.grow(1);
    for (const arrival of arrivals) arrival.open();
    await Promise.all(runs.map(({ end }) => end));
    const again = [run('mostlyShort', [gates.path, 'c']), run('mostlyShort', [gates.path, 'd'])];
    const more = await Promise.all([gates.arrival('c'), gates.arrival('d')]);
    t.equal(new Set(more.map(({ child }) => child)).size, 2, 'there are two again');
    for (const arrival of more) arrival.open();
    await Promise.all(again.map(({ end }) => end));
    t.same(
      log.lines.filter(({ level }) => level === 'error'),
      [],
      'a child that was asked to leave is not reported lost',
    );
  });
};

const serviceSuite: Suite = (test) => {
  test('the tasks on offer, with their options', {}, async (t, { pool }) => {
    t.match(pool.tasks.get('tasks.add'), { name: 'tasks.add', acksLate: false, ignoreResult: false });
    t.ok(pool.tasks.has('tasks.retry'));
    t.notOk(pool.tasks.has('tasks.spinHere'), 'what is not exported is no task');
  });

  test('a task knows itself', {}, async (t, { run }) => {
    const described = run('describe');
    t.match(await described.end, { value: { id: described.job.taskId, name: 'tasks.describe', same: true, redelivered: false } });
  });

  test('states a task gives itself', {}, async (t, { run, states }) => {
    const progress = run('progress');
    t.match(await progress.end, { value: 'done' });
    t.match(states, [{ meta: { taskId: progress.job.taskId, state: 'PROGRESS' }, value: { done: 1 } }]);
    t.equal(states[0]!.job, progress.job);
  });

  test('a task calls another', {}, async (t, { run, published }) => {
    const caller = run('callOther');
    const end = await caller.end;
    t.match(end, { kind: 'succeeded', value: /^[0-9a-f-]{36}$/ });
    t.equal(published.length, 1);
    const { meta, body } = published[0]!;
    t.match(meta, {
      taskName: 'other.task',
      taskId: (end as { value: string }).value,
      headers: { task: 'other.task', parent_id: caller.job.taskId, root_id: caller.job.taskId },
    });
    t.same(readContent({ headers: meta.headers, properties: meta.properties, body }, 2).args, [7]);
  });

  const refused = async (): Promise<void> => {
    throw new UmbelError('BROKER_UNAVAILABLE', 'the broker cannot be reached');
  };
  test('a task hears that its call was not sent', { publish: refused }, async (t, { run }) => {
    t.match(await run('callOther').end, { kind: 'ended', meta: { kind: 'failed', text: /the broker cannot be reached/ } });
  });

  test('what a task prints is logged with its id', {}, async (t, { run, log }) => {
    const printing = run('print', ['hello\nworld']);
    await printing.end;
    await log.event('task.output');
    const lines = log.lines.filter(({ event }) => event === 'task.output');
    t.match(lines, [
      { level: 'warning', message: 'hello', fields: { taskId: printing.job.taskId, taskName: 'tasks.print' } },
      { level: 'warning', message: 'world', fields: { taskId: printing.job.taskId } },
    ]);
  });
};

/** About tasks that keep their child from hearing anything. */
const stuckSuite: Suite = (test) => {
  test('report: idle, waiting, spinning', { concurrency: 3 }, async (t, { gates, pool, run }) => {
    const waiting = run('mostlyShort', [gates.path, 'waiting']);
    const arrival = await gates.arrival('waiting');
    const flag = join(t.testdir(), 'flag');
    const spinning = run('spinUntil', [gates.path, flag]);
    (await gates.arrival('spinning')).open();
    const reports = await eventually(t, 'the spinning child cannot answer', async () => {
      const now = await pool.report();
      // A child that is still loading its modules, or kept waiting by a busy machine, does not answer either; and the spinning one answers until it spins.
      const answers = now.flatMap(({ doing }) => (doing === null ? [] : [doing.jobs[0]?.taskId]));
      // Nor is there always time for a stack; and one that is kept from running for a moment looks idle in it.
      if (pool.pids.length > 0 && now.some(({ stack }) => /^no (?:answer|stack): |\(idle: /.test(stack?.[0] ?? ''))) return undefined;
      const others = answers.length === 2 && answers.includes(undefined) && answers.includes(waiting.job.taskId);
      return others && now.every(({ state }) => state === 'ready') ? now : undefined;
    });
    const find = (id: string | undefined): ChildReport | undefined =>
      reports.find(({ doing }) => (doing === null ? 'spinning' : doing.jobs[0]?.taskId) === id);
    t.match(find(undefined), { state: 'ready', doing: { jobs: [], waiting: 0 }, stack: null }, 'idle');
    t.match(find(waiting.job.taskId), { doing: { jobs: [{ taskName: 'tasks.mostlyShort', runningMs: Number }] }, stack: null });
    const stuck = find('spinning');
    if (pool.pids.length > 0) t.match(stuck?.stack?.join('\n'), /spinHere.*fixture\/tasks\.ts/s, 'its stack shows the line');
    else t.match(stuck?.stack, [/^no stack: /]);
    t.equal(waiting.settled, null);
    writeFileSync(flag, '');
    arrival.open();
    t.match(await spinning.end, { value: 'spun' }, 'looking at it has not hurt it');
    await waiting.end;
  });
};

function startSuite(t: Test, { name, create, processes }: PoolConformanceParams): void {
  void t.test(`${name}: a module that does not load surfaces its own error`, async (t) => {
    const folder = t.testdir({ 'broken.ts': 'export const x = 1;\nthrow new Error("not today");\n' });
    const { pool } = await PoolBench.create(t, create, { concurrency: 2, taskPaths: [join(folder, 'broken.ts')] });
    await t.rejects(pool.start(), { code: 'TASK_MODULE_BROKEN', message: /broken\.ts:2.*not today/s });
    const pids = [...pool.pids];
    await pool.stop();
    if (processes) t.same(await allGone(pids), []);
  });

  void t.test(`${name}: a module that leaves a promise to itself, which rejects`, async (t) => {
    const folder = t.testdir({ 'careless.ts': "export const x = 1;\nvoid Promise.reject(new RangeError('left alone'));\n" });
    const { pool } = await PoolBench.create(t, create, { concurrency: 2, taskPaths: [join(folder, 'careless.ts')] });
    await t.rejects(pool.start(), { code: 'TASK_MODULE_BROKEN', message: /got .*careless\.ts:2:21: RangeError: left alone$/ });
    const pids = [...pool.pids];
    await pool.stop();
    if (processes) t.same(await allGone(pids), []);
  });

  // Elsewhere the timer would go on in the process of this test.
  if (processes) {
    void t.test(`${name}: a module that leaves a timer running keeps no child from ending`, async (t) => {
      const folder = t.testdir({ 'ticking.ts': 'setInterval(() => {}, 1000);\nexport const tick = () => 1;\n' });
      const { pool } = await PoolBench.create(t, create, { concurrency: 2, taskPaths: [join(folder, 'ticking.ts')] });
      await pool.start();
      const pids = [...pool.pids];
      t.equal(pids.length, 2);
      await pool.stop();
      t.same(await allGone(pids), []);
    });
  }

  void t.test(`${name}: stopped while starting`, async (t) => {
    const { pool } = await PoolBench.create(t, create, { concurrency: 2 });
    const starting = pool.start();
    const pids = [...pool.pids];
    const refused = t.rejects(starting, { code: 'CHILD_CANNOT_START' }, 'the start ends too');
    await pool.stop();
    await refused;
    if (processes) t.same(await allGone(pids), []);
  });

  void t.test(`${name}: stop before start`, async (t) => {
    const { pool } = await PoolBench.create(t, create);
    await pool.stop();
    t.same(pool.pids, []);
  });

  void t.test(`${name}: started and stopped twenty times`, async (t) => {
    const all: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const bench = await PoolBench.create(t, create, { concurrency: 2 });
      await bench.pool.start();
      const runs = round % 3 === 0 ? [] : bench.runMany(10, 'add', [1, 2]);
      all.push(...bench.pool.pids);
      if (round % 3 === 1) await Promise.all(runs.map(({ end }) => end));
      await bench.pool.stop();
      if (runs.some(({ settled }) => settled === null)) throw new Error(`round ${round}: every job must have ended`);
    }
    if (processes) t.same(await allGone(all), []);
    t.pass('20 rounds');
  });
}

/** What the pool cannot do it says, in one way. */
function featureSuite(t: Test, { name, create, features }: PoolConformanceParams): void {
  void t.test(`${name}: what it can and cannot do`, async (t) => {
    const { pool } = await PoolBench.create(t, create);
    t.equal(pool.name, name);
    t.same(pool.features, features);
    for (const [feature, has] of Object.entries(features) as [keyof PoolFeatures, boolean][]) {
      const ask = (): void => mustSupport(pool, feature, 'the test');
      if (has) t.doesNotThrow(ask, feature);
      else t.throws(ask, { code: 'NOT_SUPPORTED', message: `got '${name}'` }, feature);
    }
    if (features.resize) return;
    t.throws(() => pool.grow(1), { code: 'NOT_SUPPORTED' });
    t.throws(() => pool.shrink(1), { code: 'NOT_SUPPORTED' });
  });
}
