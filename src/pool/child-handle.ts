/**
 * The parent's view of one pool child: what it is told, what it says, and the jobs it holds.
 *
 * Owns the frames to and from the child. What the child runs in, and how it is ended from outside, is its link
 * (pool/child-link.ts: a process, a thread, or this very process). Never decides what to run or whether to replace the child:
 * that is pool/child-pool.ts. The other end is child/runtime.ts.
 *
 * State (one writer: #enter):
 *
 *   starting ──ready──► ready ──stop()──► stopping ──► gone
 *      └──────────────────┴── it ended ────────────────► gone
 *
 * A child says that a job has started before it runs a line of task code, and its link gives all that it has said before its end:
 * what is known here then is exactly what the child had begun.
 */
import { messageOf, UmbelError } from '../errors.ts';
import {
  type ChildSettings,
  type DumpMeta,
  type EndedMeta,
  type FollowUpMeta,
  isToParent,
  type LogMeta,
  type ParentAsk,
  type PublishReply,
  type ReadyMeta,
  type SoftLimitMeta,
  type StartFailure,
  type StateMeta,
  type SucceededMeta,
  toChild,
  toParent,
} from '../ipc/exchange.ts';
import { FrameReader } from '../ipc/frame.ts';
import type { Logger } from '../log/logger.ts';
import { parseJson } from '../protocol/json.ts';
import { ChurnMap } from '../std/churn-map.ts';
import type { ChildEnd, ChildKind, ChildLink } from './child-link.ts';
import { ChildOutbox } from './child-outbox.ts';
import type { ChildExit, Job, JobKill } from './job.ts';
import { PendingDumps } from './pending-dumps.ts';
import { Tenure } from './tenure.ts';

export type ChildState = 'starting' | 'ready' | 'stopping' | 'gone';

/** The shortest timer there is. */
const restMs = 1;

export interface ChildHandleParams {
  readonly index: number;
  readonly kind: ChildKind;
  readonly settings: ChildSettings;
  readonly log: Logger;
  /** For what the child and its tasks say: lines under the child's own name. */
  readonly childLog: Logger;
  readonly events: ChildEvents;
}

/** What the pool hears from a child. */
export interface ChildEvents {
  onReady(child: ChildHandle, meta: ReadyMeta): void;
  onStarted(job: Job): void;
  /** A job settled or was handed back: there may be room for another. */
  onRoom(child: ChildHandle): void;
  /** It has work enough in hand: what it says may be read a little later, and much of it at once. */
  mayRest(child: ChildHandle): boolean;
  onRecalled(child: ChildHandle, jobs: readonly Job[]): void;
  onJobDone(child: ChildHandle, job: Job, runtimeSeconds: number): void;
  onPublish(child: ChildHandle, request: number, meta: ParentAsk, body: Buffer): void;
  onState(child: ChildHandle, job: Job | undefined, request: number, meta: StateMeta, metaJson: string): void;
  /** It has ended, and all it had said has been heard. `startFailure` when it said why it could not start. */
  onGone(child: ChildHandle, exit: ChildExit, started: readonly Job[], unstarted: readonly Job[], startFailure: UmbelError | null): void;
}

export class ChildHandle {
  readonly index: number;
  readonly spawnedAtMs = performance.now();
  /** Jobs sent and not settled, in the order sent. */
  readonly jobs = new ChurnMap<number, Job>();
  readonly tenure = new Tenure();
  /** Settled jobs, over the child's life. */
  processed = 0;
  /** It loaded the task modules: its end is not a failure to start. */
  wasReady = false;
  /** performance.now() then. */
  readyAtMs = 0;
  /** It was asked to end: its end is no loss. */
  letGo = false;
  /** It was ended because of a job. Written by pool/kill-for-job.ts. */
  killed: JobKill | null = null;
  /** Of all that it has said. */
  heardBytes = 0;
  #state: ChildState = 'starting';
  readonly #link: ChildLink;
  readonly #outbox = new ChildOutbox((frames) => this.#state !== 'gone' && this.#link.write(frames));
  readonly #reader: FrameReader;
  #stopSent = false;
  #startFailure: UmbelError | null = null;
  /** A recall is under way that covers every job sent: a blocked child must not find thousands of them. */
  #recallSent = false;
  /** It sent something that is no frame. */
  #unreadable = false;
  readonly #events: ChildEvents;
  readonly #log: Logger;
  readonly #childLog: Logger;
  readonly #dumps = new PendingDumps();

