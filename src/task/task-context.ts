/**
 * The task context: what running code may know and do about its own task.
 *
 * The runtime creates one per run from the request and a host; `currentTask()` finds it anywhere below through
 * AsyncLocalStorage. Owns no I/O: lines and states go to the host.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { format } from 'node:util';
import { UmbelError } from '../errors.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { Kwargs } from './call-options.ts';
import { MaxRetriesExceededError, Replaced, Retry } from './control-flow.ts';
import type { Interruption } from './interruption.ts';
import { aBoolean, aCount, aMap, aName, anArray, aPriority, aTime, checkOptions, type OptionKind, seconds } from './option-check.ts';
import { publisher } from './publisher.ts';
import type { Signature } from './signature.ts';

export interface DeliveryInfo {
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number | null;
  readonly redelivered: boolean | null;
}

/** The request: facts about this run, from the message. Names are Celery's. */
export interface TaskRequest {
  readonly id: string;
  readonly name: string;
  readonly args: readonly unknown[];
  readonly kwargs: Kwargs;
  /** Retries so far: 0 on the first run. */
  readonly retries: number;
  /** The worker's node name. */
  readonly hostname: string;
  readonly deliveryInfo: DeliveryInfo;
  /** The first task of the workflow; the own id when it is this one. */
  readonly rootId: string;
  /** The task that called this one. */
  readonly parentId: string | null;
  readonly group: string | null;
  readonly groupIndex: number | null;
  readonly correlationId: string | null;
  readonly replyTo: string | null;
  /** Unix milliseconds by which a retry must begin, set by an earlier run; null: none has set it. */
  readonly retryUntilMs: number | null;
  /** ISO 8601 text as sent. */
  readonly eta: string | null;
  /** ISO 8601 text as sent. */
  readonly expires: string | null;
  /** [hard, soft] in seconds. */
  readonly timelimit: readonly [number | null, number | null];
  /** Who sent the message, `gen<pid>@<hostname>`. */
  readonly origin: string | null;
  readonly shadow: string | null;
  /** Custom headers of the caller. */
  readonly headers: Readonly<Record<string, unknown>>;
  /** The effective "store no result" of this call. */
  readonly ignoreResult: boolean;
  /** Signatures to be applied on success, as in the message. */
  readonly callbacks: readonly unknown[] | null;
  /** Signatures to be applied on failure. */
  readonly errbacks: readonly unknown[] | null;
  /** Remaining chain steps, the next one last. */
  readonly chain: readonly unknown[] | null;
  /** The chord body this task is a header member of. */
  readonly chord: unknown;
  /** Names of its stamps. */
  readonly stampedHeaders: readonly string[] | null;
  readonly stamps: Readonly<Record<string, unknown>>;
}

export type TaskLogLevel = 'debug' | 'info' | 'warning' | 'error';

/** What the runtime provides to one run. */
export interface ContextHost {
  /** Aborted when the task is to stop. */
  readonly signal: AbortSignal;
  /** What its soft time limit comes to; absent: nothing enforces one. */
  readonly interruption?: Interruption;
  /** The worker stops, and has asked the task to. */
  readonly interrupted: boolean;
  log(level: TaskLogLevel, text: string): void;
  /** Resolves when the state is stored. */
  updateState(state: string, meta: unknown): Promise<void>;
  /** Resolves when the broker has the message of the next try. */
  sendRetry(retry: Retry): Promise<void>;
  /** One part more of this chord. Resolves when it is counted. */
  addToChord(groupId: string): Promise<void>;
  /** Resolves when the worker has it. */
  sendEvent(type: string, fields: Readonly<Record<string, unknown>>): Promise<void>;
  /** What the task has called, for `children` of its result. */
  addTrail(result: ResultTuple): void;
}

/** What `retry()` needs to know about the task. */
export interface RetryPolicy {
  readonly maxRetries: number | null;
  readonly defaultRetryDelay: number;
  /** Seconds since the beginning of the first run in which a retry may begin; null: for ever. */
  readonly retryFor: number | null;
}

