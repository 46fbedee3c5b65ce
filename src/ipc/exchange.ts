/**
 * What parent and child say to each other: the frame types and the shape of each frame's meta.
 *
 * Both ends are the same executable, so there is no versioning; still, everything is checked where a frame comes from a child,
 * because task code could write to the pipe.
 *
 * Columns: who sends · id · number · meta · payload.
 */
import type { ErrorCode } from '../errors.ts';
import type { ChordMessage, ChordPartEnd, ChordStart, NamedTask } from '../protocol/chord-part.ts';
import type { MessageProperties } from '../protocol/message.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { LogLevel } from '../std/log-level.ts';
import type { RateLimit } from '../std/rate-limit.ts';

export const toChild = {
  /** – · 0 · 0 · ChildSettings · – : first frame, once. */
  settings: 1,
  /**
   * – · job · start before (Clock.monotonic) · RunMeta · message body; or '' and a message in the plain form: its envelope
   * (protocol/plain-task.ts) or its frames (protocol/plain-frames.ts). Handed back (`recalled`) when it could not be started before.
   */
  run: 2,
  /** – · job · 0 · reason text · – : abort the job's signal. */
  abort: 3,
  /** – · 0 · 0 · – · – : hand back every job that has not started. */
  recall: 4,
  /** – · request · 0 · PublishReply · – */
  published: 5,
  /** – · 0 · 0 · – · – : no more jobs; exit when those held are done. */
  stop: 6,
  /** – · request · 0 · – · – : what are you doing? */
  dump: 7,
  /** – · job · 0 · SoftLimitMeta · – : its soft time limit is over. */
  softLimit: 8,
} as const;

export const toParent = {
  /** child · 0 · start-up ms · ReadyMeta · – */
  ready: 65,
  /** child · 0 · 0 · StartFailure · – : the modules did not load; the child exits. */
  startFailed: 66,
  /** child · job · unix seconds · – · – : written before the first line of task code runs. */
  started: 67,
  /** child · job · 0 · FollowUpMeta · message body: to publish when the job settles, or when its chord does. */
  followUp: 68,
  /** child · job · runtime seconds · SucceededMeta or '' · result JSON */
  succeeded: 69,
  /** child · job · runtime seconds · EndedMeta · result JSON: every other end. */
  ended: 70,
  /** child · job · request · StateMeta · meta JSON: update_state; answered with `published`. */
  state: 71,
  /** child · request · 0 · ParentAsk · message body, if any: something a task wants done while it runs, as task.delay(); answered with `published`. */
  publish: 72,
  /** child · 0 · 0 · LogMeta · – */
  log: 73,
  /** child · 0 · 0 · JSON list of jobs · – : not started; answer to recall, or because it was too late to start them. */
  recalled: 74,
  /** child · request · 0 · DumpMeta · – */
  dumped: 75,
} as const;

/** The reason of an abort when the worker stops. */
export const stoppingReason = 'the worker is stopping';

const fromChild: ReadonlySet<number> = new Set(Object.values(toParent));

/** Is this a frame type that a child sends? */
export function isToParent(type: number): boolean {
  return fromChild.has(type);
}

/** What a child needs to know once. */
export interface ChildSettings {
  readonly nodeName: string;
  readonly index: number;
  readonly parentPid: number;
  /** Task modules and folders, and what they are relative to. */
  readonly taskPaths: readonly string[];
  readonly workdir: string;
  /** The child only tries whether everything can be loaded: before a restart in place, and for `umbel check`. */
  readonly trial?: TrialModules;
  /** Where compiled task modules are kept between runs; null: nowhere. */
  readonly compileCacheFolder: string | null;
  /** How long one task module may take to load. */
  readonly loadTimeoutMs: number;
  /** How long the hooks of task modules may take at the end. */
  readonly shutdownHooksMs: number;
  /** Jobs run at one time in this child. */
  readonly concurrency: number;
  readonly acceptContent: readonly string[];
  readonly logLevel: LogLevel;
  /** Own log file, already expanded; null: lines go to the parent. */
  readonly logFile: string | null;
  readonly logFormat: 'text' | 'json';
  readonly redirectStdouts: boolean;
  readonly redirectStdoutsLevel: LogLevel;
  /** Somebody reads the result's text (log level or events): build it. */
  readonly wantResultText: boolean;
  /** result_extended: send the arguments back with the result. */
  readonly wantArguments: boolean;
  readonly taskDefaults: TaskDefaults;
  /** Options of tasks that the configuration changes, by name or pattern, in the order in which they stand there. */
  readonly annotations: TaskAnnotations;
  readonly taskProtocol: 1 | 2;
  readonly inheritParentPriority: boolean;
  readonly chordRetryIntervalSeconds: number;
}

