/**
 * A pool child: loads the task modules, takes jobs from its port and runs them. The parent's view is pool/child-handle.ts.
 *
 * Owns the jobs waiting here and how many run at a time. One job's run is child/run-task.ts; what the child lives in (a process, a
 * thread, the worker itself) is its home (child/child-home.ts).
 *
 * Two rules hold the supervision together: `started` is out of the child's hands before the first line of task code runs, and no child
 * outlives its parent. A third keeps a task from running where it no longer is ours: none is started after the time its job carries,
 * looked at right before. Such jobs go back unstarted.
 */
import { messageOf, UmbelError } from '../errors.ts';
import {
  type ChildSettings,
  type DumpMeta,
  type LogMeta,
  type PublishReply,
  type ReadyMeta,
  type RunMeta,
  type SoftLimitMeta,
  type StartFailure,
  toChild,
  toParent,
} from '../ipc/exchange.ts';
import { FrameReader } from '../ipc/frame.ts';
import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { ChurnMap } from '../std/churn-map.ts';
import { systemClock } from '../std/clock.ts';
import { type LogLevel, levelRank } from '../std/log-level.ts';
import { quickStrings } from '../std/quick-strings.ts';
import type { Retry } from '../task/control-flow.ts';
import { loadTaskModules } from '../task/loader.ts';
import { hasHooks } from '../task/process-hooks.ts';
import { setPublisher } from '../task/publisher.ts';
import { type TaskDefinition, TaskRegistry } from '../task/registry.ts';
import { SoftTimeLimitExceeded } from '../task/soft-time-limit.ts';
import { currentTask, type TaskLogLevel } from '../task/task-context.ts';
import { annotate } from './annotate.ts';
import { addBuiltinTasks } from './builtin-tasks.ts';
import type { ChildHome } from './child-home.ts';
import { ChildPort } from './child-port.ts';
import { embedApi } from './embed-api.ts';
import { makeWaitsInterruptible } from './interruptible-waits.ts';
import { JobHost } from './job-host.ts';
import { loadWorkerModules } from './load-worker-modules.ts';
import { OutputCapture } from './output-capture.ts';
import { PortPublisher } from './port-publisher.ts';
import { endProcess, startProcess } from './process-life.ts';
import { retryMessage } from './retry-message.ts';
import { fail, isPrepared, type OutgoingMessage, type PreparedTask, prepare, preparePlain, run, type TaskEnd } from './run-task.ts';
import { tracebackOf } from './traceback.ts';
import { uncaughtWhileLoading } from './uncaught-start.ts';

/** Running short tasks back to back, look at the port at least this often: aborts and recalls come that way. */
const breathAfterMs = 5;
/** With it an envelope of kombu's JSON begins, and no frame of AMQP. */
const openingBrace = 0x7b;

interface WaitingJob {
  readonly id: number;
  /** JSON text of a RunMeta, or '' and the body is a message in the plain form, as text. */
  readonly meta: string;
  readonly body: Buffer | string;
  readonly startBeforeMs: number;
}

interface RunningJob {
  readonly task: PreparedTask;
  readonly host: JobHost;
  readonly startedAtMs: number;
}

export class ChildRuntime {
  readonly #home: ChildHome;
  readonly #port: ChildPort;
  #settings: ChildSettings | null = null;
  #registry = new TaskRegistry();
  #publisher: PortPublisher | null = null;
  #log: RootLogger | null = null;
  #capture: OutputCapture | null = null;
  #waiting: WaitingJob[] = [];
  #waitingHead = 0;
  readonly #running = new ChurnMap<number, RunningJob>();
  #ready = false;
  #startFailureSaid = false;
  #stopping = false;
  /** Nobody hears any more; where the home is shared, this process goes on. */
  #over = false;
  #leaving = false;
  #pumpScheduled = false;

