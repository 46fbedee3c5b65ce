/**
 * A pool child: loads the task modules, takes jobs from the pipe and runs them. The parent's view is pool/child-handle.ts.
 *
 * Owns the jobs waiting here and how many run at a time. One job's run is child/run-task.ts.
 *
 * Two rules hold the supervision together: `started` is in the kernel before the first line of task code runs, and the end of
 * the pipe from the parent ends this process and everything it has spawned. A third keeps a task from running where it no longer is
 * ours: none is started after the time its job carries, looked at right before. Such jobs go back unstarted.
 */
import { messageOf, UmbelError } from '../errors.ts';
import {
  type ChildSettings,
  type DumpMeta,
  type LogMeta,
  type PublishReply,
  type ReadyMeta,
  type RunMeta,
  type StartFailure,
  toChild,
  toParent,
} from '../ipc/exchange.ts';
import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { prepareForStack } from '../os/inspector-stack.ts';
import { dieWithParent } from '../os/parent-death.ts';
import { setProcessTitle } from '../os/process-title.ts';
import { ignoreGroupSignals } from '../os/signals.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { systemClock } from '../std/clock.ts';
import { type LogLevel, levelRank } from '../std/log-level.ts';
import { loadTaskModules } from '../task/loader.ts';
import { setPublisher } from '../task/publisher.ts';
import { type TaskDefinition, TaskRegistry } from '../task/registry.ts';
import { type ContextHost, currentTask, type TaskLogLevel } from '../task/task-context.ts';
import { embedApi } from './embed-api.ts';
import { OutputCapture } from './output-capture.ts';
import { ChildPipe, lifelineFd } from './pipe.ts';
import { PipePublisher } from './pipe-publisher.ts';
import { isPrepared, type OutgoingMessage, type PreparedTask, prepare, preparePlain, run, type TaskEnd } from './run-task.ts';
import { tracebackOf } from './traceback.ts';

/** Running short tasks back to back, look at the pipe at least this often: aborts and recalls come that way. */
const breathAfterMs = 5;
/** With it an envelope of kombu's JSON begins, and no frame of AMQP. */
const openingBrace = 0x7b;

interface WaitingJob {
  readonly id: number;
  /** JSON text of a RunMeta, or '' and the body is a message in the plain form: an envelope (text) or frames. */
  readonly meta: string;
  readonly body: Buffer | string;
  readonly startBeforeMs: number;
}

interface RunningJob {
  readonly task: PreparedTask;
  readonly host: JobHost;
  readonly startedAtMs: number;
}

/** Become a pool child. Returns at once; the process lives until the parent says stop or goes. */
export function startChild(): void {
  new ChildRuntime();
}

class ChildRuntime {
  readonly #pipe: ChildPipe;
  #settings: ChildSettings | null = null;
  #registry = new TaskRegistry();
  #publisher: PipePublisher | null = null;
  #log: RootLogger | null = null;
  #capture: OutputCapture | null = null;
  #waiting: WaitingJob[] = [];
  #waitingHead = 0;
  readonly #running = new Map<number, RunningJob>();
  #ready = false;
  #stopping = false;
  #pumpScheduled = false;

