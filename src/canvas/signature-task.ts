/**
 * From a signature of one task to the task to send: every option finds its place, none is lost.
 *
 * Options that only say where and how to publish are kept apart in `route`. Names Celery does not know become message
 * properties, as they do in Python.
 * Source: protocol notes, messages.md §8 (option keys) and §8.6 (stamps).
 */
import { UmbelError } from '../errors.ts';
import type { ChordStart } from '../protocol/chord-part.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import type { OutgoingTask } from '../protocol/task-message.ts';
import { repr } from '../std/safe-repr.ts';
import type { Signature } from './signature.ts';

/** Where a task is to be published; what is absent is decided by the routing of the sender. */
export interface SignatureRoute {
  readonly queue?: string | undefined;
  readonly exchange?: string | undefined;
  readonly exchangeType?: ExchangeType | undefined;
  readonly routingKey?: string | undefined;
  readonly priority?: number | undefined;
  readonly deliveryMode?: 1 | 2 | undefined;
  readonly mandatory?: boolean | undefined;
  /** These two are for who applies it: what follows from a task is sent until the broker has it. */
  readonly retry?: boolean | undefined;
  readonly retryPolicy?: SignatureRetryPolicy | undefined;
}

/** In seconds. */
type SignatureRetryPolicy = Partial<Record<'maxRetries' | 'intervalStart' | 'intervalStep' | 'intervalMax', number>>;

type ExchangeType = 'direct' | 'topic' | 'fanout' | 'headers';

export interface OutgoingTaskWithRoute extends OutgoingTask {
  readonly route: SignatureRoute;
  /** Chords whose header begins with this task: the result backend is told of them before it is sent. */
  readonly chords?: readonly ChordStart[];
}

/** What the sender adds to every task. */
export interface SendingContext {
  /** gen<pid>@<hostname>. */
  readonly origin: string;
  readonly nowMs: number;
  /** Stamps of the running task, which its follow-ups inherit. */
  readonly stampedHeaders: readonly string[];
  readonly stamps: Readonly<Record<string, unknown>>;
  /** Where results go to, where that is a place of its own. Default: nowhere. */
  readonly replyTo?: string | null;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The signature must have its final arguments and a task_id. Throws MESSAGE_INVALID for an option of the wrong type. */
export function outgoingTaskOf(sig: Signature, id: string, context: SendingContext): OutgoingTaskWithRoute {
  const { options } = sig;
  const route: SignatureRoute = {};
  const task: Mutable<OutgoingTaskWithRoute> = { task: sig.task, id, args: sig.args, kwargs: sig.kwargs, origin: context.origin, route };
  if (context.replyTo !== undefined && context.replyTo !== null) task.replyTo = context.replyTo;
  const ownStamps = Array.isArray(options.stamped_headers) ? options.stamped_headers.map(String) : [];
  const extra: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || usedElsewhere.has(name) || ownStamps.includes(name)) continue;
    const readRoute = routeReaders.get(name);
    const readTask = taskReaders.get(name);
    const option = { name, value, sig, nowMs: context.nowMs };
    if (readRoute !== undefined) Object.assign(route, readRoute(option));
    if (readTask !== undefined) Object.assign(task, readTask(option));
    if (readRoute === undefined && readTask === undefined) extra[name] = value;
  }
  if (Object.keys(extra).length > 0) task.extraProperties = extra;
  addStamps(task, ownStamps, options, context);
  return task;
}

function addStamps(task: Mutable<OutgoingTask>, own: readonly string[], options: Signature['options'], context: SendingContext): void {
  if (own.length === 0 && context.stampedHeaders.length === 0) return;
  const stamps: Record<string, unknown> = {};
  for (const name of context.stampedHeaders) stamps[name] = context.stamps[name] ?? null;
  for (const name of own) stamps[name] = options[name] ?? null;
  task.stampedHeaders = Object.keys(stamps);
  task.stamps = stamps;
}

interface Option {
  readonly name: string;
  readonly value: unknown;
  readonly sig: Signature;
  readonly nowMs: number;
}

/** Known: the id is given, and stamps have addStamps. */
const usedElsewhere: ReadonlySet<string> = new Set(['task_id', 'stamped_headers']);

const policyKeys = [
  ['max_retries', 'maxRetries'],
  ['interval_start', 'intervalStart'],
  ['interval_step', 'intervalStep'],
  ['interval_max', 'intervalMax'],
] as const;

