/**
 * One pool under test, with everything it tells written down, and jobs whose ends are promises.
 *
 * Owns the pool: it is stopped when the test ends. A job that ends twice, or ends before it started, fails the test at once.
 */
import { join } from 'node:path';
import type { Test } from 'tap';
import type { UmbelError } from '../../src/errors.ts';
import type { ChildSettings, EndedMeta, PublishMeta, StateMeta, SucceededMeta } from '../../src/ipc/exchange.ts';
import type { ChildPoolParams } from '../../src/pool/child-pool.ts';
import { type ChildExit, type FollowUp, Job, type JobParams } from '../../src/pool/job.ts';
import type { Pool } from '../../src/pool/pool.ts';
import type { RecyclingParams } from '../../src/pool/recycler.ts';
import { TaskPace } from '../../src/pool/task-pace.ts';
import { noTimeLimit, type TimeLimit } from '../../src/pool/time-limits.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { Gates } from './gates.ts';

/** A machine that is busy may keep a short task waiting in mid-run for so long. What the pool makes of that is for task-pace.test.ts. */
export const longAboveMs = 100;

const note = TaskPace.prototype.note;
TaskPace.prototype.note = function (taskName, runtimeSeconds) {
  note.call(this, taskName, runtimeSeconds * 1000 > longAboveMs ? runtimeSeconds : 0);
};

export const fixtureTasks = join(import.meta.dirname, 'fixture/tasks.ts');

/** How one job came back. */
export type JobEnd =
  | { readonly kind: 'succeeded'; readonly value: unknown; readonly meta: SucceededMeta | null; readonly runtimeSeconds: number }
  | { readonly kind: 'ended'; readonly value: unknown; readonly meta: EndedMeta; readonly runtimeSeconds: number }
  | { readonly kind: 'lost'; readonly exit: ChildExit }
  | { readonly kind: 'returned' };

export interface Run {
  readonly job: Job;
  /** Resolves with the pid of the process that has started it. */
  readonly started: Promise<number>;
  readonly hasStarted: boolean;
  /** null: it has not ended. */
  readonly settled: JobEnd | null;
  readonly end: Promise<JobEnd>;
  readonly followUps: readonly FollowUp[];
}

export interface Published {
  readonly meta: PublishMeta;
  readonly body: Buffer;
}

/** What a pool of any kind is made from. */
export interface PoolParams {
  readonly concurrency: number;
  readonly childConcurrency: number;
  readonly fair: boolean;
  readonly timeLimit: TimeLimit;
  heldUntilMs(): number;
  readonly maxStartFailures: number;
  readonly recycling?: RecyclingParams;
  readonly autoscale?: ChildPoolParams['autoscale'] & {};
  settingsFor(index: number): ChildSettings;
  readonly log: RecordingLog;
  publish(meta: PublishMeta, body: Buffer): Promise<void>;
  storeState(job: Job, meta: StateMeta, metaJson: string): Promise<void>;
  onFatal(error: UmbelError): void;
}

export type PoolFactory = (params: PoolParams) => Pool;

export interface BenchOptions {
  readonly concurrency?: number;
  readonly childConcurrency?: number;
  readonly fair?: boolean;
  readonly timeLimit?: TimeLimit;
  readonly maxStartFailures?: number;
  /** Default: children are not replaced. */
  readonly recycling?: Partial<RecyclingParams>;
  readonly autoscale?: ChildPoolParams['autoscale'] & {};
  readonly taskPaths?: readonly string[];
  /** What publishing answers; default: done. */
  readonly publish?: (meta: PublishMeta, body: Buffer) => Promise<void>;
}

export class PoolBench {
  readonly pool: Pool;
  readonly log = new RecordingLog();
  readonly gates: Gates;
  readonly published: Published[] = [];
  readonly states: { readonly job: Job; readonly meta: StateMeta; readonly value: unknown }[] = [];
  /** Resolves when the pool gives up. */
  readonly fatal: Promise<UmbelError>;
  /** What the broker would say. */
  heldUntilMs = Number.POSITIVE_INFINITY;
  readonly #t: Test;
  readonly #slots: number;
  readonly #fair: boolean;
  #jobIds = 0;

