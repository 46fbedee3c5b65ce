/**
 * The options of a task: what `task({...}, fn)` accepts, and their resolved form.
 *
 * Names, units and defaults are Celery's. What is not given stays undefined, and the worker's setting decides.
 */
import type { RateLimit } from '../std/rate-limit.ts';
import type { ErrorMatcher } from './error-matcher.ts';
import {
  aBoolean,
  aCount,
  aDeliveryMode,
  aFunction,
  aMap,
  aName,
  aPriority,
  aRateLimit,
  checkOptions,
  type OptionKind,
  seconds,
} from './option-check.ts';
import { handlerNames, type TaskHandlers } from './task-handlers.ts';
import type { DeliveryMode } from './task-route.ts';

export interface TaskOptions extends TaskHandlers {
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
  /** Send events of its runs, where the worker sends any. Default true. */
  readonly sendEvents?: boolean | undefined;
  /** Most starts of this type in a worker: '100/m', '10/s', '5/h', a number per second; 0 for no limit. */
  readonly rateLimit?: RateLimit | undefined;
  /** Seconds a run may take: then its child is killed. Default: the worker's. */
  readonly timeLimit?: number | undefined;
  /** Seconds after which a run gets a SoftTimeLimitExceeded. Default: the worker's. */
  readonly softTimeLimit?: number | undefined;
  /** How often `retry()` may try again; null for ever. Default 3. */
  readonly maxRetries?: number | null | undefined;
  /** Seconds until a retry that names no time. Default 180. */
  readonly defaultRetryDelay?: number | undefined;
  /** Errors after which the task is tried again without asking for it. */
  readonly autoretryFor?: readonly ErrorMatcher[] | undefined;
  /** Of those, the ones after which it is not. */
  readonly dontAutoretryFor?: readonly ErrorMatcher[] | undefined;
  /** What such a retry is asked for with. */
  readonly retryKwargs?: RetryKwargs | undefined;
  /** Wait longer before each such retry: the first wait in seconds (true: 1), twice as long each time. Default false. */
  readonly retryBackoff?: boolean | number | undefined;
  /** No such wait is longer, in seconds. Default 600. */
  readonly retryBackoffMax?: number | undefined;
  /** Draw each such wait between 0 and what it would be. Default true. */
  readonly retryJitter?: boolean | undefined;
  /** Seconds since the beginning of the first run after which no retry may begin, whatever maxRetries. Not in Celery. */
  readonly retryFor?: number | undefined;
  /** Check arguments against the parameters, as Python does. Default true. */
  readonly typing?: boolean | undefined;
  /** Errors that are an expected way to fail: logged at level info and without a stack. */
  readonly throws?: readonly ErrorMatcher[] | undefined;
  /** As an error callback it is called with the id of the failed task ('old', the default), or with request, error and traceback ('new'). */
  readonly errbackStyle?: ErrbackStyle | undefined;
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

export type ErrbackStyle = 'old' | 'new';

/** As for `retry()`. */
export interface RetryKwargs {
  readonly maxRetries?: number | null | undefined;
  /** Seconds; where there is no backoff. */
  readonly countdown?: number | undefined;
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
  readonly sendEvents: boolean;
  readonly rateLimit: RateLimit | undefined;
  readonly timeLimit: number | undefined;
  readonly softTimeLimit: number | undefined;
  readonly maxRetries: number | null;
  readonly defaultRetryDelay: number;
  readonly autoretryFor: readonly ErrorMatcher[];
  readonly dontAutoretryFor: readonly ErrorMatcher[];
  readonly retryKwargs: RetryKwargs;
  /** Seconds; 0: none. */
  readonly retryBackoff: number;
  readonly retryBackoffMax: number;
  readonly retryJitter: boolean;
  readonly retryFor: number | null;
  /** null: it has none. */
  readonly handlers: TaskHandlers | null;
  readonly typing: boolean;
  readonly throws: readonly ErrorMatcher[];
  readonly errbackStyle: ErrbackStyle;
  readonly queue: string | undefined;
  readonly exchange: string | undefined;
  readonly routingKey: string | undefined;
  readonly priority: number | undefined;
  readonly deliveryMode: DeliveryMode | undefined;
}

const aLimit: OptionKind = (value) =>
  value === null || aCount(value) === null ? null : 'must be an integer, 0 or more, or null for no limit';

const matchers: OptionKind = (value) =>
  Array.isArray(value) && value.every((matcher) => typeof matcher === 'function' || aName(matcher) === null)
    ? null
    : 'must be an array of error classes or names of them';

const kinds = {
  name: aName,
  bind: aBoolean,
  acksLate: aBoolean,
  acksOnFailureOrTimeout: aBoolean,
  rejectOnWorkerLost: aBoolean,
  ignoreResult: aBoolean,
  storeErrorsEvenIfIgnored: aBoolean,
  trackStarted: aBoolean,
  sendEvents: aBoolean,
  rateLimit: aRateLimit,
  timeLimit: seconds,
  softTimeLimit: seconds,
  maxRetries: aLimit,
  defaultRetryDelay: seconds,
  typing: aBoolean,
  autoretryFor: matchers,
  dontAutoretryFor: matchers,
  retryKwargs: (value) => (areRetryKwargs(value) ? null : 'must be an object of maxRetries (a count or null) and countdown (seconds)'),
  retryBackoff: (value) =>
    typeof value === 'boolean' || aCount(value) === null ? null : 'must be a boolean, or seconds as an integer, 0 or more',
  retryBackoffMax: aCount,
  retryJitter: aBoolean,
  retryFor: seconds,
  beforeStart: aFunction,
  onSuccess: aFunction,
  onFailure: aFunction,
  onRetry: aFunction,
  afterReturn: aFunction,
  throws: matchers,
  errbackStyle: (value) => (value === 'old' || value === 'new' ? null : "must be 'old' or 'new'"),
  queue: aName,
  exchange: aName,
  routingKey: aName,
  priority: aPriority,
  deliveryMode: aDeliveryMode,
} satisfies Record<keyof TaskOptions, OptionKind>;

/** Celery's options that later versions bring. */
const notBuiltYet: readonly string[] = ['serializer', 'compression', 'shadowName', 'expires'];

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
    sendEvents: given.sendEvents ?? true,
    rateLimit: given.rateLimit,
    timeLimit: given.timeLimit,
    softTimeLimit: given.softTimeLimit,
    maxRetries: given.maxRetries === undefined ? 3 : given.maxRetries,
    defaultRetryDelay: given.defaultRetryDelay ?? 180,
    autoretryFor: given.autoretryFor ?? [],
    dontAutoretryFor: given.dontAutoretryFor ?? [],
    retryKwargs: given.retryKwargs ?? {},
    retryBackoff: Number(given.retryBackoff ?? 0),
    retryBackoffMax: given.retryBackoffMax ?? 600,
    retryJitter: given.retryJitter ?? true,
    retryFor: given.retryFor ?? null,
    handlers: handlerNames.some((handler) => given[handler] !== undefined) ? given : null,
    typing: given.typing ?? true,
    throws: given.throws ?? [],
    errbackStyle: given.errbackStyle ?? 'old',
    queue: given.queue,
    exchange: given.exchange,
    routingKey: given.routingKey,
    priority: given.priority,
    deliveryMode: given.deliveryMode,
  };
}

function areRetryKwargs(value: unknown): boolean {
  if (aMap(value) !== null) return false;
  return Object.entries(value as object).every(([key, item]) => {
    if (item === undefined) return true;
    return key === 'maxRetries' ? aLimit(item) === null : key === 'countdown' && seconds(item) === null;
  });
}

/** What a plain exported function gets. */
export const defaultTaskOptions: ResolvedTaskOptions = resolveTaskOptions({}, 'default');