  constructor(params: ChildHandleParams) {
    this.index = params.index;
    this.#events = params.events;
    this.#log = params.log;
    this.#childLog = params.childLog;
    const { index, settings, childLog: log } = params;
    this.#reader = new FrameReader((type, id, number, meta, payload) => this.#onFrame(type, id, number, meta, payload), isToParent);
    const events = { onBytes: (bytes: Buffer) => this.#onBytes(bytes), onGone: (end: ChildEnd) => this.#gone(end) };
    this.#link = params.kind.open({ index, settings, jobs: this.jobs, log, events });
    this.#send(toChild.settings, 0, JSON.stringify(params.settings), null);
  }

  get pid(): number {
    return this.#link.pid;
  }

  get state(): ChildState {
    return this.#state;
  }

  /** Hand it a job, to be started before this time or handed back. The caller has made sure that there is room. */
  run(job: Job, startBeforeMs: number): void {
    job.child = this;
    job.startedAtMs = 0;
    this.jobs.set(job.id, job);
    this.tenure.given += 1;
    this.#recallSent = false;
    this.#outbox.add(toChild.run, job.id, startBeforeMs, job.meta, job.body, this.jobs.size === 1);
  }

  /** The job that has been running longest, or undefined when none has started. */
  oldestStarted(): Job | undefined {
    for (const job of this.jobs.values()) if (job.started) return job;
    return undefined;
  }

  abort(job: Job, reason: string): void {
    this.#send(toChild.abort, job.id, reason, null);
  }

  softLimit(job: Job, meta: SoftLimitMeta): void {
    this.#send(toChild.softLimit, job.id, JSON.stringify(meta), null);
  }

  /** Ask for the jobs that have not started; they come back through `onRecalled`. A blocked child answers when it can. */
  recall(): void {
    if (this.#recallSent) return;
    this.#recallSent = true;
    this.#send(toChild.recall, 0, '', null);
  }

  replyPublished(request: number, reply: PublishReply): void {
    this.#send(toChild.published, request, JSON.stringify(reply), null);
  }

  /** What the child says it is doing; null when it does not answer in time (its JavaScript is blocked). */
  dump(timeoutMs: number): Promise<DumpMeta | null> {
    if (this.#state === 'gone') return Promise.resolve(null);
    return this.#dumps.ask(timeoutMs, (request) => this.#send(toChild.dump, request, '', null));
  }

  get inspector(): ChildLink['inspector'] {
    return this.#link.inspector;
  }

  /** No more jobs; it exits when those it holds are done. */
  stop(): void {
    if (this.#state === 'gone' || this.#stopSent) return;
    this.#stopSent = true;
    this.retire();
    this.#send(toChild.stop, 0, '', null);
  }

  /** No more jobs, and it is not told yet. */
  retire(): void {
    this.letGo = true;
    this.#enter('stopping');
  }

  /** Stop it where it is, until `thaw`. false: its kind cannot be stopped. */
  freeze(): Promise<boolean> {
    return this.#link.freeze();
  }

  thaw(): void {
    this.#link.thaw();
  }

  /** End it from outside, with everything it spawned. */
  kill(signal: NodeJS.Signals | number): void {
    this.#link.kill(signal);
  }

  #enter(state: ChildState): void {
    if (this.#state === 'gone') throw new UmbelError('INTERNAL', `child ${this.index} is gone and cannot become ${state}`);
    this.#state = state;
  }

  #send(type: number, id: number, meta: string, payload: Buffer | null): void {
    if (this.#state !== 'gone') this.#outbox.add(type, id, 0, meta, payload);
  }

  #onBytes(bytes: Buffer): void {
    if (this.#unreadable || this.#state === 'gone') return;
    this.heardBytes += bytes.length;
    try {
      this.#reader.push(bytes);
      if (this.#events.mayRest(this)) this.#link.rest(restMs);
    } catch (error) {
      // Task code wrote to the pipe or the child is out of its mind; nothing it says can be trusted from here on.
      this.#unreadable = true;
      this.#log.critical('child.garbage', `PoolChild-${this.index} sent an unreadable frame (${messageOf(error)}); it is killed`);
      this.kill('SIGKILL');
    }
  }

  #gone({ exitCode, signal, failure, lastWords }: ChildEnd): void {
    const pid = this.pid;
    this.#enter('gone');
    this.tenure.stack ??= lastWords ?? null;
    this.#dumps.end();
    const started: Job[] = [];
    const unstarted: Job[] = [];
    // After garbage nobody knows what has begun: a job that may have run must not be run again as if it had not.
    for (const job of this.jobs.values()) (job.started || this.#unreadable ? started : unstarted).push(job);
    this.jobs.clear();
    const exit = { pid, index: this.index, exitCode, signal, killed: this.killed };
    this.#events.onGone(this, exit, started, unstarted, failure ?? this.#startFailure);
  }

  #onFrame(type: number, id: number, number: number, meta: string, payload: Buffer): void {
    switch (type) {
      case toParent.started: {
        const job = this.jobs.get(id);
        if (job === undefined) return;
        job.startedAtMs = performance.now();
        this.#events.onStarted(job);
        job.listener.onStarted(job, this.pid, number);
        return;
      }
      case toParent.succeeded: {
        const job = this.#finish(id, number);
        job?.listener.onSucceeded(job, number, meta === '' ? null : (JSON.parse(meta) as SucceededMeta), payload.toString('utf8'));
        this.#events.onRoom(this);
        return;
      }
      case toParent.ended: {
        const job = this.#finish(id, number);
        const ended = JSON.parse(meta) as EndedMeta;
        job?.listener.onEnded(job, number, ended, payload.toString('utf8'));
        if (ended.retire === true) this.stop();
        this.#events.onRoom(this);
        return;
      }
      case toParent.followUp: {
        const job = this.jobs.get(id);
        if (job === undefined) return;
        job.followUps ??= [];
        job.followUps.push({ meta: parseJson(meta) as FollowUpMeta, body: Buffer.from(payload) });
        return;
      }
      case toParent.recalled: {
        this.#recallSent = false;
        const jobs: Job[] = [];
        for (const jobId of JSON.parse(meta) as number[]) {
          const job = this.jobs.get(jobId);
          if (job === undefined || job.started) continue;
          this.jobs.delete(jobId);
          this.tenure.given -= 1;
          job.child = null;
          jobs.push(job);
        }
        this.#events.onRecalled(this, jobs);
        return;
      }
      case toParent.publish:
        this.#events.onPublish(this, id, parseJson(meta) as ParentAsk, Buffer.from(payload));
        return;
      case toParent.state:
        this.#events.onState(this, this.jobs.get(id), number, JSON.parse(meta) as StateMeta, payload.toString('utf8'));
        return;
      case toParent.log: {
        const line = JSON.parse(meta) as LogMeta;
        if (line.event === 'child.uncaught') this.tenure.stack = line.message;
        const fields = line.taskId === undefined ? {} : { taskId: line.taskId, taskName: line.taskName ?? '???' };
        const stream = line.stream === undefined ? {} : { stream: line.stream };
        this.#childLog.log(line.level, line.event, line.message, { ...fields, ...stream, child: this.index });
        return;
      }
      case toParent.ready:
        this.wasReady = true;
        this.readyAtMs = performance.now();
        if (this.#state === 'starting') this.#enter('ready');
        this.#events.onReady(this, JSON.parse(meta) as ReadyMeta);
        return;
      case toParent.startFailed: {
        const failure = JSON.parse(meta) as StartFailure;
        this.#startFailure = new UmbelError(failure.code, failure.message);
        return;
      }
      case toParent.dumped:
        this.#dumps.answered(id, JSON.parse(meta) as DumpMeta);
        return;
      default:
        throw new RangeError(`frame type must be one of those a child sends, got ${type}`);
    }
  }

  #finish(id: number, runtimeSeconds: number): Job | undefined {
    const job = this.jobs.get(id);
    if (job === undefined) return undefined;
    this.jobs.delete(id);
    this.processed += 1;
    job.child = null;
    this.#link.jobEnded(job);
    this.#events.onJobDone(this, job, runtimeSeconds);
    return job;
  }
}
