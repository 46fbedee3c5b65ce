/**
 * The pool contract: what the consumer and the node may ask of whatever runs tasks.
 *
 * child-pool.ts implements it for children of every kind (pool/child-link.ts). What a kind of children cannot do, its features say,
 * and whoever asks for it all the same gets NOT_SUPPORTED with the name of the pool (pool/pool-features.ts).
 */
import type { DumpMeta, TaskOffer } from '../ipc/exchange.ts';
import type { NamedSignal } from '../os/signal-name.ts';
import type { Job, KillOutcome } from './job.ts';
import type { TimeLimit } from './time-limits.ts';

/** What one child is doing, for USR1 and inspection. */
export interface ChildReport {
  readonly index: number;
  readonly pid: number;
  readonly state: string;
  /** null: it did not answer, its JavaScript is blocked. */
  readonly doing: DumpMeta | null;
  /** Tasks it has started, as the parent knows them. */
  readonly started: readonly { readonly taskName: string; readonly taskId: string; readonly runningMs: number }[];
  /** JavaScript stack lines of a blocked child; null when not taken. */
  readonly stack: readonly string[] | null;
}

/** Celery's words; `async` is also called `eventlet` or `gevent`. */
export type PoolName = 'prefork' | 'threads' | 'solo' | 'async';

/** What can be done to the children of a pool, and to running tasks from outside. */
export interface PoolFeatures {
  /** More, fewer or other children at run time. */
  readonly resize: boolean;
  /** A running task can be ended with its child: terminate, hard time limits. */
  readonly terminate: boolean;
  /** The memory of a child is its own and can be measured and capped. */
  readonly memoryLimits: boolean;
}

export interface Pool {
  readonly name: PoolName;
  readonly features: PoolFeatures;
  /** Children wanted. */
  readonly size: number;
  /** The most there may be without a word from outside: the end of its autoscale range, or its size. */
  readonly sizeLimit: number;
  /** Tasks the modules offer; known after `start`. */
  readonly tasks: ReadonlyMap<string, TaskOffer>;
  /** Jobs waiting, sent and running. */
  readonly jobCount: number;
  /** Process ids of the children that live now; none when they are no processes. */
  readonly pids: readonly number[];
  /** Tasks sent to each child that lives now and not taken back, by process index. */
  readonly written: ReadonlyMap<number, number>;
  /** Messages worth holding so that no child waits for the next, when a request to the broker takes so long: more as tasks prove short. */
  usefulReserve(brokerRoundTripMs: number): number;
  /** Resolves when at least one child is ready. Rejects with the child's own failure, or CHILD_CANNOT_START. */
  start(): Promise<void>;
  /** Take a job. It waits in the pool until a child has room. */
  submit(job: Job): void;
  /** What waits may be started again: it is certainly ours. */
  held(): void;
  /** Give back (`onReturned`) the jobs marked `withdrawn` that have not started. */
  withdraw(): void;
  /** Abort the signal of a running job; what that means is the task's own business. */
  abort(job: Job, reason: string): void;
  /**
   * Abort the signal of a running job marked `withdrawn`, and end its child when it goes on all the same, unless others run there. Ends as
   * every job does.
   */
  cancel(job: Job, reason: string): void;
  /**
   * End the child that runs this job, because of it, and nothing but it: false when the job has not started or has ended, and then nothing is done. Its
   * end is told with `onWorkerLost` and `exit.killed`; other jobs that had started there get the same call, and those that had not go to other children.
   * Rejects with NOT_SUPPORTED without the feature `terminate`.
   */
  kill(job: Job, outcome: KillOutcome, signal?: NodeJS.Signals): Promise<boolean>;
  /**
   * End a running job on request: its child gets the signal, and gets it only while it runs that job. Nothing happens when the job has not begun or has
   * ended. It ends as with `kill`, or by itself when the task handles the signal. SIGUSR1 is a soft time limit that is over now, in every pool; any other
   * throws NOT_SUPPORTED without the feature `terminate`.
   */
  terminate(job: Job, signal: NamedSignal): void;
  /** What applies to tasks of this type whose message says nothing else. */
  timeLimitOf(taskName: string): TimeLimit;
  /** For tasks that start from now on; null in it: the worker's. */
  changeTimeLimit(taskName: string, limit: TimeLimit): void;
  /** `abort` for every running job. */
  abortAll(reason: string): void;
  /** Throws NOT_SUPPORTED without the feature `resize`, AUTOSCALED when the size follows the load. */
  grow(count: number): void;
  /** Fewer children, never below one; busy ones finish first. Throws as `grow`. */
  shrink(count: number): void;
  /** Replace every child by another that loads the task modules anew, ready before the old one goes. Throws NOT_SUPPORTED. */
  restart(): void;
  /** Give back what has not started (`onReturned`) and take no more. */
  quiet(): void;
  /** Wait for running jobs; true when all ended within the time (null: no bound). */
  drain(timeoutMs: number | null): Promise<boolean>;
  /** End every child now: running jobs end in `onWorkerLost`. */
  stop(): Promise<void>;
  report(): Promise<ChildReport[]>;
}
