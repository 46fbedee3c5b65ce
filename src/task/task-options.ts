/**
 * The options of a task: what `task({...}, fn)` accepts, and their resolved form.
 *
 * Names, units and defaults are Celery's. What is not given stays undefined, and the worker's setting decides.
 */
import type { RateLimit } from '../std/rate-limit.ts';
import { aBoolean, aCount, aDeliveryMode, aName, aPriority, aRateLimit, checkOptions, type OptionKind, seconds } from './option-check.ts';
import type { DeliveryMode } from './task-route.ts';

/** A class of errors, or the name of one. */
export type ErrorMatcher = string | (abstract new (...args: never[]) => unknown);

export interface TaskOptions {
  /** Default: `<module>.<export>`. */
  readonly name?: string | undefined;
  /** Hand the task context to the function as its first parameter. Default false. */
  readonly bind?: boolean | undefined;
  /** Acknowledge after the task has run instead of when it starts. */
  readonly acksLate?: boolean | undefined;
  /** With late acks: acknowledge also when the task failed (default), or reject the message. */
  readonly acksOnFailureOrTimeout?: boolean | undefined;
  /** With late acks: give the message back to its queue when the child running it died. */
  readonly rejectOnWorkerLost?: boolean | undefined;
  /** Store no state and no result. */
  readonly ignoreResult?: boolean | undefined;
  /** With ignoreResult: store failures all the same. */
  readonly storeErrorsEvenIfIgnored?: boolean | undefined;
  /** Store the state STARTED when the task starts. */
  readonly trackStarted?: boolean | undefined;
  /** Most starts of this type in a worker: '100/m', '10/s', '5/h', a number per second; 0 for no limit. */
  readonly rateLimit?: RateLimit | undefined;
  /** How often `retry()` may try again; null for ever. Default 3. */
  readonly maxRetries?: number | null | undefined;
  /** Seconds until a retry that names no time. Default 180. */
  readonly defaultRetryDelay?: number | undefined;
  /** Check arguments against the parameters, as Python does. Default true. */
  readonly typing?: boolean | undefined;
  /** Errors that are an expected way to fail: logged at level info and without a stack. */
  readonly throws?: readonly ErrorMatcher[] | undefined;
  /** The queue calls go to. */
  readonly queue?: string | undefined;
  /** The exchange calls go through, instead of that of the queue. */
  readonly exchange?: string | undefined;
  /** Their routing key, instead of that of the queue. */
  readonly routingKey?: string | undefined;
  /** 0 to 9 (255 on RabbitMQ). */
  readonly priority?: number | undefined;
  /** Whether messages of calls are to survive a restart of RabbitMQ. */
  readonly deliveryMode?: DeliveryMode | undefined;
}

/** The same, with the defaults that do not depend on the worker filled in. */
export interface ResolvedTaskOptions {
  readonly name: string | undefined;
  readonly bind: boolean;
  readonly acksLate: boolean | undefined;
  readonly acksOnFailureOrTimeout: boolean | undefined;
  readonly rejectOnWorkerLost: boolean | undefined;
  readonly ignoreResult: boolean | undefined;
  readonly storeErrorsEvenIfIgnored: boolean | undefined;
  readonly trackStarted: boolean | undefined;
  readonly rateLimit: RateLimit | undefined;
  readonly maxRetries: number | null;
  readonly defaultRetryDelay: number;
  readonly typing: boolean;
  readonly throws: readonly ErrorMatcher[];
  readonly queue: string | undefined;
  readonly exchange: string | undefined;
  readonly routingKey: string | undefined;
  readonly priority: number | undefined;
  readonly deliveryMode: DeliveryMode | undefined;
}

const kinds = {
  name: aName,
  bind: aBoolean,
  acksLate: aBoolean,
  acksOnFailureOrTimeout: aBoolean,
  rejectOnWorkerLost: aBoolean,
  ignoreResult: aBoolean,
  storeErrorsEvenIfIgnored: aBoolean,
  trackStarted: aBoolean,
  rateLimit: aRateLimit,
  maxRetries: (value) => (value === null || aCount(value) === null ? null : 'must be an integer, 0 or more, or null for no limit'),
  defaultRetryDelay: seconds,
  typing: aBoolean,
  throws: (value) =>
    Array.isArray(value) && value.every((matcher) => typeof matcher === 'function' || aName(matcher) === null)
      ? null
      : 'must be an array of error classes or names of them',
  queue: aName,
  exchange: aName,
  routingKey: aName,
  priority: aPriority,
  deliveryMode: aDeliveryMode,
} satisfies Record<keyof TaskOptions, OptionKind>;

/** Celery's options that later versions bring. */
const notBuiltYet: readonly string[] = [
  'timeLimit',
  'softTimeLimit',
  'autoretryFor',
  'dontAutoretryFor',
  'retryKwargs',
  'retryBackoff',
  'retryBackoffMax',
  'retryJitter',
  'beforeStart',
  'onSuccess',
  'onFailure',
  'onRetry',
  'afterReturn',
  'serializer',
  'compression',
  'sendEvents',
  'shadowName',
  'expires',
];

/** Check and fill in. `label` names the task in an error; the name option wins over it. */
export function resolveTaskOptions(given: TaskOptions, label: string): ResolvedTaskOptions {
  const name = typeof given.name === 'string' && given.name !== '' ? given.name : label;
  checkOptions(`options of task ${name}`, { ...given }, kinds, notBuiltYet);
  return {
    name: given.name,
    bind: given.bind ?? false,
    acksLate: given.acksLate,
    acksOnFailureOrTimeout: given.acksOnFailureOrTimeout,
    rejectOnWorkerLost: given.rejectOnWorkerLost,
    ignoreResult: given.ignoreResult,
    storeErrorsEvenIfIgnored: given.storeErrorsEvenIfIgnored,
    trackStarted: given.trackStarted,
    rateLimit: given.rateLimit,
    maxRetries: given.maxRetries === undefined ? 3 : given.maxRetries,
    defaultRetryDelay: given.defaultRetryDelay ?? 180,
    typing: given.typing ?? true,
    throws: given.throws ?? [],
    queue: given.queue,
    exchange: given.exchange,
    routingKey: given.routingKey,
    priority: given.priority,
    deliveryMode: given.deliveryMode,
  };
}

/** What a plain exported function gets. */
export const defaultTaskOptions: ResolvedTaskOptions = resolveTaskOptions({}, 'default');