/** What a worker loads into itself. */
export interface TrialModules {
  readonly routers: readonly { readonly path: string; readonly exportName: string }[];
  readonly control: readonly string[];
  readonly autoscaler: string | null;
}

export type TaskAnnotations = readonly (readonly [pattern: string, options: TaskAnnotation])[];

/** Options of tasks as in task/task-options.ts, with errors by name alone. */
export interface TaskAnnotation extends Partial<Omit<TaskDefaults, 'rateLimit'>> {
  readonly sendEvents?: boolean;
  readonly rateLimit?: RateLimit;
  readonly timeLimit?: number;
  readonly softTimeLimit?: number;
  readonly maxRetries?: number | null;
  readonly defaultRetryDelay?: number;
  readonly autoretryFor?: readonly string[];
  readonly dontAutoretryFor?: readonly string[];
  readonly retryBackoff?: number;
  readonly retryBackoffMax?: number;
  readonly retryJitter?: boolean;
  readonly retryFor?: number;
  readonly throws?: readonly string[];
}

/** Settings that stand in for what a task's own options leave open. */
export interface TaskDefaults {
  readonly acksLate: boolean;
  readonly acksOnFailureOrTimeout: boolean;
  readonly rejectOnWorkerLost: boolean;
  readonly ignoreResult: boolean;
  readonly storeErrorsEvenIfIgnored: boolean;
  readonly trackStarted: boolean;
  /** null: nothing is said, and there is none. */
  readonly rateLimit: RateLimit | null;
}

export interface RunMeta {
  readonly headers: Readonly<Record<string, unknown>> | null;
  readonly properties: MessageProperties;
  readonly deliveryInfo: DeliveryInfo;
}

/** The worker's view of where a message came from (messages.md §2.6). */
export interface DeliveryInfo {
  readonly exchange: string;
  readonly routing_key: string;
  readonly priority: number | null;
  readonly redelivered: boolean;
}

/** What a task offers to the parent: its name and how it wants to be settled. */
export interface TaskOffer extends TaskDefaults {
  readonly name: string;
  /** Seconds; absent or null: the worker's. */
  readonly timeLimit?: number | null;
  readonly softTimeLimit?: number | null;
  /** For people who ask; null: no bound. */
  readonly maxRetries?: number | null;
  /** Seconds. For people who ask. */
  readonly defaultRetryDelay?: number;
  /** Whether there are events of its runs, where there are any. Default: true. */
  readonly sendEvents?: boolean;
  /** As an error callback it is called in the new style. */
  readonly takesError?: boolean;
}

export interface ReadyMeta {
  readonly pid: number;
  readonly tasks: readonly TaskOffer[];
}

