/**
 * What remote commands see and do of this worker: the one place where control/ meets consumer and pool.
 *
 * Owns nothing but the queues that were added at run time. Decides nothing: every answer is read from, every order given to, the part
 * whose business it is.
 */
import { join } from 'node:path';
import { getHeapSpaceStatistics, writeHeapSnapshot } from 'node:v8';
import type { Broker } from '../broker/broker.ts';
import type { Config } from '../config/config.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { Revokes } from '../consumer/revokes.ts';
import type { Settler } from '../consumer/settle.ts';
import { CommandFailure } from '../control/command-failure.ts';
import type {
  ConsumerOptions,
  EventsSwitch,
  RequestInfo,
  RevokeOutcome,
  ScheduledInfo,
  TaskChange,
  TaskInfo,
} from '../control/control-surface.ts';
import type { LocalSurface } from '../control/local-commands.ts';
import { UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { resourceUsage } from '../os/process-info.ts';
import type { ChildPool } from '../pool/child-pool.ts';
import { softComesTooLate } from '../pool/time-limits.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import type { LamportClock } from '../std/lamport-clock.ts';
import { perSecond } from '../std/rate-limit.ts';
import { brokerInfo } from './broker-info.ts';
import { bugReport, bugReportText } from './bug-report.ts';
import { ChildDebugger } from './child-debugger.ts';
import { dump } from './dump.ts';
import type { Monitoring } from './monitoring.ts';
import type { NodeState } from './node-state.ts';
import { queueInfo } from './queue-info.ts';
import { requestInfo, scheduledInfo } from './request-info.ts';
import { shownConfig } from './shown-config.ts';
import { whyIdle } from './why-idle.ts';
import type { WorkerNames } from './worker-params.ts';
import { poolInfo } from './worker-stats.ts';

/** A list longer than this helps nobody, and holds up the worker that makes it. */
const mostScheduled = 10_000;

export interface WorkerSurfaceParams {
  readonly config: Config;
  readonly names: WorkerNames;
  readonly monitoring: Monitoring;
  readonly broker: Broker;
  readonly consumer: Consumer;
  readonly pool: ChildPool;
  readonly revokes: Revokes;
  readonly settler: Pick<Settler, 'totals'>;
  readonly log: Logger;
  state(): NodeState;
  /** No tasks are taken, by request. */
  isQuiet(): boolean;
  /** Messages have been ready for a while, and none has come. */
  isStalled(): boolean;
  /** A warm stop, as by TERM. */
  stop(message: string): void;
}

export class WorkerSurface implements LocalSurface {
  readonly nodeName: string;
  readonly clock: LamportClock;
  readonly #params: WorkerSurfaceParams;
  /** By name, those added at run time as well. */
  readonly #queues = new Map<string, TaskQueue>();
  readonly #debugger: ChildDebugger;
  readonly #startedAtMs = performance.now();
  #brokerLostAtMs: number | null = null;

  constructor(params: WorkerSurfaceParams) {
    this.#params = params;
    this.nodeName = params.names.nodeName;
    this.clock = params.monitoring.clock;
    const { config, pool, log } = params;
    this.#debugger = new ChildDebugger({ pool, enabled: config.settings.worker_enable_inspector, log });
    for (const queue of params.names.queues) this.#queues.set(queue.name, queue);
    params.broker.onStateChange((state) => {
      this.#brokerLostAtMs = state === 'connected' ? null : (this.#brokerLostAtMs ?? Date.now());
    });
  }

  active(safe: boolean): readonly RequestInfo[] {
    return this.#params.consumer.active.map((request) => requestInfo(request, this.nodeName, safe));
  }

  reserved(): readonly RequestInfo[] {
    const found: RequestInfo[] = [];
    for (const { request } of this.#params.consumer.held)
      if (request.state === 'reserved') found.push(requestInfo(request, this.nodeName, false));
    return found;
  }

  async scheduled(): Promise<readonly ScheduledInfo[]> {
    const waiting = (await this.#params.consumer.subscription?.scheduled(mostScheduled)) ?? [];
    return waiting.flatMap((message) => scheduledInfo(message, this.nodeName) ?? []);
  }

  /** One sentence. */
  why(): Promise<string> {
    const { broker, consumer, pool, names, state, isQuiet, isStalled } = this.#params;
    return whyIdle({
      broker,
      brokerLostAtMs: this.#brokerLostAtMs,
      state: state(),
      consumer,
      pool,
      slots: pool.size * names.pool.slots,
      quiet: isQuiet(),
      stalled: isStalled(),
    });
  }

  dump(): Promise<void> {
    const { log, pool, consumer, state, isQuiet } = this.#params;
    return dump({ log, pool, consumer, state: isQuiet() ? 'quiet' : state() });
  }

  openDebugger(index: number): Promise<string> {
    return this.#debugger.open(index);
  }

  closeDebugger(index: number): Promise<boolean> {
    return this.#debugger.close(index);
  }

  revoked(): readonly string[] {
    return this.#params.revokes.ids();
  }

  revokedTimes(): ReadonlyMap<string, number> {
    return this.#params.revokes.times();
  }

  learnRevoked(helloRevoked: unknown): void {
    this.#params.revokes.learn(helloRevoked);
  }

  tasks(): readonly TaskInfo[] {
    const { pool, consumer } = this.#params;
    return [...pool.tasks.values()].map((offer) => ({
      name: offer.name,
      rate_limit: consumer.rateLimits.limits.get(offer.name) ?? null,
      acks_late: offer.acksLate,
      acks_on_failure_or_timeout: offer.acksOnFailureOrTimeout,
      reject_on_worker_lost: offer.rejectOnWorkerLost,
      ignore_result: offer.ignoreResult,
      track_started: offer.trackStarted,
      send_events: offer.sendEvents ?? true,
      store_errors_even_if_ignored: offer.storeErrorsEvenIfIgnored,
      max_retries: offer.maxRetries ?? null,
      default_retry_delay: offer.defaultRetryDelay ?? null,
      time_limit: offer.timeLimit ?? null,
      soft_time_limit: offer.softTimeLimit ?? null,
    }));
  }

  stats(): Readonly<Record<string, unknown>> {
    const { config, consumer, pool } = this.#params;
    const { settings } = config;
    return {
      total: Object.fromEntries(this.#params.settler.totals),
      pid: process.pid,
      clock: String(this.clock.value),
      uptime: Math.floor((performance.now() - this.#startedAtMs) / 1000),
      pool: poolInfo({
        pool,
        slots: pool.size * this.#params.names.pool.slots,
        maxTasksPerChild: settings.worker_max_tasks_per_child,
        fair: settings.worker_optimization === 'fair',
        softSeconds: settings.task_soft_time_limit,
        hardSeconds: settings.task_time_limit,
      }),
      ...(pool.autoscaler === null ? null : { autoscaler: pool.autoscaler.info }),
      broker: brokerInfo(settings),
      prefetch_count: consumer.prefetch,
      rusage: resourceUsage(),
    };
  }

  activeQueues(): readonly Readonly<Record<string, unknown>>[] {
    const { queues = [], refusedQueues = [] } = this.#params.consumer.subscription ?? {};
    const names = queues.filter((name) => !refusedQueues.includes(name));
    return names.map((name) => queueInfo(this.#queues.get(name) ?? { name }));
  }

  conf(withDefaults: boolean): Readonly<Record<string, unknown>> {
    return shownConfig(this.#params.config, withDefaults);
  }

  queryTask(ids: readonly string[]): Readonly<Record<string, readonly [string, RequestInfo]>> {
    const wanted = new Set(ids);
    const found: Record<string, readonly [string, RequestInfo]> = {};
    for (const { request, job } of this.#params.consumer.held) {
      if (!wanted.has(request.header.id) || request.state === 'settled') continue;
      const state = request.state === 'active' && !job.inChild ? 'ready' : request.state;
      found[request.header.id] = [state, requestInfo(request, this.nodeName, false)];
    }
    return found;
  }

  report(): string {
    const { config, broker } = this.#params;
    return bugReportText({ ...bugReport(() => config), transport: broker.displayUrl });
  }

  rssBytes(): number {
    return process.memoryUsage.rss();
  }

  heapReport(samples: number): string {
    const { rss, heapUsed, external } = process.memoryUsage();
    const megabytes = (bytes: number): string => `${(bytes / 1048576).toFixed(3)}MB`;
    const spaces = getHeapSpaceStatistics()
      .sort((a, b) => b.space_used_size - a.space_used_size)
      .slice(0, samples)
      .map(({ space_name: name, space_used_size: used, space_size: size }) => `  ${name}: ${megabytes(used)} of ${megabytes(size)}`);
    return `- rss: ${megabytes(rss)}\n- heap: ${megabytes(heapUsed)}, outside: ${megabytes(external)}\n${spaces.join('\n')}\n`;
  }

  heapSnapshot(): string {
    return writeHeapSnapshot(join(process.cwd(), `umbel-${process.pid}-${Date.now()}.heapsnapshot`));
  }

  revoke(ids: readonly string[], signal: string | null): RevokeOutcome {
    return this.#revoked(() => this.#params.revokes.revoke(ids, signal === null ? {} : { terminate: true, signal: numberOrName(signal) }));
  }

  revokeByStampedHeaders(headers: Readonly<Record<string, readonly string[]>>, signal: string | null): RevokeOutcome {
    return this.#revoked(() =>
      this.#params.revokes.revokeByStampedHeaders(headers, signal === null ? {} : { terminate: true, signal: numberOrName(signal) }),
    );
  }

  rateLimit(taskName: string, rate: string | number | null): TaskChange {
    const { pool, consumer, log } = this.#params;
    if (perSecond(rate ?? 0) === null) throw new CommandFailure('ValueError', `could not convert string to float: '${rate}'`);
    if (!pool.tasks.has(taskName)) {
      log.error('control.unknown-task', `Rate limit attempt for unknown task ${taskName}`);
      return 'unknown';
    }
    consumer.rateLimits.setLimit(taskName, rate ?? 0);
    return 'done';
  }

  timeLimit(taskName: string, hardSeconds: number | null, softSeconds: number | null): TaskChange | 'soft-too-late' {
    const { pool, log } = this.#params;
    if (!pool.tasks.has(taskName)) {
      log.error('control.unknown-task', `Change time limit attempt for unknown task ${taskName}`);
      return 'unknown';
    }
    pool.changeTimeLimit(taskName, { hardSeconds, softSeconds });
    log.info(
      'control.time-limit',
      `New time limits for tasks of type ${taskName}: soft=${softSeconds ?? 'None'} hard=${hardSeconds ?? 'None'}`,
    );
    // With what the worker says where the command says nothing.
    const limit = pool.timeLimitOf(taskName);
    if (!softComesTooLate(limit)) return 'done';
    const text = `a soft time limit must be below the hard one, or the child is killed first: got ${limit.softSeconds} s and ${limit.hardSeconds} s for ${taskName}`;
    log.warning('task.soft-limit-too-late', text, { taskNames: [taskName] });
    return 'soft-too-late';
  }

  async addConsumer({ queue: name, exchange, exchangeType, routingKey }: ConsumerOptions): Promise<void> {
    const { broker, consumer, names, log } = this.#params;
    if (!isExchangeType(exchangeType))
      throw new CommandFailure('ValueError', `exchange_type must be direct, topic, fanout or headers, got '${exchangeType}'`);
    const { subscription } = consumer;
    if (subscription === null) throw new CommandFailure('RuntimeError', 'the worker is starting or stopping');
    const isTaken = (queue: string): boolean => subscription.queues.includes(queue) && subscription.refusedQueues?.includes(queue) !== true;
    if (isTaken(name)) return;
    const known = exchange === null && routingKey === null ? names.queueTable.find(name) : { name };
    const queue: TaskQueue =
      exchange === null && routingKey === null
        ? known
        : { ...known, exchange: exchange ?? name, exchangeType, routingKey: routingKey ?? name };
    // It was called by its alias.
    if (isTaken(queue.name)) return;
    await broker.declareQueue(queue);
    await subscription.addQueue(queue.name);
    this.#queues.set(queue.name, queue);
    log.info('control.add-consumer', `Started consuming from ${name}`);
  }

  /** By its name, or as `-Q` and routes call it. */
  async cancelConsumer(name: string): Promise<void> {
    const { subscription } = this.#params.consumer;
    if (subscription === null) throw new CommandFailure('RuntimeError', 'the worker is starting or stopping');
    const { queues } = subscription;
    const queue = queues.includes(name) ? name : queues.find((one) => this.#queues.get(one)?.alias === name);
    if (queue === undefined) return;
    await subscription.cancelQueue(queue);
    this.#params.log.info('control.cancel-consumer', `No longer consuming from ${name}`);
  }

  poolGrow(count: number): void {
    this.#resize('pool_grow', () => this.#params.pool.grow(count));
  }

  poolShrink(count: number): void {
    this.#resize('pool_shrink', () => this.#params.pool.shrink(count));
  }

  poolRestart({ modules }: { readonly modules: readonly string[] | null }): void {
    if (!this.#params.config.settings.worker_pool_restarts) throw new CommandFailure('ValueError', 'Pool restarts not enabled');
    if (modules !== null && modules.length > 0)
      throw new CommandFailure(
        'ValueError',
        `the modules of a worker are those of worker.tasks, which are all loaded anew, got ${modules.join(', ')}`,
      );
    this.#allowed(() => this.#params.pool.restart());
  }

  autoscale(max: number | null, min: number | null): { readonly max: number; readonly min: number } {
    const { autoscaler } = this.#params.pool;
    if (autoscaler === null) throw new CommandFailure('ValueError', 'Autoscale not enabled');
    return this.#allowed(() => autoscaler.update(max, min));
  }

  shutdown(message: string): void {
    this.#params.log.warning('control.shutdown', message);
    // The answer on the socket goes out first: a worker that still starts ends at once.
    setImmediate(() => this.#params.stop(message));
  }

  heartbeat(): void {
    this.#params.monitoring.beat();
  }

  enableEvents(): EventsSwitch {
    return this.#params.monitoring.switchOn();
  }

  disableEvents(): EventsSwitch {
    return this.#params.monitoring.switchOff();
  }

  election(id: string, topic: string, action: unknown): void {
    this.#params.monitoring.neighbours.election(id, topic, action);
  }

  #resize(method: string, change: () => void): void {
    const { consumer, pool, log } = this.#params;
    if (pool.autoscaler !== null)
      throw new CommandFailure(null, `${method} is not supported with autoscale. Adjust autoscale range instead.`);
    this.#allowed(change);
    consumer.poolResized();
    log.info('pool.resized', `pool: ${pool.size} ${pool.size === 1 ? 'child' : 'children'}`, { size: pool.size });
  }

  #revoked(revoke: () => string[]): RevokeOutcome {
    return { terminated: this.#allowed(revoke) };
  }

  /** What is wrong with a value, or cannot be done by this pool, is the caller's to hear. */
  #allowed<T>(change: () => T): T {
    try {
      return change();
    } catch (error) {
      if (!(error instanceof UmbelError)) throw error;
      throw new CommandFailure(error.code === 'NOT_SUPPORTED' ? 'NotImplementedError' : 'ValueError', error.message);
    }
  }
}

function numberOrName(signal: string): string | number {
  return /^\d+$/.test(signal) ? Number(signal) : signal;
}

function isExchangeType(type: string): type is 'direct' | 'topic' | 'fanout' | 'headers' {
  return type === 'direct' || type === 'topic' || type === 'fanout' || type === 'headers';
}