  constructor(home: ChildHome) {
    this.#home = home;
    const reader = new FrameReader((type, id, number, meta, payload) => this.#onFrame(type, id, number, meta, payload));
    const carrier = home.open({
      onBytes: (bytes) => {
        reader.push(bytes);
        if (this.#waitingHead === this.#waiting.length) return;
        // Within the worker itself the parent's turn comes first.
        if (home.sharedWithParent) this.#schedulePump();
        else if (this.#ready && !this.#pumpScheduled) this.#pump();
      },
      onUncaught: (error) => this.#crash(error),
      onExit: () => {
        this.#over = true;
        this.#capture?.close();
        this.#port.flush();
      },
    });
    this.#port = new ChildPort(carrier);
  }

  #onFrame(type: number, id: number, number: number, meta: string, payload: Buffer): void {
    switch (type) {
      case toChild.run:
        // The chunk the body lies in is shared with other frames; what waits long must not keep all of it.
        this.#waiting.push({
          id,
          meta,
          body: meta === '' ? payload.toString(payload[0] === openingBrace ? 'utf8' : 'latin1') : Buffer.from(payload),
          startBeforeMs: number,
        });
        return;
      case toChild.settings:
        void this.#configure(JSON.parse(meta) as ChildSettings);
        return;
      case toChild.abort:
        this.#running.get(id)?.host.abort(meta);
        return;
      case toChild.softLimit:
        this.#running.get(id)?.host.softLimit(JSON.parse(meta) as SoftLimitMeta);
        return;
      case toChild.recall: {
        const jobs = this.#waiting.slice(this.#waitingHead).map((job) => job.id);
        this.#waiting = [];
        this.#waitingHead = 0;
        this.#giveBack(jobs);
        return;
      }
      case toChild.published:
        this.#publisher?.onReply(id, JSON.parse(meta) as PublishReply);
        return;
      case toChild.stop:
        this.#stopping = true;
        this.#exitWhenIdle();
        return;
      case toChild.dump:
        this.#dump(id);
        return;
    }
  }

