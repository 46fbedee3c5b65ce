/**
 * A worker: where everything is put together, started, told by signals what to do, and stopped.
 *
 * Owns the order of starting and stopping, the signal handlers and the exit status. The parts know nothing of each other
 * beyond what is handed to them here.
 *
 * State (one writer: #enter):
 *
 *   new ──start──► running ──warm──► stopping(warm) ──► stopped
 *                     └──────cold──► stopping(cold) ──► stopped
 *                                        ▲ a warm stop becomes cold when asked again or out of time
 *
 * Start: signs of life → pidfile → reaper → statedb → pool → socket and probes → broker → backend → producer → events → mingle → consumer → gossip → heartbeat → its watch → remote control → READY; stop in the
 * reverse order. The pool goes first, because what it offers decides what may be consumed; the consumer comes after all that it needs.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { Broker } from '../broker/broker.ts';
import type { Config } from '../config/config.ts';
import { Consumer } from '../consumer/consumer.ts';
import { ConsumptionWatch } from '../consumer/consumption-watch.ts';
import { answerAsks } from '../consumer/parent-asks.ts';
import type { Request } from '../consumer/request.ts';
import { RevokedTasks } from '../consumer/revoked-tasks.ts';
import { Revokes } from '../consumer/revokes.ts';
import { Settler } from '../consumer/settle.ts';
import { exitStatus, messageOf, type UmbelError } from '../errors.ts';
import { BootOrder } from '../lifecycle/component.ts';
import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { compileForTasks } from '../os/compile-for-tasks.ts';
import { lockPath } from '../os/file-lock.ts';
import { toggleInspector } from '../os/inspector-switch.ts';
import { setProcessTitle } from '../os/process-title.ts';
import { Reaper } from '../os/reaper.ts';
import { reexec } from '../os/reexec.ts';
import { createSdNotify } from '../os/sd-notify.ts';
import { listenSignals, type ReceivedSignal, type SignalListener } from '../os/signals.ts';
import { ChildPool, stopGraceMs } from '../pool/child-pool.ts';
import { Producer } from '../producer/producer.ts';
import { StateDb } from '../statedb/state-db.ts';
import { systemClock } from '../std/clock.ts';
import { workerBanner } from './banner.ts';
import { brokerComponent } from './broker-component.ts';
import { dump } from './dump.ts';
import { hardStop } from './hard-stop.ts';
import { Monitoring, type Work } from './monitoring.ts';
import type { NodeState } from './node-state.ts';
import { configuredConnections } from './open-client.ts';
import { operation } from './operation.ts';
import { PidfileComponent } from './pidfile-component.ts';
import { poolKind } from './pool-shape.ts';
import { routingParams } from './routing-params.ts';
import { setAside } from './set-aside.ts';
import { Shutdown } from './shutdown.ts';
import { sayNoTasks, sayUnused } from './task-annotations.ts';
import { tryModules } from './try-modules.ts';
import { autoscaleParams, childSettings, recyclingParams, type WorkerNames, workerNames } from './worker-params.ts';

export interface WorkerNodeParams {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  /** Reads the configuration anew; throws when it is bad. For HUP. */
  reloadConfig(): Config;
  /** Before the line that says that it is ready, as Celery has it. */
  onBanner(banner: string): void;
  /** What it has said until then is where it belongs. */
  onReady(): void;
}

/** What settling, ending children and giving back may take beyond the time of the tasks. */
const stuckGraceMs = 30_000;

/** How a stop ends: with a status, or in a new program under the same pid. */
type Ending = { readonly kind: 'exit'; readonly status: number } | { readonly kind: 'restart' };

