/**
 * The result backend contract: where states and results are kept.
 *
 * One implementation per file or folder beside this one; one conformance suite (test/backend/conformance.ts) runs over all.
 * Documents follow Celery's JSON result document (protocol notes, results.md §2); a backend stores and returns them whole.
 * Source: results.md, redis.md §5.
 */
import type { Broker } from '../broker/broker.ts';
import type { ResultDocument, ResultRecord } from '../protocol/result.ts';
import type { GroupStore } from './group-store.ts';

export interface ResultBackend {
  /** For people: password masked. */
  readonly displayUrl: string;
  /** Groups and the counting of chord parts; null: not built for this backend. */
  readonly groups: GroupStore | null;
  start(): Promise<void>;
  /** Idempotent, safe before `start`. */
  stop(): Promise<void>;
  /**
   * True when `store` and an acknowledgement on `broker` made in the same turn of the event loop, in that order, become
   * durable in one atomic step. The settling code then saves a round trip; otherwise it waits for the store before it acks.
   */
  commitsWith(broker: Broker): boolean;
  /** Keep the document. A stored SUCCESS is never overwritten. Resolves when durable. */
  store(record: ResultRecord): Promise<void>;
  /** null: nothing stored (state PENDING) or expired. */
  get(taskId: string): Promise<ResultDocument | null>;
  /** The document once its state is ready (SUCCESS, FAILURE, REVOKED). Rejects with RESULT_TIMEOUT or the signal's reason. */
  wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument>;
  forget(taskId: string): Promise<void>;
  /** Delete what has expired; how many. */
  cleanup(): Promise<number>;
}
