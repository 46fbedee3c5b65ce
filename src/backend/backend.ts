/**
 * The result backend contract: where states and results are kept.
 *
 * One implementation per file or folder beside this one; one conformance suite (test/backend/conformance.ts) runs over all.
 * Documents follow Celery's JSON result document (protocol notes, results.md §2); a backend stores and returns them whole.
 * Source: results.md, redis.md §5.
 */
import type { Broker } from '../broker/broker.ts';
import type { RedisSurvey } from '../driver/redis-survey.ts';
import type { SqliteSurvey } from '../driver/sqlite-survey.ts';
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
  /** True when this backend and that broker are one place: `storeAndSettle` is then one atomic step. */
  commitsWith(broker: Broker): boolean;
  /** Keep the document. A stored SUCCESS is never overwritten. Resolves when durable. */
  store(record: ResultRecord): Promise<void>;
  /**
   * Where `commitsWith` says so: keep these documents and, in the same atomic step, what `settle` asks of the broker (one
   * acknowledgement). `settle` is called at once, or not at all. A rejection means that the message is not acknowledged.
   */
  storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown>;
  /** null: nothing stored (state PENDING) or expired. */
  get(taskId: string): Promise<ResultDocument | null>;
  /** The document once its state is ready (SUCCESS, FAILURE, REVOKED). Rejects with RESULT_TIMEOUT or the signal's reason. */
  wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument>;
  forget(taskId: string): Promise<void>;
  /** Results come as replies: the address for them, to be sent with each task; ready when it resolves. Absent: results are looked up. */
  openReplies?(): Promise<string>;
  /** Delete what has expired; how many. */
  cleanup(): Promise<number>;
  /** What its place is like, for `umbel doctor`. Needs no `start`, and changes nothing. Rejects as `start` does. Absent: it has no place of its own. */
  diagnose?(): Promise<BackendReport>;
}

export type BackendReport =
  | { readonly kind: 'redis'; readonly displayUrl: string; readonly server: RedisSurvey }
  | { readonly kind: 'sqlite'; readonly displayUrl: string; readonly file: SqliteSurvey };