export interface StartFailure {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Where a message made by the child should go; the parent's producer fills in the rest. */
export interface RouteOptions {
  readonly queue?: string | undefined;
  readonly exchange?: string | undefined;
  readonly exchangeType?: 'direct' | 'topic' | 'fanout' | 'headers' | undefined;
  readonly routingKey?: string | undefined;
  readonly priority?: number | undefined;
  readonly deliveryMode?: 1 | 2 | undefined;
  readonly retry?: boolean | undefined;
  readonly retryPolicy?:
    | { readonly maxRetries?: number; readonly intervalStart?: number; readonly intervalStep?: number; readonly intervalMax?: number }
    | undefined;
  readonly mandatory?: boolean | undefined;
  /** Of the task that calls; only when it is to be inherited. */
  readonly inheritedPriority?: number | undefined;
}

export interface PublishMeta {
  readonly taskName: string;
  readonly taskId: string;
  readonly headers: Readonly<Record<string, unknown>> | null;
  readonly properties: MessageProperties;
  readonly route: RouteOptions;
  readonly dueAtMs: number | null;
}

/** What a task wants of the result backend. */
export type BackendAsk =
  /** They begin: to be told to it before their first part is published. */
  | { readonly ask: 'start-chords'; readonly chords: readonly ChordStart[] }
  | { readonly ask: 'add-to-chord'; readonly groupId: string }
  /** The answer is a JoinAnswer. */
  | { readonly ask: 'join'; readonly group: ResultTuple; readonly timeoutMs: number }
  /** Results of tasks that will never run. */
  | { readonly ask: 'store-failed'; readonly tasks: readonly NamedTask[]; readonly exceptionJson: string; readonly traceback: string }
  | { readonly ask: 'save-group' | 'delete-group'; readonly group: ResultTuple }
  /** Delete what has expired. The answer is how many. */
  | { readonly ask: 'cleanup' };

/** What a task has to tell monitors. */
export interface EventAsk {
  readonly ask: 'send-event';
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Of the child. */
  readonly pid: number;
}

export type ParentAsk = PublishMeta | BackendAsk | EventAsk;

/** As backend/group-join.ts has it. */
export type JoinAnswer =
  | { readonly kind: 'complete'; readonly resultsJson: string }
  | { readonly kind: 'failed'; readonly taskId: string; readonly resultJson: string }
  | { readonly kind: 'waiting' };

export interface FollowUpMeta extends PublishMeta {
  /** To be told to the result backend before this is published. */
  readonly chords?: readonly ChordStart[];
  /** Not to be published with the others. */
  readonly chord?: ChordMessage;
}

export interface PublishReply {
  /** null: published, or done. */
  readonly error: string | null;
  /** Of the error. */
  readonly code?: ErrorCode;
  /** The answer, where there is one. */
  readonly value?: unknown;
}

export interface SucceededMeta {
  /** What could not be followed up (descriptions), to be logged as errors. */
  readonly unsupported?: readonly string[];
  /** The chords it is a part of; absent: none. */
  readonly chordParts?: readonly ChordPartEnd[];
  /** Display text of the result, when wanted; that of `null` is known. */
  readonly text?: string;
  /** JSON text of the children's tuples; absent: none. */
  readonly children?: string;
  /** Only with result_extended. */
  readonly args?: string;
  readonly kwargs?: string;
}

/** How a job ended when it did not succeed. */
export type EndKind = 'failed' | 'retried' | 'ignored' | 'rejected' | 'expired' | 'undecodable' | 'invalid';

export interface EndedMeta extends SucceededMeta {
  readonly kind: EndKind;
  /** Display text of the exception, Retry or Reject. */
  readonly text: string;
  readonly traceback: string | null;
  /** failed: one of the task's `throws`. */
  readonly expected?: boolean;
  /** failed: steps that will never run, to be stored as failed with the same error. */
  readonly failedSteps?: readonly NamedTask[];
  /** Code of this task still runs in the child, which is to end for that. */
  readonly retire?: boolean;
  /** rejected: back to the queue? */
  readonly requeue?: boolean;
}

export interface SoftLimitMeta {
  readonly limitSeconds: number;
  /** There is no hard limit that will end the task if this one does not. */
  readonly alone: boolean;
}

export interface StateMeta {
  readonly taskId: string;
  readonly state: string;
}

export interface LogMeta {
  /** Of captured output. */
  readonly stream?: 'stdout' | 'stderr';
  readonly level: LogLevel;
  readonly event: string;
  readonly message: string;
  readonly taskId?: string;
  readonly taskName?: string;
}

export interface DumpMeta {
  readonly jobs: readonly { readonly taskName: string; readonly taskId: string; readonly runningMs: number }[];
  readonly waiting: number;
}