const routeReaders: ReadonlyMap<string, (option: Option) => SignatureRoute> = new Map(
  Object.entries({
    queue: (option: Option) => ({ queue: text(option) }),
    exchange: (option: Option) => ({ exchange: text(option) }),
    exchange_type: (option: Option) => ({ exchangeType: exchangeType(option) }),
    routing_key: (option: Option) => ({ routingKey: text(option) }),
    priority: (option: Option) => ({ priority: number(option) }),
    mandatory: (option: Option) => ({ mandatory: boolean(option) }),
    retry: (option: Option) => ({ retry: Boolean(option.value) }),
    retry_policy: (option: Option) => ({ retryPolicy: retryPolicy(option) }),
    delivery_mode: (option: Option): SignatureRoute => ({
      deliveryMode: option.value === 1 || option.value === 'transient' ? 1 : 2,
    }),
  }),
);

const taskReaders: ReadonlyMap<string, (option: Option) => Partial<OutgoingTask>> = new Map(
  Object.entries({
    priority: (option: Option) => ({ priority: number(option) }),
    root_id: (option: Option) => ({ rootId: text(option) }),
    parent_id: (option: Option) => ({ parentId: text(option) }),
    group_id: (option: Option) => ({ group: text(option) }),
    group_index: (option: Option) => ({ groupIndex: number(option) }),
    chord: (option: Option) => ({ chord: option.value }),
    chain: (option: Option) => ({ chain: list(option) }),
    link: (option: Option) => ({ callbacks: list(option) }),
    link_error: (option: Option) => ({ errbacks: list(option) }),
    reply_to: (option: Option) => ({ replyTo: text(option) }),
    countdown: (option: Option) => ({ etaMs: option.nowMs + number(option) * 1000 }),
    eta: (option: Option) => ({ etaMs: time(option) }),
    expires: (option: Option) => ({ expiresMs: typeof option.value === 'number' ? option.nowMs + option.value * 1000 : time(option) }),
    time_limit: (option: Option) => ({ hardTimeLimitSeconds: number(option) }),
    soft_time_limit: (option: Option) => ({ softTimeLimitSeconds: number(option) }),
    serializer: (option: Option) => ({ serializer: text(option) }),
    compression: (option: Option) => ({ compression: text(option) }),
    delivery_mode: (option: Option): Partial<OutgoingTask> => ({
      deliveryMode: option.value === 1 || option.value === 'transient' ? 1 : 2,
    }),
    headers: (option: Option) => ({ headers: record(option) }),
    shadow: (option: Option) => ({ shadow: text(option) }),
    ignore_result: (option: Option) => ({ ignoreResult: option.value === true }),
    retries: (option: Option) => ({ retries: number(option) }),
    origin: (option: Option) => ({ origin: text(option) }),
    argsrepr: (option: Option) => ({ argsrepr: text(option) }),
    kwargsrepr: (option: Option) => ({ kwargsrepr: text(option) }),
    replaced_task_nesting: (option: Option) => ({ replacedTaskNesting: number(option) }),
  }),
);

function text(option: Option): string {
  if (typeof option.value !== 'string') throw wrong(option, 'a string');
  return option.value;
}

function exchangeType(option: Option): ExchangeType {
  const { value } = option;
  if (value === 'direct' || value === 'topic' || value === 'fanout' || value === 'headers') return value;
  throw wrong(option, 'direct, topic, fanout or headers');
}

function number(option: Option): number {
  if (typeof option.value !== 'number') throw wrong(option, 'a number');
  return option.value;
}

function boolean(option: Option): boolean {
  if (typeof option.value !== 'boolean') throw wrong(option, 'true or false');
  return option.value;
}

/** What is no number counts as not given: Python's policies may have more in them. */
function retryPolicy(option: Option): SignatureRetryPolicy {
  const given = record(option);
  const policy: SignatureRetryPolicy = {};
  for (const [key, name] of policyKeys) {
    const value = given[key];
    if (typeof value === 'number') policy[name] = value;
  }
  return policy;
}

function time(option: Option): number {
  const unixMs = typeof option.value === 'string' ? parseIsoTime(option.value) : null;
  if (unixMs === null) throw wrong(option, 'an ISO-8601 time');
  return unixMs;
}

/** Celery takes one signature for a list of one. */
function list(option: Option): readonly unknown[] {
  return Array.isArray(option.value) ? option.value : [option.value];
}

function record(option: Option): Readonly<Record<string, unknown>> {
  if (typeof option.value !== 'object' || Array.isArray(option.value)) throw wrong(option, 'an object');
  return option.value as Record<string, unknown>;
}

function wrong(option: Option, rule: string): UmbelError {
  return new UmbelError(
    'MESSAGE_INVALID',
    `option ${option.name} must be ${rule}, got ${repr(option.value, 100)} (signature of ${option.sig.task})`,
  );
}
