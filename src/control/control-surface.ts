/**
 * What remote commands may see and do of a worker. node/ implements it; nothing here knows a consumer or a pool.
 *
 * Everything is answered from memory, while children are blocked and the broker is busy, except where a promise is returned.
 */
import type { LamportClock } from '../std/lamport-clock.ts';

/** A task held by the node, as inspect commands show it; the order of the fields is Celery's. */
export interface RequestInfo {
  readonly id: string;
  /** The shadow name when there is one. */
  readonly name: string;
  readonly args: unknown;
  readonly kwargs: unknown;
  readonly type: string;
  readonly hostname: string;
  /** Unix seconds; null: not started. */
  readonly time_start: number | null;
  readonly acknowledged: boolean;
  readonly delivery_info: Readonly<Record<string, unknown>>;
  readonly worker_pid: number | null;
}

export interface ScheduledInfo {
  /** ISO 8601. */
  readonly eta: string;
  readonly priority: number;
  readonly request: RequestInfo;
}

/** A task as `registered` shows it: null where nothing is set. */
export type TaskInfo = Readonly<Record<string, unknown>> & { readonly name: string };

export interface ConsumerOptions {
  readonly queue: string;
  readonly exchange: string | null;
  readonly exchangeType: string;
  readonly routingKey: string | null;
}

/** How a revoke ended; `terminated`: ids of tasks that were ended. */
export interface RevokeOutcome {
  readonly terminated: readonly string[];
}

/** 'unknown': no such task here. A text: why the value is none. */
export type TaskChange = 'done' | 'unknown';

export type EventsSwitch = 'changed' | 'unchanged' | 'unavailable';

export interface ControlSurface {
  readonly nodeName: string;
  readonly clock: LamportClock;

  /** `safe`: arguments as text. */
  active(safe: boolean): readonly RequestInfo[];
  reserved(): readonly RequestInfo[];
  scheduled(): readonly ScheduledInfo[] | Promise<readonly ScheduledInfo[]>;
  revoked(): readonly string[];
  /** Id and seconds of the sender's monotonic clock. */
  revokedTimes(): ReadonlyMap<string, number>;
  /** The `revoked` of another node's hello: { id: [seconds of its monotonic clock, id] }, or what else came. */
  learnRevoked(helloRevoked: unknown): void;
  tasks(): readonly TaskInfo[];
  stats(): Readonly<Record<string, unknown>>;
  activeQueues(): readonly Readonly<Record<string, unknown>>[];
  conf(withDefaults: boolean): Readonly<Record<string, unknown>>;
  queryTask(ids: readonly string[]): Readonly<Record<string, readonly [string, RequestInfo]>>;
  report(): string;
  /** Of the parent. */
  rssBytes(): number;
  /** What the JavaScript heap of the parent is made of, as lines. */
  heapReport(samples: number): string;
  /** Writes a heap snapshot; its path. */
  heapSnapshot(): string | Promise<string>;

  /** From now on, and of what is held. `signal`: null: running ones go on. Throws CommandFailure for a signal nobody knows. */
  revoke(ids: readonly string[], signal: string | null): RevokeOutcome;
  revokeByStampedHeaders(headers: Readonly<Record<string, readonly string[]>>, signal: string | null): RevokeOutcome;
  /** Throws CommandFailure (ValueError) for what is no rate. */
  rateLimit(taskName: string, rate: string | number | null): TaskChange;
  /** 'soft-too-late': done, but the soft limit never comes, as the hard one is not above it. */
  timeLimit(taskName: string, hardSeconds: number | null, softSeconds: number | null): TaskChange | 'soft-too-late';
  addConsumer(options: ConsumerOptions): Promise<void>;
  cancelConsumer(queue: string): Promise<void>;
  /** Throws CommandFailure where the pool or its autoscaler does not allow it. */
  poolGrow(count: number): void;
  poolShrink(count: number): void;
  poolRestart(options: { readonly modules: readonly string[] | null; readonly reload: boolean }): void | Promise<void>;
  /** The range after it. Throws CommandFailure. */
  autoscale(max: number | null, min: number | null): { readonly max: number; readonly min: number };
  /** A warm stop. Returns at once. */
  shutdown(message: string): void;
  heartbeat(): void;
  enableEvents(): EventsSwitch;
  disableEvents(): EventsSwitch;
  election(id: string, topic: string, action: unknown): void;
}
