/**
 * A pool: a number of children, each with an index of its own, supervised. Child processes (prefork, async), threads, or the one child
 * that lives in this process (solo): that is the kind of its children.
 *
 * Owns that there are always as many children as wanted: a child that ends is replaced under the same process index, and when that is is
 * pool/child-replacer.ts. Which child gets which job is pool/dispatcher.ts, one child's life is pool/child-handle.ts. Never settles anything:
 * what a job's end means is the consumer's business (consumer/settle.ts).
 */
import { messageOf, UmbelError } from '../errors.ts';
import type { ChildSettings, ParentAsk, PublishReply, ReadyMeta, StateMeta, TaskOffer } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import { processRssBytes } from '../os/process-info.ts';
import type { NamedSignal } from '../os/signal-name.ts';
import { systemClock, type Timer } from '../std/clock.ts';
import { Autoscaler, type AutoscalerParams } from './autoscaler.ts';
import { ChildHandle } from './child-handle.ts';
import type { ChildKind } from './child-link.ts';
import { ChildReplacer } from './child-replacer.ts';
import { reportOf, stackOf } from './child-report.ts';
import { ChildRestarts } from './child-restarts.ts';
import { Dispatcher, maxWindow } from './dispatcher.ts';
import type { ChildExit, Job, KillOutcome } from './job.ts';
import { killForJob } from './kill-for-job.ts';
import { LimitEnforcer } from './limit-enforcer.ts';
import { MemoryWatch } from './memory-watch.ts';
import type { ChildReport, Pool, PoolFeatures, PoolName } from './pool.ts';
import { mustSupport } from './pool-features.ts';
import { neverRecycled, Recycler, type RecyclingParams } from './recycler.ts';
import { StartGate } from './start-gate.ts';
import { Terminator } from './terminator.ts';
import { type TimeLimit, TimeLimits } from './time-limits.ts';
import { UsefulReserve } from './useful-reserve.ts';

/** How long an idle child may take to end. */
export const stopGraceMs = 2000;
/** How long a task may take to heed that it is cancelled. */
const cancelGraceMs = 2000;

export interface ChildPoolParams {
  readonly concurrency: number;
  readonly kind: ChildKind;
  /** The settings of the child with this index. */
  settingsFor(index: number): ChildSettings;
  /** Slots per child. */
  readonly childConcurrency: number;
  /** The range in which the number of children follows the load; null: it does not. Default: null. */
  readonly autoscale?: Pick<AutoscalerParams, 'max' | 'min' | 'keepaliveMs' | 'load'> | null;
  /** When a child is replaced. Default: never. */
  readonly recycling?: RecyclingParams;
  /** Of tasks that name none. Default: none. */
  readonly timeLimit?: TimeLimit;
  /** -O fair: never send ahead. */
  readonly fair: boolean;
  /** No job is started from then on, until `held` is called. Monotonic, on the clock of the machine. */
  heldUntilMs(): number;
  readonly startTimeoutMs: number;
  /** How long an idle child may take to end when the pool stops. Default 2 s. */
  readonly stopGraceMs?: number;
  /** Children that may die while starting, in a row and with none ready, before the pool gives up. */
  readonly maxStartFailures: number;
  readonly log: Logger;
  /** Where lines of the child with this index go. */
  childLog(index: number): Logger;
  /** task.delay() inside a task. */
  publish(ask: ParentAsk, body: Buffer): Promise<unknown>;
  /** update_state inside a task. Resolves when it is stored. */
  storeState(job: Job, meta: StateMeta, metaJson: string): Promise<void>;
  /** No child can be started any more. */
  onFatal(error: UmbelError): void;
}