  /** Not started. */
  static async create(t: Test, create: PoolFactory, options: BenchOptions = {}): Promise<PoolBench> {
    return new PoolBench(t, create, options, await Gates.open(t));
  }

  static async started(t: Test, create: PoolFactory, options: BenchOptions = {}): Promise<PoolBench> {
    const bench = await PoolBench.create(t, create, options);
    await bench.pool.start();
    return bench;
  }

  private constructor(t: Test, create: PoolFactory, options: BenchOptions, gates: Gates) {
    this.#t = t;
    this.gates = gates;
    const fatal = Promise.withResolvers<UmbelError>();
    this.fatal = fatal.promise;
    const { concurrency = 1, childConcurrency = 1, fair = false } = options;
    this.#slots = concurrency * childConcurrency;
    this.#fair = fair;
    this.pool = create({
      concurrency,
      childConcurrency,
      fair,
      timeLimit: options.timeLimit ?? noTimeLimit,
      heldUntilMs: () => this.heldUntilMs,
      maxStartFailures: options.maxStartFailures ?? 3,
      ...(options.autoscale === undefined ? {} : { autoscale: options.autoscale }),
      recycling: { maxTasks: null, maxTasksJitter: 0, softBytes: null, hardBytes: null, ...options.recycling },
      settingsFor: (index) => childSettings(index, childConcurrency, options.taskPaths ?? [fixtureTasks]),
      log: this.log,
      publish: async (meta, body) => {
        this.published.push({ meta, body });
        await options.publish?.(meta, body);
      },
      storeState: async (job, meta, metaJson) => {
        this.states.push({ job, meta, value: JSON.parse(metaJson) });
      },
      onFatal: (error) => fatal.resolve(error),
    });
    t.teardown(() => this.pool.stop());
  }

  /** Send a task of the fixture module, `tasks.` left out. */
  readonly run = (task: string, args: readonly unknown[] = [], more: Partial<OutgoingTask> = {}): Run => {
    const run = this.make(task, args, more);
    this.pool.submit(run.job);
    return run;
  };

  readonly runMany = (count: number, task: string, args: readonly unknown[] = []): Run[] =>
    Array.from({ length: count }, () => this.run(task, args));

  /** A job, not submitted. */
  readonly make = (task: string, args: readonly unknown[], more: Partial<OutgoingTask> = {}): Run => {
    const id = `task-${this.#jobIds + 1}`;
    return this.makeRaw(task, encodeTask({ task: `tasks.${task}`, id, args, kwargs: {}, origin: 'gen1@test', ...more }));
  };

