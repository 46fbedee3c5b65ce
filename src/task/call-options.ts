/**
 * The options of one call: what `applyAsync({...})` accepts beside the arguments.
 *
 * Names are Celery's. Times are seconds or Dates; the publisher turns them into absolute times.
 */
import {
  aBoolean,
  aCount,
  aDeliveryMode,
  aMap,
  aName,
  anArray,
  anExchangeType,
  aPriority,
  aText,
  aTime,
  checkOptions,
  type OptionKind,
  seconds,
} from './option-check.ts';
import type { DeliveryMode } from './task-route.ts';

export interface CallOptions {
  /** Seconds from now until the task may start. */
  readonly countdown?: number | undefined;
  /** When the task may start: a Date or an ISO 8601 text (without an offset: UTC). Not together with countdown. */
  readonly eta?: Date | string | undefined;
  /** Seconds from now, or the time, after which the task is not run any more. */
  readonly expires?: number | Date | undefined;
  readonly queue?: string | undefined;
  readonly exchange?: string | undefined;
  /** Its type, where no queue that is declared says it. */
  readonly exchangeType?: 'direct' | 'topic' | 'fanout' | 'headers' | undefined;
  readonly routingKey?: string | undefined;
  /** 0 to 9 (255 on RabbitMQ). */
  readonly priority?: number | undefined;
  /** Whether the message is to survive a restart of RabbitMQ. */
  readonly deliveryMode?: DeliveryMode | undefined;
  /** An error (BROKER_REFUSED) when no queue takes the message, which is dropped otherwise. */
  readonly mandatory?: boolean | undefined;
  /** Try again when the broker is not there. Default: the setting task.publish_retry. */
  readonly retry?: boolean | undefined;
  /** How often, and how many seconds between. Default: task.publish_retry_policy. */
  readonly retryPolicy?: RetryPolicyOptions | undefined;
  /** Default: a new UUID. */
  readonly taskId?: string | undefined;
  /** Retries so far; 0 for a new task. */
  readonly retries?: number | undefined;
  /** Seconds its run may take: then its child is killed. Default: the task's. */
  readonly timeLimit?: number | undefined;
  /** Seconds after which its run gets a SoftTimeLimitExceeded. Default: the task's. */
  readonly softTimeLimit?: number | undefined;
  /** Store no result of this call. */
  readonly ignoreResult?: boolean | undefined;
  /** The name shown in logs and events instead of the task's. */
  readonly shadow?: string | undefined;
  /** Custom headers: they travel beside the task's own and reach `context.headers`. */
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
  /** To be applied to the result: a signature, or several. */
  readonly link?: LinkedSignatures | undefined;
  /** To be applied when it fails. */
  readonly linkError?: LinkedSignatures | undefined;
  /** Values that travel with the task and with everything that follows from it. */
  readonly stamps?: Readonly<Record<string, unknown>> | undefined;
}

/** The wire form of signatures; task/signature.ts has the class. */
export type LinkedSignatures = object | readonly object[];

/** Seconds. */
export interface RetryPolicyOptions {
  readonly maxRetries?: number;
  readonly intervalStart?: number;
  readonly intervalStep?: number;
  readonly intervalMax?: number;
}

export type Kwargs = Readonly<Record<string, unknown>>;

const policyKinds = { maxRetries: aCount, intervalStart: seconds, intervalStep: seconds, intervalMax: seconds } satisfies Record<
  keyof RetryPolicyOptions,
  OptionKind
>;

function aRetryPolicy(value: unknown): string | null {
  if (aMap(value) !== null) return 'must be an object';
  for (const [key, given] of Object.entries(value as object)) {
    const kind = Object.hasOwn(policyKinds, key) ? policyKinds[key as keyof RetryPolicyOptions] : undefined;
    if (kind === undefined) return `may have ${Object.keys(policyKinds).join(', ')} only`;
    const problem = given === undefined ? null : kind(given);
    if (problem !== null) return `must have a ${key} that ${problem.replace(/^must be/, 'is')}`;
  }
  return null;
}

function signatures(value: unknown): string | null {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const fits = list.every((one) => typeof one === 'object' && one !== null && 'task' in one && typeof one.task === 'string');
  return fits ? null : 'must be a signature or a list of them: task.s(), chain(), …';
}

const kinds = {
  args: anArray,
  kwargs: aMap,
  countdown: seconds,
  eta: aTime,
  expires: (value) =>
    (value instanceof Date && aTime(value) === null) || (typeof value === 'number' && Number.isFinite(value))
      ? null
      : 'must be a number of seconds or a Date',
  queue: aName,
  exchange: aText,
  exchangeType: anExchangeType,
  routingKey: aName,
  priority: aPriority,
  deliveryMode: aDeliveryMode,
  mandatory: aBoolean,
  retry: aBoolean,
  retryPolicy: aRetryPolicy,
  taskId: aName,
  retries: aCount,
  timeLimit: seconds,
  softTimeLimit: seconds,
  ignoreResult: aBoolean,
  shadow: aName,
  headers: aMap,
  link: signatures,
  linkError: signatures,
  stamps: aMap,
} satisfies Record<keyof CallOptions | 'args' | 'kwargs', OptionKind>;

/** Celery's options that later versions bring. */
const notBuiltYet: readonly string[] = [
  'chain',
  'chord',
  'groupId',
  'serializer',
  'compression',
  'replyTo',
  'rootId',
  'parentId',
  'argsrepr',
  'kwargsrepr',
  'addToParent',
];

/** What applyAsync takes, seen without types. */
export interface RawCall extends CallOptions {
  readonly args?: readonly unknown[] | undefined;
  readonly kwargs?: Kwargs | undefined;
}

/** Throws TASK_OPTION_INVALID. */
export function checkCallOptions(taskName: string, given: RawCall): void {
  const of = `call of task ${taskName}`;
  checkOptions(of, { ...given }, kinds, notBuiltYet);
  if (given.eta !== undefined && given.countdown !== undefined) {
    checkOptions(of, { countdown: given.countdown }, { countdown: () => 'cannot be given together with eta' }, []);
  }
}