export class ChildPool implements Pool {
  readonly name: PoolName;
  readonly features: PoolFeatures;
  readonly #params: ChildPoolParams;
  readonly #log: Logger;
  readonly #children = new Map<number, ChildHandle>();
  readonly #replacer: ChildReplacer;
  readonly #dispatcher: Dispatcher;
  readonly #recycler: Recycler;
  readonly #memory: MemoryWatch;
  readonly #limits: TimeLimits;
  readonly #enforcer: LimitEnforcer;
  readonly #terminator: Terminator;
  /** null: the size is fixed, but for grow and shrink. */
  readonly autoscaler: Autoscaler | null;
  readonly restarts = new ChildRestarts();
  #tasks: ReadonlyMap<string, TaskOffer> = new Map();
  #size: number;
  readonly #reserve = new UsefulReserve();
  #jobCount = 0;
  #phase: 'new' | 'running' | 'quiet' | 'stopped' = 'new';
  #started: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  #idleWaiters: (() => void)[] = [];
  #goneWaiters: (() => void)[] = [];

  constructor(params: ChildPoolParams) {
    this.#params = params;
    this.name = params.kind.name;
    this.features = params.kind.features;
    this.#log = params.log;
    this.#size = params.concurrency;
    this.#limits = new TimeLimits(params.timeLimit);
    this.#enforcer = new LimitEnforcer({ limits: this.#limits, clock: systemClock, log: params.log, pool: this });
    this.#terminator = new Terminator({ log: params.log });
    this.#replacer = new ChildReplacer({
      ...params,
      replaceable: params.kind.replaceable,
      children: () => this.#all(),
      isFirst: () => this.#started !== null,
      hasNext: (index) => this.#children.has(index),
      wantsNext: (index) => this.#recycler.wanted(index),
      spawn: (index) => this.#spawn(index),
      giveUp: (cause) => this.#giveUp(cause),
    });
    this.#dispatcher = new Dispatcher({
      slots: params.childConcurrency,
      fair: params.fair,
      children: this.#children,
      others: () => this.#recycler.others,
      gate: new StartGate({ heldUntilMs: params.heldUntilMs, clock: systemClock, log: params.log }),
      onUsed: (child) => this.#recycler.onUsed(child),
      onSuspect: (child) => this.features.resize && this.#recycler.isolate(child),
    });
    const { maxTasks, maxTasksJitter, softBytes, hardBytes } = params.recycling ?? neverRecycled;
    this.#recycler = new Recycler({
      children: this.#children,
      maxTasks,
      maxTasksJitter,
      slots: params.childConcurrency,
      log: params.log,
      random: Math.random,
      estimateMs: (taskName) => this.#dispatcher.estimateMs(taskName),
      spawnSpare: (index) => {
        if (this.#phase === 'running' && index <= this.#size && !this.#replacer.isPending(index)) this.#spawn(index);
      },
      onSwitched: (child) => this.#dispatcher.fill(child),
    });
    this.autoscaler =
      params.autoscale == null
        ? null
        : new Autoscaler({
            ...params.autoscale,
            slots: params.childConcurrency,
            clock: systemClock,
            log: params.log,
            size: () => this.#size,
            jobCount: () => this.#jobCount,
            resize: (size) => this.#resize(size),
          });
    this.#memory = new MemoryWatch({
      softBytes,
      hardBytes,
      hasWork: () => this.#jobCount > 0,
      children: () => this.#all(),
      rssBytes: processRssBytes,
      stackOf,
      clock: systemClock,
      log: params.log,
      onOutgrown: (child) => this.#recycler.renew(child, 'max_memory'),
    });
  }

  get size(): number {
    return this.#size;
  }

  get sizeLimit(): number {
    return this.autoscaler?.max ?? this.#size;
  }

  get tasks(): ReadonlyMap<string, TaskOffer> {
    return this.#tasks;
  }

  get jobCount(): number {
    return this.#jobCount;
  }

  get pids(): readonly number[] {
    return this.#params.kind.processes ? this.#all().map((child) => child.pid) : [];
  }

  get written(): ReadonlyMap<number, number> {
    return new Map([...this.#children].map(([index, child]) => [index, child.processed + child.jobs.size]));
  }

  usefulReserve(brokerRoundTripMs: number): number {
    const slots = this.#children.size * this.#params.childConcurrency;
    return Math.max(slots, Math.min(this.#children.size * maxWindow, this.#reserve.count(slots, brokerRoundTripMs)));
  }

  async start(): Promise<void> {
    if (this.autoscaler !== null) await this.autoscaler.start();
    this.#phase = 'running';
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
      for (let index = 1; index <= this.#size; index += 1) this.#spawn(index);
    });
  }

  submit(job: Job): void {
    this.#jobCount += 1;
    if (this.#phase !== 'running') {
      this.#return(job);
      return;
    }
    this.#memory.wake();
    this.#dispatcher.submit(job);
    this.autoscaler?.onJob();
  }

  abort(job: Job, reason: string): void {
    job.child?.abort(job, reason);
  }

  cancel(job: Job, reason: string): void {
    const { child } = job;
    if (child === null) return;
    child.abort(job, reason);
    const end = (): void => {
      const others = [...child.jobs.values()].some((other) => other.started && !other.withdrawn);
      if (child.jobs.has(job.id) && !others && this.features.terminate) child.kill('SIGKILL');
    };
    systemClock.setTimer(end, cancelGraceMs, { ref: false });
  }

  terminate(job: Job, signal: NamedSignal): void {
    // It would open the child's inspector. Celery's children take it for a soft time limit.
    if (signal.name === 'SIGUSR1') {
      const limitSeconds = Math.round(performance.now() - job.startedAtMs) / 1000;
      if (job.started) job.child?.softLimit(job, { limitSeconds, alone: true });
      return;
    }
    mustSupport(this, 'terminate', `terminating ${job.label}`);
    this.#terminator.terminate(job, signal);
  }

  async kill(job: Job, outcome: KillOutcome, signal?: NodeJS.Signals): Promise<boolean> {
    mustSupport(this, 'terminate', `ending ${job.label}`);
    return killForJob({ job, outcome, ...(signal === undefined ? null : { signal }) });
  }

  timeLimitOf(taskName: string): TimeLimit {
    return this.#limits.ofType(taskName);
  }

  changeTimeLimit(taskName: string, limit: TimeLimit): void {
    this.#limits.change(taskName, limit);
  }

  abortAll(reason: string): void {
    for (const child of this.#all()) for (const job of child.jobs.values()) child.abort(job, reason);
  }

  grow(count: number): void {
    this.#mustNotScale('growing');
    this.#resize(this.#size + count);
  }

  shrink(count: number): void {
    this.#mustNotScale('shrinking');
    this.#resize(Math.max(1, this.#size - count));
  }

  restart(): void {
    mustSupport(this, 'resize', 'replacing all children');
    for (const child of [...this.#children.values()]) this.#recycler.renew(child, 'pool_restart');
  }

  #mustNotScale(wish: string): void {
    mustSupport(this, 'resize', wish);
    if (this.autoscaler === null) return;
    const { max, min } = this.autoscaler.info;
    throw new UmbelError('AUTOSCALED', `${wish} needs a pool without worker.autoscale, got ${max},${min}: change the range instead`);
  }

  #resize(target: number): void {
    this.#size = target;
    this.#replacer.forgetAbove(target);
    for (const [index, child] of this.#children) if (index > target) child.stop();
    this.#recycler.shrink(target);
    if (this.#phase !== 'running') return;
    for (let index = 1; index <= target; index += 1) if (!this.#children.has(index) && !this.#replacer.isPending(index)) this.#spawn(index);
  }

  held(): void {
    this.#dispatcher.held();
  }

  withdraw(): void {
    for (const job of this.#dispatcher.takeWaiting((waiting) => waiting.withdrawn)) this.#return(job);
    this.#dispatcher.recallSentAhead();
  }

  quiet(): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'quiet';
    this.autoscaler?.stop();
    for (const job of this.#dispatcher.takeWaiting(() => true)) this.#return(job);
    this.#dispatcher.recallSentAhead();
  }

  async drain(timeoutMs: number | null): Promise<boolean> {
    if (this.#jobCount === 0) return true;
    let timer: Timer | undefined;
    const idle = new Promise<true>((resolve) => this.#idleWaiters.push(() => resolve(true)));
    const late = new Promise<false>((resolve) => {
      if (timeoutMs !== null) timer = systemClock.setTimer(() => resolve(false), timeoutMs);
    });
    const drained = await Promise.race([idle, late]);
    systemClock.clearTimer(timer);
    return drained;
  }

  async stop(): Promise<void> {
    if (this.#phase === 'new') {
      this.#phase = 'stopped';
      return;
    }
    this.quiet();
    this.#phase = 'stopped';
    this.#dispatcher.stop();
    this.#memory.stop();
    this.#enforcer.stop();
    this.#replacer.forgetAbove(0);
    this.#started?.reject(new UmbelError('CHILD_CANNOT_START', 'the pool was stopped before a child was ready'));
    this.#started = null;
    // Idle children are asked; those with a task that was not waited for are killed at once.
    for (const child of this.#all()) {
      if (child.jobs.size === 0) child.stop();
      else child.kill('SIGKILL');
    }
    if (this.#all().length === 0) return;
    const escalation = setTimeout(() => {
      for (const child of this.#all()) child.kill('SIGKILL');
    }, this.#params.stopGraceMs ?? stopGraceMs);
    await new Promise<void>((resolve) => this.#goneWaiters.push(resolve));
    clearTimeout(escalation);
  }

  async report(): Promise<ChildReport[]> {
    return Promise.all(this.#all().map(reportOf));
  }

  child(index: number): ChildHandle | undefined {
    return this.#children.get(index);
  }

  /** Also those that stand by or leave. */
  #all(): ChildHandle[] {
    return [...this.#children.values(), ...this.#recycler.others];
  }

  #spawn(index: number): void {
    this.#replacer.forget(index);
    if (this.#children.has(index) && !this.#recycler.wantsSpare(index)) return;
    let child: ChildHandle;
    try {
      child = this.#handle(index);
    } catch (error) {
      // No memory or no process left on the machine: that may pass.
      const cause = new UmbelError('CHILD_CANNOT_START', `a pool child could not be spawned: ${messageOf(error)}`, { cause: error });
      this.#replacer.startFailed(index, cause, false);
      return;
    }
    this.#recycler.add(child);
    this.#replacer.watchStart(child);
  }

  #handle(index: number): ChildHandle {
    return new ChildHandle({
      index,
      kind: this.#params.kind,
      settings: this.#params.settingsFor(index),
      log: this.#log,
      childLog: this.#params.childLog(index),
      events: {
        onReady: (ready, meta) => this.#onReady(ready, meta),
        onStarted: (job) => this.#enforcer.started(job),
        onRoom: (free) => this.#onRoom(free),
        mayRest: (busy) => this.#dispatcher.mayRest(busy),
        onRecalled: (from, jobs) => this.#onRecalled(from, jobs),
        onJobDone: (done, job, runtimeSeconds) => this.#onJobDone(done, job, runtimeSeconds),
        onPublish: (asking, request, meta, body) => void this.#answer(asking, request, this.#params.publish(meta, body)),
        onState: (asking, job, request, meta, metaJson) =>
          void this.#answer(asking, request, job === undefined ? Promise.resolve() : this.#params.storeState(job, meta, metaJson)),
        onGone: (gone, exit, started, unstarted, failure) => this.#onGone(gone, exit, started, unstarted, failure),
      },
    });
  }

  #onReady(child: ChildHandle, meta: ReadyMeta): void {
    this.#replacer.onReady();
    this.#tasks = new Map(meta.tasks.map((offer) => [offer.name, offer]));
    this.#limits.learn(this.#tasks);
    this.#log.debug('child.ready', `PoolChild-${child.index} ready (pid ${child.pid})`, { child: child.index, pid: child.pid });
    this.#started?.resolve();
    this.#started = null;
    this.#memory.onReady(child);
    if (child.index > this.#size || this.#phase === 'stopped') child.stop();
    else if (this.#recycler.onReady(child)) this.#dispatcher.fill(child);
  }

  #onRoom(child: ChildHandle): void {
    const { isOver } = child.tenure;
    if (isOver) this.#recycler.trySwitch(child.index);
    this.#dispatcher.fill(isOver ? (this.#children.get(child.index) ?? child) : child);
  }

  #onRecalled(child: ChildHandle, jobs: readonly Job[]): void {
    if (this.#phase === 'running') this.#resubmit(jobs, child);
    else for (const job of jobs) this.#return(job);
    this.#terminator.recalled(child);
  }

  /** Those that are still wanted. */
  #resubmit(jobs: readonly Job[], from: ChildHandle | null): void {
    const wanted: Job[] = [];
    for (const job of jobs) {
      if (job.withdrawn) this.#return(job);
      else wanted.push(job);
    }
    this.#dispatcher.resubmit(wanted, from);
  }

  #onJobDone(child: ChildHandle, job: Job, runtimeSeconds: number): void {
    this.#replacer.onJobDone();
    this.#enforcer.ended(job);
    this.#dispatcher.noteDone(job, runtimeSeconds);
    this.#terminator.ended(child);
    this.#recycler.onJobDone(child, job);
    this.#memory.onJobDone(child);
    this.#reserve.done(runtimeSeconds * 1000);
    this.#forget();
  }

  async #answer(child: ChildHandle, request: number, work: Promise<unknown>): Promise<void> {
    let reply: PublishReply;
    try {
      const value = await work;
      reply = value === undefined ? { error: null } : { error: null, value };
    } catch (error) {
      reply = { error: messageOf(error), ...(error instanceof UmbelError ? { code: error.code } : null) };
    }
    child.replyPublished(request, reply);
  }

  #onGone(child: ChildHandle, exit: ChildExit, started: readonly Job[], unstarted: readonly Job[], failure: UmbelError | null): void {
    const was = this.#recycler.remove(child);
    if (this.#phase === 'running' && child.index <= this.#size) this.restarts.note(child, exit);
    this.#terminator.gone(child);
    const { killedBecause: because, peakRssBytes, stack } = child.tenure;
    for (const job of started) {
      this.#forget();
      this.#enforcer.ended(job);
      job.listener.onWorkerLost(job, { ...exit, because, peakRssBytes, stack });
    }
    for (const job of unstarted) job.child = null;
    if (this.#phase !== 'running') for (const job of unstarted) this.#return(job);
    if (this.#phase === 'stopped') {
      if (this.#all().length === 0) for (const resolve of this.#goneWaiters.splice(0)) resolve();
      return;
    }
    if (child.wasReady && !this.#params.kind.replaceable) {
      const why = exit.signal ?? `exit status ${exit.exitCode}`;
      this.#params.onFatal(new UmbelError('SOLO_ENDED', `the '${this.name}' pool ended with ${why}, and the worker with it`));
    } else if (child.index <= this.#size && (was !== 'leaving' || exit.exitCode !== 0))
      this.#replacer.replace(child, exit, failure, started.length > 0);
    else this.#log.debug('child.gone', `PoolChild-${child.index} (pid ${exit.pid}) is gone`, { child: child.index, pid: exit.pid });
    if (this.#phase === 'running') this.#resubmit(unstarted, null);
  }

  #giveUp(cause: UmbelError): void {
    const error =
      cause.code === 'CHILD_CANNOT_START'
        ? new UmbelError('CHILD_CANNOT_START', `no pool child can start: ${cause.message}`, { cause })
        : cause;
    if (this.#started !== null) {
      this.#started.reject(error);
      this.#started = null;
      return;
    }
    this.#params.onFatal(error);
  }

  #return(job: Job): void {
    job.child = null;
    this.#forget();
    job.listener.onReturned(job);
  }

  #forget(): void {
    this.#jobCount -= 1;
    if (this.#jobCount === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}