  async #configure(settings: ChildSettings): Promise<void> {
    this.#settings = settings;
    this.#home.settle(settings);
    try {
      if (settings.logFile !== null) {
        this.#log = createLogger({
          level: settings.logLevel,
          format: settings.logFormat,
          processName: `PoolChild-${settings.index}`,
          sink: { path: settings.logFile, where: 'worker.logfile' },
        });
      }
      if (settings.redirectStdouts) {
        this.#capture = new OutputCapture({
          level: settings.redirectStdoutsLevel,
          tasksOnly: this.#home.sharedWithParent,
          onLine: (level, line, task, stream) => this.#line(level, 'task.output', line, task?.name, task?.id, { stream }),
        });
      }
      this.#publisher = new PortPublisher(this.#port, settings, () => this.#registry);
      setPublisher(this.#publisher);
      embedApi();
      makeWaitsInterruptible();
      // A module that waits for something nobody does any more must not wait for the parent.
      this.#port.hold(false);
      this.#registry = await loadTaskModules(settings.taskPaths, settings.workdir, {
        timeoutMs: settings.loadTimeoutMs,
        ...(settings.compileCacheFolder === null ? null : { compileCacheFolder: settings.compileCacheFolder }),
        ...(settings.trial === undefined ? null : { onExit: (failure: UmbelError) => this.#sayStartFailed(failure) }),
      });
      if (settings.trial !== undefined) await loadWorkerModules(settings.trial);
      this.#port.hold(true);
      // What they import may have a class that inherits from String.
      quickStrings();
      const { askBackend: ask } = this.#publisher;
      addBuiltinTasks({ registry: this.#registry, ask, chordRetryIntervalSeconds: settings.chordRetryIntervalSeconds });
      await startProcess(settings);
      // By then a rejection that nobody catches has been heard of (#crash): a child that is to end at once must not be called ready.
      await new Promise((resolve) => setImmediate(resolve));
    } catch (error) {
      this.#startFailed(error);
      return;
    }
    if (this.#over) return;
    annotate(this.#registry, settings.annotations);
    const tasks = [...this.#registry.names()].map((name) => this.#offer(name, settings));
    const ready: ReadyMeta = { pid: process.pid, tasks };
    this.#port.send(toParent.ready, 0, performance.now(), JSON.stringify(ready), null);
    this.#port.flush();
    this.#ready = true;
    this.#schedulePump();
  }

  #offer(name: string, settings: ChildSettings): ReadyMeta['tasks'][number] {
    const { options } = this.#registry.get(name) as TaskDefinition;
    const defaults = settings.taskDefaults;
    return {
      name,
      acksLate: options.acksLate ?? defaults.acksLate,
      acksOnFailureOrTimeout: options.acksOnFailureOrTimeout ?? defaults.acksOnFailureOrTimeout,
      rejectOnWorkerLost: options.rejectOnWorkerLost ?? defaults.rejectOnWorkerLost,
      ignoreResult: options.ignoreResult ?? defaults.ignoreResult,
      storeErrorsEvenIfIgnored: options.storeErrorsEvenIfIgnored ?? defaults.storeErrorsEvenIfIgnored,
      trackStarted: options.trackStarted ?? defaults.trackStarted,
      rateLimit: options.rateLimit ?? defaults.rateLimit,
      timeLimit: options.timeLimit ?? null,
      softTimeLimit: options.softTimeLimit ?? null,
      maxRetries: options.maxRetries,
      defaultRetryDelay: options.defaultRetryDelay,
      sendEvents: options.sendEvents,
      takesError: options.errbackStyle === 'new',
    };
  }

  #startFailed(error: unknown): void {
    this.#sayStartFailed(error);
    this.#home.end(error instanceof UmbelError ? error.exitStatus : 70);
  }

  /** Once: what ends the process after it is not the reason. */
  #sayStartFailed(error: unknown): void {
    if (this.#startFailureSaid) return;
    this.#startFailureSaid = true;
    const failure: StartFailure =
      error instanceof UmbelError
        ? { code: error.code, message: error.message }
        : { code: 'CHILD_CANNOT_START', message: tracebackOf(error) };
    this.#port.send(toParent.startFailed, 0, 0, JSON.stringify(failure), null);
    this.#port.flush();
  }

  #schedulePump(): void {
    if (this.#pumpScheduled || !this.#ready) return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const settings = this.#settings;
    if (settings === null || this.#over) return;
    this.#port.gather(() => this.#startWaiting(settings));
    if (this.#stopping) this.#exitWhenIdle();
  }

  #startWaiting(settings: ChildSettings): void {
    const began = performance.now();
    const late: number[] = [];
    while (this.#waitingHead < this.#waiting.length && this.#running.size < settings.concurrency) {
      const job = this.#waiting[this.#waitingHead] as WaitingJob;
      this.#waitingHead += 1;
      if (!this.#start(job, settings)) late.push(job.id);
      if (performance.now() - began > breathAfterMs) {
        this.#schedulePump();
        break;
      }
    }
    if (this.#waitingHead === this.#waiting.length) {
      this.#waiting = [];
      this.#waitingHead = 0;
    }
    if (late.length > 0) this.#giveBack(late);
  }

  #giveBack(jobs: readonly number[]): void {
    this.#port.send(toParent.recalled, 0, 0, JSON.stringify(jobs), null);
  }

  /** False when it is too late for that. */
  #start(job: WaitingJob, settings: ChildSettings): boolean {
    const prepared =
      typeof job.body === 'string'
        ? preparePlain(job.body, this.#registry)
        : prepare(parseJson(job.meta) as RunMeta, job.body, this.#registry);
    if (!isPrepared(prepared)) {
      if (systemClock.monotonic() >= job.startBeforeMs) return false;
      this.#send(job.id, 0, prepared);
      return true;
    }
    if (!this.#port.sendBefore(toParent.started, job.id, Date.now() / 1000, job.startBeforeMs)) return false;
    const running: RunningJob = { task: prepared, host: new JobHost(this, job.id, prepared), startedAtMs: performance.now() };
    this.#running.set(job.id, running);
    if (this.#home.sharedWithParent) this.#runAfterParent(job.id, running, settings);
    else this.#run(job.id, running, settings);
    return true;
  }

  #run(id: number, { task, host, startedAtMs }: RunningJob, settings: ChildSettings): void {
    const end = run(task, settings, host);
    if (end instanceof Promise) {
      void end.then((settled) => {
        this.#end(id, startedAtMs, settled);
        this.#schedulePump();
      });
    } else this.#end(id, startedAtMs, end);
  }

  /** The parent gives out what it has to say at the end of a turn: it gets one for what a start means (an early acknowledgement). */
  #runAfterParent(id: number, running: RunningJob, settings: ChildSettings): void {
    const run = (): void => {
      if (this.#over) return;
      this.#run(id, running, settings);
      this.#schedulePump();
    };
    setImmediate(() => setImmediate(run));
  }

  #end(id: number, startedAtMs: number, end: TaskEnd): void {
    const running = this.#running.get(id);
    // It was given up before.
    if (running === undefined) return;
    this.#capture?.flush(running.task.header.id);
    running.host.over();
    this.#running.delete(id);
    // In whole microseconds, because people read it.
    this.#send(id, Math.round((performance.now() - startedAtMs) * 1000) / 1e6, end);
    if (this.#stopping) this.#exitWhenIdle();
  }

  #send(id: number, runtimeSeconds: number, end: TaskEnd): void {
    for (const followUp of end.followUps) this.#sendFollowUp(id, followUp);
    const meta = end.meta === null ? '' : JSON.stringify(end.meta);
    this.#port.send(end.kind === 'succeeded' ? toParent.succeeded : toParent.ended, id, runtimeSeconds, meta, end.resultJson);
  }

  #sendFollowUp(id: number, followUp: OutgoingMessage): void {
    this.#port.send(toParent.followUp, id, 0, encodeJson(followUp.meta), followUp.body);
  }

  #exitWhenIdle(): void {
    if (this.#leaving || this.#running.size > 0 || this.#waitingHead < this.#waiting.length) return;
    this.#leaving = true;
    const leave = (): void => {
      this.#log?.close();
      this.#port.close();
      this.#home.end(0);
    };
    if (this.#settings === null || !this.#ready || !hasHooks('shutdown')) leave();
    else void endProcess(this.#settings, (text) => this.#line('error', 'child.hook-failed', text, undefined, undefined, {})).then(leave);
  }

  #dump(request: number): void {
    const now = performance.now();
    const jobs = [...this.#running.values()].map(({ task, startedAtMs }) => ({
      taskName: task.header.task,
      taskId: task.header.id,
      runningMs: Math.round(now - startedAtMs),
    }));
    const dump: DumpMeta = { jobs, waiting: this.#waiting.length - this.#waitingHead };
    this.#port.send(toParent.dumped, request, 0, JSON.stringify(dump), null);
  }

  /** An error that no task can be blamed for: the state of this process is unknown, so it ends. Its tasks are lost. */
  #crash(error: unknown): void {
    if (error instanceof SoftTimeLimitExceeded) {
      this.#onStray(error);
      return;
    }
    if (this.#settings !== null && !this.#ready) {
      this.#startFailed(uncaughtWhileLoading(error, this.#settings.workdir));
      return;
    }
    // The context of whoever threw, where the runtime still knows it.
    const task = currentTask();
    this.#line(
      'critical',
      'child.uncaught',
      `uncaught error, this ${this.#home.noun} ends: ${messageOf(error)}\n${tracebackOf(error).trimEnd()}`,
      task?.name,
      task?.id,
      {},
    );
    this.#log?.flushSync();
    this.#port.flush();
    this.#home.end(1);
  }

  /** It went to code of the task that nobody waits for: the task itself has not been told yet. */
  #onStray(error: SoftTimeLimitExceeded): void {
    const running = [...this.#running.values()].find(({ host }) => host.interruption.error === error);
    running?.host.tellAgain();
    const { task: taskName, id } = running?.task.header ?? {};
    const text = 'its soft time limit was told to code that nobody waits for';
    this.#line('warning', 'task.soft-limit-stray', text, taskName, id, {});
  }

  /** The task cannot be told that its time is over, and nothing else would end it. What still waits of it ends with this child. */
  giveUp(id: number, error: SoftTimeLimitExceeded): void {
    const running = this.#running.get(id);
    if (running === undefined || this.#settings === null || this.#home.sharedWithParent) return;
    const end = fail(running.task, this.#settings, error);
    this.#end(id, running.startedAtMs, end.kind === 'ended' ? { ...end, meta: { ...end.meta, retire: true } } : end);
    this.#port.flush();
  }

  /** A line of task code, or about it. */
  taskLine(level: TaskLogLevel, text: string, taskName: string, taskId: string): void {
    this.#line(level, 'task.log', text, taskName, taskId, {});
  }

  async storeState(id: number, task: PreparedTask, state: string, metaJson: string): Promise<void> {
    await this.#publisher?.ask((request) => {
      this.#port.send(toParent.state, id, request, JSON.stringify({ taskId: task.header.id, state }), metaJson);
      this.#port.flush();
    });
  }

  async addToChord(groupId: string): Promise<void> {
    await this.#publisher?.askBackend({ ask: 'add-to-chord', groupId });
  }

  async sendEvent(type: string, fields: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#publisher?.askBackend({ ask: 'send-event', type, fields, pid: process.pid });
  }

  async sendRetry(task: PreparedTask, retry: Retry): Promise<void> {
    const { meta, body } = retryMessage(task, this.#settings as ChildSettings, retry);
    await this.#publisher?.publish(meta, body);
  }

  #line(
    level: LogLevel,
    event: string,
    message: string,
    taskName: string | undefined,
    taskId: string | undefined,
    fields: Pick<LogMeta, 'stream'>,
  ): void {
    const settings = this.#settings;
    if (settings !== null && levelRank[level] < levelRank[settings.logLevel]) return;
    const about = taskId === undefined || taskName === undefined ? {} : { taskId, taskName };
    // Out at once: what a task says last before it blocks or dies is what its author needs.
    if (this.#log !== null) {
      this.#log.as({ voice: 'task' }).log(level, event, message, { ...fields, ...about });
      this.#log.flushSync();
    } else {
      const meta: LogMeta = { level, event, message, ...about, ...fields };
      this.#port.send(toParent.log, 0, 0, JSON.stringify(meta), null);
      this.#port.flush();
    }
  }
}