export class WorkerNode {
  readonly #params: WorkerNodeParams;
  readonly #names: WorkerNames;
  readonly #log: RootLogger;
  readonly #broker: Broker;
  readonly #backend: ResultBackend | null;
  readonly #pool: ChildPool;
  readonly #settler: Settler;
  readonly #consumer: Consumer;
  readonly #boot: BootOrder;
  readonly #notify = createSdNotify();
  #signals: SignalListener | null = null;
  readonly #pidfile: PidfileComponent;
  /** What remote control will use. */
  readonly revokes: Revokes;
  #state: NodeState = 'new';
  /** Something that cannot be recovered from has been said. */
  #hasFailed = false;
  /** Between SIGTSTP and SIGCONT. */
  #isQuiet = false;
  readonly #shutdown: Shutdown;
  #ended: ((ending: Ending) => void) | null = null;
  /** Where the stop in progress leads. Written by #stop. */
  #ending: Ending | null = null;
  /** HUP came while starting. Written by #tryRestart. */
  #restartWanted = false;
  #tryingRestart = false;

  /** Throws what is wrong with names, files or URLs. Nothing is started. */
  constructor(params: WorkerNodeParams) {
    this.#params = params;
    const { config } = params;
    const { settings } = config;
    this.#names = workerNames(config);
    const { nodeName, queues, pool, logFile } = this.#names;
    this.#log = createLogger({
      level: settings.worker_loglevel,
      format: settings.worker_log_format,
      ...(settings.worker_log_color === null ? null : { color: settings.worker_log_color }),
      processName: 'MainProcess',
      sink: logFile === null ? 'stderr' : { path: logFile, where: config.origin('worker_logfile').text },
    });
    const log = this.#log;
    ({ broker: this.#broker, backend: this.#backend } = configuredConnections(config, params.env, log, nodeName));
    const { worker_revokes_max: maxRevoked, worker_revoke_expires: maxAgeSeconds } = settings;
    const { stateDb: path, pidfile } = this.#names;
    const stateDb = new StateDb({ path, log, lock: lockPath, maxRevoked, maxAgeMs: maxAgeSeconds * 1000 });
    const revoked = new RevokedTasks(stateDb);
    this.#pidfile = new PidfileComponent({ path: pidfile, log });
    const producer = new Producer({ broker: this.#broker, ...routingParams(settings, this.#names.queueTable) });
    const work = (): Work => ({ active: this.#consumer.active.length, totals: this.#settler.totals });
    const monitoring = new Monitoring({ settings, nodeName, broker: this.#broker, backend: this.#backend, producer, stateDb, log, work });
    const aside = setAside(config, this.#names, this.#broker, log);
    this.#settler = new Settler({
      broker: this.#broker,
      backend: this.#backend,
      producer,
      poison: aside.poison,
      nodeName,
      resultExtended: settings.result_extended,
      events: monitoring,
      log,
      revoked,
      onSettled: (request) => this.#consumer.onSettled(request),
    });
    const kind = poolKind(config, log);
    this.#pool = new ChildPool({
      concurrency: pool.children,
      kind,
      settingsFor: (index) => childSettings(config, this.#names, index, params.env),
      childConcurrency: pool.slots,
      timeLimit: { hardSeconds: settings.task_time_limit, softSeconds: settings.task_soft_time_limit },
      fair: settings.worker_optimization === 'fair',
      recycling: recyclingParams(config, kind),
      autoscale: autoscaleParams(config, kind),
      heldUntilMs: () => this.#consumer.heldUntilMs,
      startTimeoutMs: settings.worker_proc_alive_timeout * 1000,
      stopGraceMs: stopGraceMs + settings.worker_process_shutdown_timeout * 1000,
      maxStartFailures: settings.worker_max_start_failures,
      log,
      childLog: (index) => log.as({ processName: settings.worker_pool === 'solo' ? 'MainProcess' : `PoolChild-${index}`, voice: 'task' }),
      publish: answerAsks({ producer, backend: this.#backend, events: monitoring }),
      storeState: (job, meta, metaJson) => this.#settler.storeState(job.listener as Request, meta.state, metaJson),
      onFatal: (error) => this.#fatal(error),
    });
    this.#consumer = new Consumer({
      broker: this.#broker,
      pool: this.#pool,
      settler: this.#settler,
      queues,
      childConcurrency: pool.slots,
      prefetchMultiplier: settings.worker_prefetch_multiplier,
      adaptivePrefetch: settings.worker_optimization !== 'fair' && config.origin('worker_prefetch_multiplier').kind === 'default',
      exactPrefetch: settings.worker_disable_prefetch,
      acceptContent: settings.accept_content,
      rateLimitsDisabled: settings.worker_disable_rate_limits,
      rateLimitReserve: settings.worker_rate_limit_reserve,
      cancelOnConnectionLoss: settings.worker_cancel_long_running_tasks_on_connection_loss,
      unknownTasks: aside.unknownTasks(() => this.#settler),
      isRevoked: (task) => revoked.has(task),
      suspicion: aside.poison,
      log,
    });
    this.revokes = new Revokes({ state: stateDb, consumer: this.#consumer, pool: this.#pool, log });
    this.#shutdown = new Shutdown({
      broker: this.#broker,
      consumer: this.#consumer,
      pool: this.#pool,
      settler: this.#settler,
      log,
      warmTimeoutMs: settings.worker_shutdown_timeout === null ? null : settings.worker_shutdown_timeout * 1000,
      softTimeoutMs: settings.worker_soft_shutdown_timeout * 1000,
      softOnIdle: settings.worker_enable_soft_shutdown_on_idle,
      clock: systemClock,
    });
    const reaper = new Reaper({ log, isOwnChild: (pid) => this.#pool.pids.includes(pid) });
    const watch = new ConsumptionWatch({
      broker: this.#broker,
      subscription: () => this.#consumer.subscription,
      hasFreeSlot: () => this.#pool.jobCount < this.#pool.size * pool.slots,
      intervalMs: settings.worker_consumption_check_interval * 1000,
      limit: settings.worker_consumption_check_limit,
      log,
      onStuck: (error) => this.#stuck(error),
    });
    const operated = operation({
      config,
      names: this.#names,
      env: params.env,
      broker: this.#broker,
      consumer: this.#consumer,
      pool: this.#pool,
      revokes: this.revokes,
      settler: this.#settler,
      monitoring,
      log,
      notify: this.#notify,
      state: () => this.#state,
      isStalled: () => watch.stalled,
      isHelpless: () => watch.helpless,
      isQuiet: () => this.#isQuiet,
      stop: () => void this.#stop('warm', { kind: 'exit', status: exitStatus.ok }),
    });
    this.#boot = new BootOrder([
      ...operated.supervised,
      this.#pidfile,
      reaper,
      stateDb,
      this.#pool,
      ...operated.local,
      brokerComponent({
        broker: this.#broker,
        // A broadcast queue is new.
        purge: settings.worker_purge ? queues.filter(({ broadcast }) => broadcast !== true) : [],
        log,
        onGivenUp: (error) => {
          // As in Celery what runs is finished: who acknowledges early has no second try.
          if (this.#state === 'running') this.#fatal(error, 'warm');
        },
      }),
      { name: 'backend', start: async () => this.#backend?.start(), stop: async () => this.#backend?.stop() },
      producer,
      aside.component,
      ...monitoring.beforeConsumer(this.revokes),
      this.#consumer,
      ...monitoring.afterConsumer,
      watch,
      ...operated.remote,
    ]);
  }

  /** Start, work, stop. Resolves to the exit status; never resolves when the worker starts again in place. */
  async run(): Promise<number> {
    const ended = new Promise<Ending>((resolve) => {
      this.#ended = resolve;
    });
    compileForTasks();
    setProcessTitle(this.#names.nodeName, 'MainProcess');
    this.#listen();
    try {
      await this.#boot.start();
      this.#ready();
      const ending = await ended;
      if (ending.kind === 'exit') return ending.status;
      return this.#restart();
    } finally {
      this.#signals?.close();
      this.#pidfile.release();
      this.#log.close();
    }
  }

  #ready(): void {
    if (this.#state === 'new') this.#enter('running');
    const { settings } = this.#params.config;
    this.#params.onBanner(workerBanner({ settings, names: this.#names, pool: this.#pool, broker: this.#broker, backend: this.#backend }));
    this.#log.info('worker.ready', `${this.#names.nodeName} ready.`, { pid: process.pid, concurrency: this.#names.pool.concurrency });
    sayNoTasks(this.#pool.tasks, this.#names.taskPaths, this.#log);
    sayUnused(settings.task_annotations, this.#pool.tasks, this.#log);
    this.#log.flushSync();
    this.#notify.ready(`${this.#names.nodeName} ready`);
    this.#params.onReady();
    if (this.#restartWanted) void this.#tryRestart();
  }

  #listen(): void {
    const stop = (mode: 'warm' | 'cold', received: ReceivedSignal): void =>
      void this.#stop(mode, { kind: 'exit', status: received.exitStatus ?? 0 });
    this.#signals = listenSignals({
      env: this.#params.env,
      handlers: {
        // While a cold stop still gives tasks their time, Ctrl-C ends that.
        warm: (received) => void ((received.signal === 'SIGINT' && this.#shutdown.endSoftWindow()) || stop('warm', received)),
        cold: (received) => stop('cold', received),
        hard: () => void (this.#shutdown.endSoftWindow() || this.#hardStop('killed by request', exitStatus.failure)),
        restart: () => void this.#tryRestart(),
        dump: () => void dump({ log: this.#log, pool: this.#pool, consumer: this.#consumer, state: this.#state }),
        inspect: () => toggleInspector(this.#params.config.settings.worker_enable_inspector, this.#log),
        grow: () => this.#resize(1),
        shrink: () => this.#resize(-1),
        quiet: () => this.#quiet(),
        resume: () => this.#resume(),
      },
    });
  }

  /** One stop at a time; asked for a cold one, a warm one in progress stops waiting. */
  async #stop(mode: 'warm' | 'cold', ending: Ending): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') {
      if (ending.kind === 'exit' && this.#ending?.kind === 'restart') {
        this.#log.warning('worker.stop', 'worker: asked to stop, it does not start again');
        this.#ending = ending;
        this.#notify.stopping();
      }
      if (mode === 'cold') this.#shutdown.hurry();
      return;
    }
    if (this.#state === 'new') {
      // Still starting: what has started is stopped by the end of the process; nothing has been taken from the broker.
      this.#enter('stopping');
      this.#log.warning('worker.stop', 'worker: stopped while starting');
      await this.#boot.stop().catch(() => {});
      this.#pidfile.release();
      this.#log.close();
      process.exit(ending.kind === 'exit' ? ending.status : exitStatus.ok);
    }
    this.#enter('stopping');
    this.#ending = ending;
    if (ending.kind === 'exit') this.#notify.stopping();
    if (mode === 'warm' && ending.kind === 'exit' && ending.status !== 0 && !this.#hasFailed) {
      this.#log.warning('worker.stop-hint', 'worker: Hitting Ctrl+C again will initiate cold shutdown, terminating all running tasks!');
    }
    await this.#shutdown.run(mode);
    await this.#boot
      .stop()
      .catch((error: unknown) => this.#log.error('worker.stop-failed', `a part of the worker did not stop cleanly: ${messageOf(error)}`));
    this.#enter('stopped');
    const { received } = this.#consumer;
    const counts = { received, ...this.#settler.counts };
    this.#log.info(
      'worker.stopped',
      `${this.#names.nodeName} stopped: ${received} received, ${counts.succeeded} succeeded, ${counts.failed} failed, ${counts.retried} retried, ${counts.returned} given back, ${counts.lost} ended with their child`,
      counts,
    );
    this.#ended?.(this.#ending);
  }

  #hardStop(why: string, status: number): never {
    hardStop({ why, status, pids: this.#pool.pids, pidfile: this.#pidfile, log: this.#log });
  }

  /** HUP: look before leaping. A bad configuration or a module that does not load is refused, and the worker carries on. */
  async #tryRestart(): Promise<void> {
    // What is read while starting may be older than what the signal is about.
    if (this.#state === 'new') this.#restartWanted = true;
    if (this.#state !== 'running' || this.#tryingRestart) return;
    this.#tryingRestart = true;
    try {
      const config = this.#params.reloadConfig();
      await tryModules(config, this.#params.env, this.#log);
    } catch (error) {
      this.#log.error('worker.restart-refused', `restart refused, the worker carries on as it was: ${messageOf(error)}`);
      return;
    } finally {
      this.#tryingRestart = false;
    }
    this.#notify.reloading();
    this.#log.warning('worker.restart', 'Restarting umbel worker in place');
    await this.#stop('warm', { kind: 'restart' });
  }

  /** Becomes the new program. Only returns by throwing. */
  #restart(): never {
    // The handlers stay to the last: without them a second HUP would end the process.
    this.#pidfile.keep();
    reexec({ beforeExec: () => this.#log.close(), env: this.#params.env });
  }

  #quiet(): void {
    if (this.#ignored('SIGTSTP')) return;
    this.#isQuiet = true;
    this.#consumer.pause();
    this.#log.warning('worker.quiet', 'worker: quiet, no more messages are taken until SIGCONT');
  }

  /** systemd and timeout(1) send SIGCONT after every SIGTERM, so one that changes nothing is not worth a line. */
  #resume(): void {
    if (!this.#isQuiet || this.#state !== 'running') return;
    this.#isQuiet = false;
    this.#consumer.resume();
    this.#log.info('worker.resumed', 'worker: taking messages');
  }

  /** Signals that mean something only between start and stop. */
  #ignored(signal: string): boolean {
    if (this.#state === 'running') return false;
    const doing = this.#state === 'new' ? 'starting' : 'stopping';
    this.#log.warning('worker.signal-ignored', `${signal} is ignored: the worker is ${doing}`, { signal });
    return true;
  }

  #resize(by: 1 | -1): void {
    if (this.#ignored(by === 1 ? 'SIGTTIN' : 'SIGTTOU')) return;
    try {
      if (by === 1) this.#pool.grow(1);
      else this.#pool.shrink(1);
    } catch (error) {
      this.#log.warning('pool.not-resized', messageOf(error));
      return;
    }
    this.#consumer.poolResized();
    this.#log.info('pool.resized', `pool: ${this.#pool.size} ${this.#pool.size === 1 ? 'child' : 'children'}`, { size: this.#pool.size });
  }

  /** What runs gets its time; then it ends, whether the broker takes the rest back or not. */
  #stuck(error: UmbelError): void {
    const { worker_consumption_exit_timeout: exitTimeout, worker_soft_shutdown_timeout: softTimeout } = this.#params.config.settings;
    const end = (): never => this.#hardStop(`not stopped within ${exitTimeout}s and its grace`, error.exitStatus);
    systemClock.setTimer(() => this.#shutdown.hurry(), exitTimeout * 1000, { ref: false });
    systemClock.setTimer(end, (exitTimeout + softTimeout) * 1000 + stuckGraceMs, { ref: false });
    this.#fatal(error, 'warm');
  }

  #fatal(error: UmbelError, mode: 'warm' | 'cold' = 'cold'): void {
    // The pool says it again for every child that fails after it.
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#log.critical('worker.fatal', `Unrecoverable error: ${error.message}`, { code: error.code });
    void this.#stop(mode, { kind: 'exit', status: error.exitStatus });
  }

  #enter(state: NodeState): void {
    this.#state = state;
  }
}