  constructor() {
    this.#pipe = new ChildPipe({
      onFrame: (type, id, number, meta, payload) => this.#onFrame(type, id, number, meta, payload),
      onEnd: () => endGroup(),
    });
    prepareForStack();
    ignoreGroupSignals();
    process.on('uncaughtException', (error) => this.#crash(error));
    // Task code may end the process: what it has printed before must not end with it.
    process.on('exit', () => {
      this.#capture?.flushAll();
      this.#pipe.flush();
    });
  }

  #onFrame(type: number, id: number, number: number, meta: string, payload: Buffer): void {
    switch (type) {
      case toChild.run:
        // The chunk the body lies in is shared with other frames; what waits long must not keep all of it.
        this.#waiting.push({
          id,
          meta,
          body: meta === '' && payload[0] === openingBrace ? payload.toString('utf8') : Buffer.from(payload),
          startBeforeMs: number,
        });
        this.#schedulePump();
        return;
      case toChild.settings:
        void this.#configure(JSON.parse(meta) as ChildSettings);
        return;
      case toChild.abort:
        this.#running.get(id)?.host.abort(meta);
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
    dieWithParent(settings.parentPid, lifelineFd);
    setProcessTitle(settings.nodeName, `PoolChild-${settings.index}`);
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
        this.#capture = new OutputCapture(settings.redirectStdoutsLevel, (level, line, task, stream) =>
          this.#line(level, 'task.output', line, task?.name, task?.id, { stream }),
        );
      }
      this.#publisher = new PipePublisher(this.#pipe, settings);
      setPublisher(this.#publisher);
      embedApi();
      // A module that waits for something nobody does any more must not wait for the pipe.
      this.#pipe.hold(false);
      this.#registry = await loadTaskModules(settings.taskPaths, settings.workdir, {
        timeoutMs: settings.loadTimeoutMs,
        ...(settings.compileCacheFolder === null ? null : { compileCacheFolder: settings.compileCacheFolder }),
      });
      this.#pipe.hold(true);
    } catch (error) {
      this.#startFailed(error);
      return;
    }
    const tasks = [...this.#registry.names()].map((name) => this.#offer(name, settings));
    const ready: ReadyMeta = { pid: process.pid, tasks };
    this.#pipe.send(toParent.ready, 0, performance.now(), JSON.stringify(ready), null);
    this.#pipe.flush();
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
    };
  }

  #startFailed(error: unknown): void {
    const failure: StartFailure =
      error instanceof UmbelError
        ? { code: error.code, message: error.message }
        : { code: 'CHILD_CANNOT_START', message: tracebackOf(error) };
    this.#pipe.send(toParent.startFailed, 0, 0, JSON.stringify(failure), null);
    this.#pipe.flush();
    process.exit(error instanceof UmbelError ? error.exitStatus : 70);
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
    if (settings === null) return;
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
    this.#pipe.flush();
    if (this.#stopping) this.#exitWhenIdle();
  }

  #giveBack(jobs: readonly number[]): void {
    this.#pipe.send(toParent.recalled, 0, 0, JSON.stringify(jobs), null);
  }

  /** False when it is too late for that. */
  #start(job: WaitingJob, settings: ChildSettings): boolean {
    const prepared =
      job.meta === '' || typeof job.body === 'string'
        ? preparePlain(job.body, this.#registry)
        : prepare(parseJson(job.meta) as RunMeta, job.body, this.#registry);
    if (!isPrepared(prepared)) {
      if (systemClock.monotonic() >= job.startBeforeMs) return false;
      this.#send(job.id, 0, prepared);
      return true;
    }
    if (!this.#pipe.sendBefore(toParent.started, job.id, Date.now() / 1000, job.startBeforeMs)) return false;
    const host = new JobHost(this, job.id, prepared);
    const startedAtMs = performance.now();
    this.#running.set(job.id, { task: prepared, host, startedAtMs });
    const end = run(prepared, settings, host);
    if (end instanceof Promise) {
      void end.then((settled) => {
        this.#end(job.id, startedAtMs, settled);
        this.#schedulePump();
      });
    } else this.#end(job.id, startedAtMs, end);
    return true;
  }

  #end(id: number, startedAtMs: number, end: TaskEnd): void {
    this.#capture?.flush(this.#running.get(id)?.task.header.id ?? '');
    this.#running.delete(id);
    // In whole microseconds, because people read it.
    this.#send(id, Math.round((performance.now() - startedAtMs) * 1000) / 1e6, end);
    if (this.#stopping) this.#exitWhenIdle();
  }

  #send(id: number, runtimeSeconds: number, end: TaskEnd): void {
    for (const followUp of end.followUps) this.#sendFollowUp(id, followUp);
    const meta = end.meta === null ? '' : JSON.stringify(end.meta);
    this.#pipe.send(end.kind === 'succeeded' ? toParent.succeeded : toParent.ended, id, runtimeSeconds, meta, end.resultJson);
  }

  #sendFollowUp(id: number, followUp: OutgoingMessage): void {
    this.#pipe.send(toParent.followUp, id, 0, encodeJson(followUp.meta), followUp.body);
  }

  #exitWhenIdle(): void {
    if (this.#running.size > 0 || this.#waitingHead < this.#waiting.length) return;
    this.#log?.close();
    this.#pipe.close();
    process.exit(0);
  }

  #dump(request: number): void {
    const now = performance.now();
    const jobs = [...this.#running.values()].map(({ task, startedAtMs }) => ({
      taskName: task.header.task,
      taskId: task.header.id,
      runningMs: Math.round(now - startedAtMs),
    }));
    const dump: DumpMeta = { jobs, waiting: this.#waiting.length - this.#waitingHead };
    this.#pipe.send(toParent.dumped, request, 0, JSON.stringify(dump), null);
  }

  /** An error that no task can be blamed for: the state of this process is unknown, so it ends. Its tasks are lost. */
  #crash(error: unknown): void {
    // The context of whoever threw, where the runtime still knows it.
    const task = currentTask();
    this.#line(
      'critical',
      'child.uncaught',
      `uncaught error, this child ends: ${messageOf(error)}\n${tracebackOf(error).trimEnd()}`,
      task?.name,
      task?.id,
      {},
    );
    this.#log?.flushSync();
    this.#pipe.flush();
    process.exit(1);
  }

  /** A line of task code, or about it. */
  taskLine(level: TaskLogLevel, text: string, taskName: string, taskId: string): void {
    this.#line(level, 'task.log', text, taskName, taskId, {});
  }

  async storeState(id: number, task: PreparedTask, state: string, metaJson: string): Promise<void> {
    await this.#publisher?.ask((request) => {
      this.#pipe.send(toParent.state, id, request, JSON.stringify({ taskId: task.header.id, state }), metaJson);
      this.#pipe.flush();
    });
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
      this.#pipe.send(toParent.log, 0, 0, JSON.stringify(meta), null);
      this.#pipe.flush();
    }
  }
}

/** What one run may ask of its child. */
class JobHost implements ContextHost {
  readonly #runtime: ChildRuntime;
  /** The job's. */
  readonly #id: number;
  readonly #task: PreparedTask;
  /** Made when the task first asks for its signal: most never do. */
  #controller: AbortController | null = null;
  #abortReason: string | null = null;

  constructor(runtime: ChildRuntime, id: number, task: PreparedTask) {
    this.#runtime = runtime;
    this.#id = id;
    this.#task = task;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#abortReason !== null && !this.#controller.signal.aborted) this.#controller.abort(new Error(this.#abortReason));
    return this.#controller.signal;
  }

  abort(reason: string): void {
    this.#abortReason = reason;
    this.#controller?.abort(new Error(reason));
  }

  log(level: TaskLogLevel, text: string): void {
    this.#runtime.taskLine(level, text, this.#task.header.task, this.#task.header.id);
  }

  async updateState(state: string, meta: unknown): Promise<void> {
    await this.#runtime.storeState(this.#id, this.#task, state, encodeJson(meta));
  }
}

/** The parent is gone: end, with everything this process has spawned (it leads a group of its own). */
function endGroup(): never {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // Not the leader of a group: there is nothing to take along.
  }
  process.exit(1);
}