export interface RetryOptions {
  /** The cause; thrown instead of MaxRetriesExceededError when there are no retries left. */
  readonly exc?: unknown;
  /** Seconds until the next try; default: the task's defaultRetryDelay. */
  readonly countdown?: number | undefined;
  /** The time of the next try, a Date or ISO 8601 text; wins over countdown. */
  readonly eta?: Date | string | undefined;
  /** Overrides the task's limit for this call; null or undefined keeps it. */
  readonly maxRetries?: number | null | undefined;
  /** Other arguments for the next try. */
  readonly args?: readonly unknown[] | undefined;
  readonly kwargs?: Kwargs | undefined;
  /** Another queue, another priority for the next try. */
  readonly queue?: string | undefined;
  readonly priority?: number | undefined;
  /** Other time limits for it, in seconds. */
  readonly timeLimit?: number | undefined;
  readonly softTimeLimit?: number | undefined;
}

const retryKinds = {
  exc: () => null,
  countdown: seconds,
  eta: aTime,
  maxRetries: (value) => (value === null ? null : aCount(value)),
  args: anArray,
  kwargs: aMap,
  queue: aName,
  priority: aPriority,
  timeLimit: seconds,
  softTimeLimit: seconds,
  throw: aBoolean,
} satisfies Record<keyof RetryOptions | 'throw', OptionKind>;
const stateKinds = { state: aName, meta: () => null } satisfies Record<string, OptionKind>;
const eventKinds = { type: aName, fields: aMap } satisfies Record<string, OptionKind>;
const eventFields: readonly string[] = ['hostname', 'utcoffset', 'pid', 'clock', 'uuid', 'timestamp', 'type'];

/** Log lines that carry the task's name and id. Extra arguments are put in as `console.log` does. */
class TaskLog {
  readonly #host: ContextHost;

  constructor(host: ContextHost) {
    this.#host = host;
  }

  debug(text: unknown, ...more: readonly unknown[]): void {
    this.#host.log('debug', format(text, ...more));
  }

  info(text: unknown, ...more: readonly unknown[]): void {
    this.#host.log('info', format(text, ...more));
  }

  warning(text: unknown, ...more: readonly unknown[]): void {
    this.#host.log('warning', format(text, ...more));
  }

  error(text: unknown, ...more: readonly unknown[]): void {
    this.#host.log('error', format(text, ...more));
  }
}

let hostOf: (context: TaskContext) => ContextHost;

export class TaskContext {
  static {
    hostOf = (context) => context.#host;
  }

  readonly #request: TaskRequest;
  readonly #policy: RetryPolicy;
  readonly #host: ContextHost;
  /** Unix milliseconds by which a retry must begin; null: whenever. */
  readonly #retryUntilMs: number | null;
  #log: TaskLog | undefined;
  /** The limit `retry()` was last called with; it holds for an automatic retry after that, too. */
  maxRetriesAsked: number | undefined;

  constructor(request: TaskRequest, policy: RetryPolicy, host: ContextHost) {
    this.#request = request;
    this.#policy = policy;
    this.#host = host;
    this.#retryUntilMs = policy.retryFor === null ? null : (request.retryUntilMs ?? Date.now() + policy.retryFor * 1000);
  }