  readonly makeRaw = (task: string, message: { headers: unknown; properties: unknown; body: Buffer }): Run => {
    const { headers, properties, body } = message;
    this.#jobIds += 1;
    const id = this.#jobIds;
    const deliveryInfo = { exchange: '', routing_key: 'celery', priority: 0, redelivered: false };
    return new RecordedRun(this.#t, {
      id,
      taskName: `tasks.${task}`,
      taskId: `task-${id}`,
      meta: JSON.stringify({ headers, properties, deliveryInfo }),
      body,
      timeLimit: timeLimitOf(headers),
    });
  };

  /** Run it once and give its value back. */
  readonly value = async (task: string, args: readonly unknown[] = []): Promise<unknown> => {
    const end = await this.run(task, args).end;
    if (end.kind !== 'succeeded') throw new Error(`${task} must succeed, got ${JSON.stringify(end)}`);
    return end.value;
  };

  /** Make the pool believe that tasks of this type are short: a busy machine may need more of them. */
  readonly proveShort = async (task: string, args: readonly unknown[] = []): Promise<void> => {
    for (let count = 0; count < 40; count += 1) await this.run(task, args).end;
    if (this.#fair) return;
    for (let count = 0; count < 400; count += 1) {
      // The last one has a child only if it was sent ahead.
      const runs = this.runMany(this.#slots + 1, task, args);
      const believed = runs.every(({ job }) => job.child !== null);
      const ends = await Promise.all(runs.map(({ end }) => end));
      // One that was kept waiting just now has ended the good opinion again.
      if (believed && ends.every((end) => end.kind === 'succeeded' && end.runtimeSeconds * 1000 <= longAboveMs)) return;
    }
    throw new Error(`the pool must believe that ${task} is short`);
  };
}

class RecordedRun implements Run {
  readonly job: Job;
  readonly started: Promise<number>;
  readonly end: Promise<JobEnd>;
  hasStarted = false;
  settled: JobEnd | null = null;

  constructor(t: Test, params: Omit<JobParams, 'listener'>) {
    const started = Promise.withResolvers<number>();
    const end = Promise.withResolvers<JobEnd>();
    this.started = started.promise;
    this.end = end.promise;
    const settle = (outcome: JobEnd): void => {
      if (this.settled !== null) t.fail(`${params.taskName} ends once, got ${JSON.stringify([this.settled, outcome])}`);
      this.settled = outcome;
      end.resolve(outcome);
    };
    this.job = new Job({
      ...params,
      listener: {
        onStarted: (job, pid, atSeconds) => {
          if (job !== this.job) t.fail('the listener hears of its own job');
          if (this.hasStarted || this.settled !== null) t.fail(`${params.taskName} starts once and before it ends`);
          if (Math.abs(atSeconds - Date.now() / 1000) > 60) t.fail(`a start is told in unix seconds, got ${atSeconds}`);
          this.hasStarted = true;
          started.resolve(pid);
        },
        onSucceeded: (_job, runtimeSeconds, meta, resultJson) => {
          if (!this.hasStarted) t.fail(`${params.taskName} succeeds after it has started`);
          settle({ kind: 'succeeded', value: JSON.parse(resultJson), meta, runtimeSeconds });
        },
        onEnded: (_job, runtimeSeconds, meta, resultJson) =>
          settle({ kind: 'ended', value: resultJson === '' ? null : JSON.parse(resultJson), meta, runtimeSeconds }),
        onWorkerLost: (_job, exit) => settle({ kind: 'lost', exit }),
        onReturned: () => {
          if (this.hasStarted) t.fail(`${params.taskName} has started and cannot be given back`);
          settle({ kind: 'returned' });
        },
      },
    });
  }

  get followUps(): readonly FollowUp[] {
    return this.job.followUps ?? [];
  }
}

/** [hard, soft], as the consumer reads it. */
function timeLimitOf(headers: unknown): TimeLimit | null {
  const [hardSeconds, softSeconds] = (headers as { timelimit?: [number | null, number | null] }).timelimit ?? [null, null];
  return hardSeconds === null && softSeconds === null ? null : { hardSeconds, softSeconds };
}

export function childSettings(index: number, concurrency: number, taskPaths: readonly string[]): ChildSettings {
  return {
    nodeName: 'bench@localhost',
    index,
    parentPid: process.pid,
    taskPaths,
    workdir: import.meta.dirname,
    compileCacheFolder: null,
    loadTimeoutMs: 30_000,
    shutdownHooksMs: 5000,
    concurrency,
    acceptContent: ['json'],
    logLevel: 'debug',
    logFile: null,
    logFormat: 'text',
    redirectStdouts: true,
    redirectStdoutsLevel: 'warning',
    wantResultText: false,
    wantArguments: false,
    annotations: [],
    taskDefaults: {
      acksLate: false,
      acksOnFailureOrTimeout: true,
      rejectOnWorkerLost: false,
      ignoreResult: false,
      storeErrorsEvenIfIgnored: false,
      trackStarted: false,
      rateLimit: null,
    },
    taskProtocol: 2,
    inheritParentPriority: false,
    chordRetryIntervalSeconds: 1,
  };
}
