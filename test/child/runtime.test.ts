/** The child itself, as a real process: what it does with the frames it gets. What a pool makes of children is test/pool. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { ChildSettings, EndedMeta, ReadyMeta } from '../../src/ipc/exchange.ts';
import { ChildHandle } from '../../src/pool/child-handle.ts';
import { type ChildExit, Job } from '../../src/pool/job.ts';
import { processChildren } from '../../src/pool/process-link.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { systemClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { Gates } from '../pool/gates.ts';
import { childSettings, fixtureTasks } from '../pool/pool-bench.ts';

delete process.env.NODE_OPTIONS;
const main = resolve(import.meta.dirname, '../../src/main.ts');

interface Outcome {
  readonly kind: 'succeeded' | 'lost' | EndedMeta['kind'];
  readonly value: unknown;
}

class Bench {
  readonly handle: ChildHandle;
  readonly log = new RecordingLog();
  readonly gates: Gates;
  readonly ready: Promise<ReadyMeta>;
  readonly gone: Promise<ChildExit>;
  readonly recalled: (readonly number[])[] = [];
  readonly #recallWaiters: (() => void)[] = [];
  readonly #ends = new Map<number, (outcome: Outcome) => void>();
  #ids = 0;

  static async open(t: Test, settings: Partial<ChildSettings> = {}): Promise<Bench> {
    const bench = new Bench(await Gates.open(t), settings);
    t.teardown(async () => {
      bench.handle.kill('SIGKILL');
      await bench.gone;
    });
    await bench.ready;
    return bench;
  }

  private constructor(gates: Gates, settings: Partial<ChildSettings>) {
    this.gates = gates;
    const ready = Promise.withResolvers<ReadyMeta>();
    const gone = Promise.withResolvers<ChildExit>();
    this.ready = ready.promise;
    this.gone = gone.promise;
    this.handle = new ChildHandle({
      index: 3,
      kind: processChildren({
        execPath: process.execPath,
        args: ['--inspect-port=127.0.0.1:0', '--disable-warning=ExperimentalWarning', main, 'pool-child'],
      }),
      settings: { ...childSettings(3, settings.concurrency ?? 1, [fixtureTasks]), ...settings },
      log: this.log,
      childLog: this.log,
      events: {
        onReady: (_child, meta) => ready.resolve(meta),
        onStarted: () => {},
        onRoom: () => {},
        mayRest: () => false,
        onRecalled: (_child, jobs) => {
          this.recalled.push(jobs.map(({ id }) => id));
          for (const resolve of this.#recallWaiters.splice(0)) resolve();
        },
        onJobDone: () => {},
        onPublish: () => {},
        onState: () => {},
        onGone: (_child, exit, started) => {
          for (const { id } of started) this.#ends.get(id)?.({ kind: 'lost', value: null });
          gone.resolve(exit);
        },
      },
    });
  }

  run(
    task: string,
    args: readonly unknown[],
    startBeforeMs = Number.POSITIVE_INFINITY,
  ): { readonly job: Job; readonly end: Promise<Outcome> } {
    this.#ids += 1;
    const id = this.#ids;
    const { promise: end, resolve } = Promise.withResolvers<Outcome>();
    this.#ends.set(id, resolve);
    const { headers, properties, body } = encodeTask({ task: `tasks.${task}`, id: `task-${id}`, args, kwargs: {}, origin: 'o' });
    const deliveryInfo = { exchange: '', routing_key: 'celery', priority: 0, redelivered: false };
    const job = new Job({
      id,
      taskName: `tasks.${task}`,
      taskId: `task-${id}`,
      meta: JSON.stringify({ headers, properties, deliveryInfo }),
      body,
      listener: {
        onStarted: () => {},
        onSucceeded: (_job, _runtime, _meta, json) => resolve({ kind: 'succeeded', value: JSON.parse(json) }),
        onEnded: (_job, _runtime, meta) => resolve({ kind: meta.kind, value: meta.text }),
        onWorkerLost: () => {},
        onReturned: () => {},
      },
    });
    this.handle.run(job, startBeforeMs);
    return { job, end };
  }

  /** Resolves when the child has answered the recall. */
  recall(): Promise<void> {
    const answered = this.handedBack();
    this.handle.recall();
    return answered;
  }

  /** Resolves when the child hands something back. */
  handedBack(): Promise<void> {
    return new Promise((resolve) => this.#recallWaiters.push(resolve));
  }

  /** Jobs handed back, once there are so many. */
  async back(count: number): Promise<readonly number[]> {
    while (this.recalled.flat().length < count) await this.handedBack();
    return this.recalled.flat();
  }
}

/** Time passes here because it is what is tested. */
async function passed(untilMs: number): Promise<void> {
  while (systemClock.monotonic() < untilMs) await new Promise((resolve) => setTimeout(resolve, untilMs - systemClock.monotonic()));
}

t.test('says who it is and what it offers', async (t) => {
  const bench = await Bench.open(t);
  const { pid, tasks } = await bench.ready;
  t.equal(pid, bench.handle.pid);
  t.ok(tasks.some(({ name }) => name === 'tasks.add'));
  t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /bench@localhost:PoolChild-3/, 'its process title names node and index');
});