  get id(): string {
    return this.#request.id;
  }
  get name(): string {
    return this.#request.name;
  }
  get args(): readonly unknown[] {
    return this.#request.args;
  }
  get kwargs(): Kwargs {
    return this.#request.kwargs;
  }
  get retries(): number {
    return this.#request.retries;
  }
  get hostname(): string {
    return this.#request.hostname;
  }
  get deliveryInfo(): DeliveryInfo {
    return this.#request.deliveryInfo;
  }
  get rootId(): string {
    return this.#request.rootId;
  }
  get parentId(): string | null {
    return this.#request.parentId;
  }
  get group(): string | null {
    return this.#request.group;
  }
  get groupIndex(): number | null {
    return this.#request.groupIndex;
  }
  get correlationId(): string | null {
    return this.#request.correlationId;
  }
  get replyTo(): string | null {
    return this.#request.replyTo;
  }
  get eta(): string | null {
    return this.#request.eta;
  }
  get expires(): string | null {
    return this.#request.expires;
  }
  get timelimit(): readonly [number | null, number | null] {
    return this.#request.timelimit;
  }
  get origin(): string | null {
    return this.#request.origin;
  }
  get shadow(): string | null {
    return this.#request.shadow;
  }
  get headers(): Readonly<Record<string, unknown>> {
    return this.#request.headers;
  }
  get ignoreResult(): boolean {
    return this.#request.ignoreResult;
  }
  get callbacks(): readonly unknown[] | null {
    return this.#request.callbacks;
  }
  get errbacks(): readonly unknown[] | null {
    return this.#request.errbacks;
  }
  get chain(): readonly unknown[] | null {
    return this.#request.chain;
  }
  get chord(): unknown {
    return this.#request.chord;
  }
  get stampedHeaders(): readonly string[] | null {
    return this.#request.stampedHeaders;
  }
  get stamps(): Readonly<Record<string, unknown>> {
    return this.#request.stamps;
  }

  /** There is no eager mode: always false. Celery code asks for it. */
  get isEager(): boolean {
    return false;
  }

  /** Called as a plain function: no message, no worker. */
  get calledDirectly(): boolean {
    return false;
  }

  /** The limit of `retry()`; null for none. */
  get maxRetries(): number | null {
    return this.#policy.maxRetries;
  }

  /** When a retry must have begun, in unix milliseconds (`retryFor`); null: whenever. */
  get retryUntilMs(): number | null {
    return this.#retryUntilMs;
  }

  /** Aborted when the task is to stop. Hand it to fetch, timers and the like. */
  get signal(): AbortSignal {
    return this.#host.signal;
  }

  /** The worker stops, and has asked the task to: what it does not finish now is done again. */
  get interrupted(): boolean {
    return this.#host.interrupted;
  }

  get log(): TaskLog {
    this.#log ??= new TaskLog(this.#host);
    return this.#log;
  }

  /**
   * Run the task again later: throws Retry, which must leave the task. Without retries left: throws `exc`, or MaxRetriesExceededError.
   *
   * With `throw: false` the next try is sent now and this run goes on to an end of its own; resolves when the broker has it. Nothing is
   * thrown but what is thrown without retries left.
   */
  retry(options?: RetryOptions & { readonly throw?: true | undefined }): never;
  retry(options: RetryOptions & { readonly throw: boolean }): Promise<Retry>;
  retry(options: RetryOptions & { readonly throw?: boolean | undefined } = {}): Promise<Retry> {
    checkOptions(`retry() of task ${this.name}[${this.id}]`, { ...options }, retryKinds, []);
    const { exc } = options;
    if (this.calledDirectly) throw exc ?? new Retry({ when: null, message: 'Task can be retried' });
    // A task that was asked to stop because the worker does has not failed: that is no attempt, and the next need not wait.
    const isAttempt = !this.#host.interrupted;
    this.maxRetriesAsked = options.maxRetries ?? undefined;
    const maxRetries = this.maxRetriesAsked ?? this.#policy.maxRetries;
    const when = isAttempt ? (timeOf(options.eta) ?? options.countdown ?? this.#policy.defaultRetryDelay) : 0;
    const retry = new Retry({ ...options, when, isAttempt, untilMs: this.#retryUntilMs });
    const isTooLate = this.#retryUntilMs !== null && retry.etaMs > this.#retryUntilMs;
    if (isAttempt && (isTooLate || (maxRetries !== null && this.retries + 1 > maxRetries))) {
      throw exc ?? new MaxRetriesExceededError(this.name, this.id, options.args ?? this.args, options.kwargs ?? this.kwargs);
    }
    if (options.throw === false) return this.#host.sendRetry(retry).then(() => retry);
    throw retry;
  }

  /**
   * Have this take the task's place: throws Replaced, which must leave the task. What was to follow the task follows the replacement, and whoever waits
   * for the task gets its result.
   */
  replace(signature: Signature<unknown>): never {
    throw new Replaced(signature);
  }

  /** Send this as one part more of the chord that the task is a part of. Before the task ends. */
  async addToChord<H>(signature: Signature<H>): Promise<H> {
    const { group, groupIndex, chord, rootId } = this.#request;
    const of = `addToChord() of task ${this.name}[${this.id}]`;
    if (group === null || chord === null || chord === undefined)
      throw new UmbelError('TASK_OPTION_INVALID', `${of} needs a task that is a part of a chord, this one is of none`);
    if (signature.subtask_type === 'group')
      throw new UmbelError('TASK_OPTION_INVALID', `${of} takes what gives one result, got a group; add each of its tasks`);
    await this.#host.addToChord(group);
    const options = { group_id: group, group_index: groupIndex, chord, root_id: rootId };
    return (await publisher().apply({ signature, args: [], kwargs: {}, options })) as H;
  }

  /**
   * An event of the task's own for monitors, with its id as `uuid`: Celery's `send_event`. It is sent whether the worker sends events of tasks or not.
   * The type is best two words with a dash, as 'task-progress'. Rejects with TASK_OPTION_INVALID.
   */
  async sendEvent(type: string, fields: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const of = `sendEvent() of task ${this.name}[${this.id}]`;
    checkOptions(of, { type, fields }, eventKinds, []);
    const taken = eventFields.find((name) => Object.hasOwn(fields, name));
    if (taken !== undefined)
      throw new UmbelError('TASK_OPTION_INVALID', `${of} takes fields of other names than every event has, got ${taken}`);
    await this.#host.sendEvent(type, { uuid: this.id, ...fields });
  }

  /** A result that is to stand among the children of this task's. `delay()` and `applyAsync()` do so by themselves. */
  addTrail(result: ResultTuple): void {
    this.#host.addTrail(result);
  }

  /** Store a state of the task's own, to be seen by `AsyncResult.state()` and its meta as the result. */
  updateState(change: { readonly state: string; readonly meta?: unknown }): Promise<void> {
    const stored = this.#updateState(change);
    // A task that does not wait for it has said that it does not matter.
    stored.catch(() => {});
    return stored;
  }

  async #updateState(change: { readonly state: string; readonly meta?: unknown }): Promise<void> {
    checkOptions(`updateState() of task ${this.name}[${this.id}]`, { ...change }, stateKinds, []);
    await this.#host.updateState(change.state, change.meta ?? null);
  }
}

function timeOf(eta: Date | string | undefined): Date | undefined {
  if (typeof eta !== 'string') return eta;
  const ms = parseIsoTime(eta);
  return ms === null ? undefined : new Date(ms);
}

const storageKey = Symbol.for('umbel.currentTask');
const slots = globalThis as { [storageKey]?: AsyncLocalStorage<TaskContext> };
slots[storageKey] ??= new AsyncLocalStorage<TaskContext>();
const storage = slots[storageKey];

/** The context of the task this code runs in; undefined outside of one. */
export function currentTask(): TaskContext | undefined {
  return storage.getStore();
}

/** Of the task this code runs in. */
export function currentInterruption(): Interruption | undefined {
  const context = storage.getStore();
  return context === undefined ? undefined : hostOf(context).interruption;
}

/** Run `fn` so that `currentTask()` is `context` in it and in everything it starts. */
export function runInContext<T>(context: TaskContext, fn: () => T): T {
  return storage.run(context, fn);
}