t.test('an abort reaches the signal of its task alone', async (t) => {
  const bench = await Bench.open(t, { concurrency: 2 });
  const aborted = bench.run('waitForAbort', [bench.gates.path]);
  const other = bench.run('mostlyShort', [bench.gates.path, 'other']);
  await bench.gates.arrival('aborting');
  const arrival = await bench.gates.arrival('other');
  bench.handle.abort(aborted.job, 'enough of it');
  t.match(await aborted.end, { kind: 'succeeded', value: 'enough of it' });
  arrival.open('undisturbed');
  t.match(await other.end, { value: 'undisturbed' });
});

t.test('recall: gives back what has not started, in order, and never what has', async (t) => {
  const bench = await Bench.open(t);
  const first = bench.run('mostlyShort', [bench.gates.path, 'first']);
  const arrival = await bench.gates.arrival('first');
  const waiting = [bench.run('add', [1, 2]), bench.run('add', [3, 4])];
  await bench.recall();
  t.same(bench.recalled, [waiting.map(({ job }) => job.id)]);
  await bench.recall();
  t.same(bench.recalled[1], [], 'nothing left to give');
  const later = bench.run('add', [5, 6]);
  arrival.open('done');
  t.match(await first.end, { value: 'done' });
  t.match(await later.end, { value: 11 }, 'what comes after a recall is run');
  t.equal(bench.handle.processed, 2);
});

t.test('a job past its time goes back unstarted, by itself; those in time are run', async (t) => {
  const bench = await Bench.open(t);
  const first = bench.run('mostlyShort', [bench.gates.path, 'first']);
  const arrival = await bench.gates.arrival('first');
  const soon = systemClock.monotonic() + 50;
  const inTime = [bench.run('add', [1, 2]), bench.run('add', [3, 4])];
  const late = [bench.run('add', [5, 6], soon), bench.run('add', [7, 8], soon), bench.run('noSuchTask', [], soon)];
  await passed(soon);
  arrival.open('done');
  t.match(await first.end, { value: 'done' }, 'what runs already is not touched');
  t.same(
    await bench.back(3),
    late.map(({ job }) => job.id),
    'all that are late, also those that could not have been run; nobody had asked for them',
  );
  t.same(await Promise.all(inTime.map(async ({ end }) => (await end).value)), [3, 7]);
  t.equal(bench.handle.jobs.size, 0);
  t.match(await bench.run('add', [1, 1], systemClock.monotonic() + 60_000).end, { value: 2 }, 'and it goes on');
});

t.test('a child that stood still starts nothing that is late by then', async (t) => {
  const bench = await Bench.open(t);
  process.kill(bench.handle.pid, 'SIGSTOP');
  const soon = systemClock.monotonic() + 50;
  const late = [bench.run('add', [1, 2], soon), bench.run('add', [3, 4], soon)];
  await passed(soon);
  process.kill(bench.handle.pid, 'SIGCONT');
  t.same(
    await bench.back(2),
    late.map(({ job }) => job.id),
  );
  t.equal(bench.handle.processed, 0);
});

t.test('stop: what it holds is finished, then it ends with 0', async (t) => {
  const bench = await Bench.open(t);
  const running = bench.run('mostlyShort', [bench.gates.path, 'running']);
  const waiting = bench.run('add', [1, 2]);
  const arrival = await bench.gates.arrival('running');
  bench.handle.stop();
  arrival.open('finished');
  t.match(await running.end, { value: 'finished' });
  t.match(await waiting.end, { value: 3 });
  t.match(await bench.gone, { exitCode: 0, signal: null });
});

t.test('signals meant for the group of a terminal do not end it', async (t) => {
  const bench = await Bench.open(t);
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.kill(bench.handle.pid, signal);
  t.match(await bench.run('add', [1, 2]).end, { value: 3 });
});

t.test('a log file of its own', async (t) => {
  const logFile = join(t.testdir({}), 'child-3.log');
  const bench = await Bench.open(t, { logFile, logLevel: 'info' });
  await bench.run('print', ['into the file']).end;
  t.match(readFileSync(logFile, 'utf8'), /WARNING\/PoolChild-3\] tasks\.print\[task-1\]: into the file/);
  t.notOk(
    bench.log.lines.some(({ event }) => event === 'task.output'),
    'and not to the parent as well',
  );
});

t.test('levels below the log level are not sent', async (t) => {
  const bench = await Bench.open(t, { logLevel: 'error' });
  await bench.run('print', ['a warning']).end;
  await bench.run('crash', []).end;
  t.match(
    bench.log.lines.map(({ event }) => event),
    ['child.uncaught'],
  );
});

t.test('without redirection output passes through', async (t) => {
  const written: string[] = [];
  const original = process.stdout.write.bind(process.stdout);
  const bench = await Bench.open(t, { redirectStdouts: false });
  process.stdout.write = ((chunk: string | Uint8Array, ...more: never[]) => {
    if (String(chunk).includes('straight out')) {
      written.push(String(chunk));
      return true;
    }
    return original(chunk, ...more);
  }) as typeof process.stdout.write;
  try {
    await bench.run('print', ['straight out']).end;
    bench.handle.stop();
    await bench.gone;
  } finally {
    process.stdout.write = original;
  }
  t.same(written, ['straight out\n']);
  t.notOk(bench.log.lines.some(({ event }) => event === 'task.output'));
});
