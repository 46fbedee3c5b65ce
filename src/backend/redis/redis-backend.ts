/**
 * Results in Redis, as Celery's Redis backend keeps them: either side reads what the other wrote.
 *
 * Owns the documents. Waiting is result-watch.ts, groups and chords are redis-groups.ts. Sharing a connection with the broker, a
 * result and the acknowledgement after it are in one MULTI.
 *
 * While the server is away: what is to be written waits in the connection, up to its bound, and is sent when the server is back;
 * `get` is tried again as the retry policy says; `wait` goes on waiting.
 * Source: protocol notes, redis.md §5 and results.md.
 */
import type { Broker } from '../../broker/broker.ts';
import type { RedisConnection } from '../../driver/redis.ts';
import type { RedisRemoval } from '../../driver/redis-removal.ts';
import { surveyRedis } from '../../driver/redis-survey.ts';
import { UmbelError } from '../../errors.ts';
import { decodeResultDocument, encodeResultDocument, type ResultDocument, type ResultRecord } from '../../protocol/result.ts';
import { type Clock, systemClock } from '../../std/clock.ts';
import type { BackendReport, ResultBackend } from '../backend.ts';
import { defaultSizeTimeoutMs, type GroupStore } from '../group-store.ts';
import { RedisGroups } from './redis-groups.ts';
import { ResultKeys } from './result-keys.ts';
import { backendUnavailable, defaultRetryPolicy, ResultReader, type ResultRetryPolicy } from './result-reader.ts';
import { ResultWatch, type WaitOptions } from './result-watch.ts';
import { StoreBatch, type StoreUnit } from './store-batch.ts';
import { refuseTooLarge } from './value-limit.ts';

export interface RedisBackendParams {
  readonly connection: RedisConnection;
  /** null: results are kept for ever. */
  readonly resultExpiresMs: number | null;
  /** Default: none. */
  readonly globalKeyPrefix?: string;
  /** Default: true. */
  readonly chordOrdered?: boolean;
  /** Default: 3 s. */
  readonly chordJoinTimeoutMs?: number;
  /** Default: 5 min. */
  readonly chordSizeTimeoutMs?: number;
  readonly retryPolicy?: Partial<ResultRetryPolicy>;
  readonly clock?: Clock;
}

export class RedisBackend implements ResultBackend {
  readonly displayUrl: string;
  readonly groups: GroupStore;
  readonly connection: RedisConnection;
  readonly #keys: ResultKeys;
  readonly #reader: ResultReader;
  readonly #watch: ResultWatch;
  readonly #ttl: string;
  #batch: StoreBatch | null = null;
  #started = false;
  /** Start and stop take turns. */
  #turn: Promise<void> = Promise.resolve();

  constructor(params: RedisBackendParams) {
    const { connection, resultExpiresMs, clock = systemClock } = params;
    this.connection = connection;
    this.displayUrl = connection.displayUrl;
    this.#keys = new ResultKeys(params.globalKeyPrefix ?? '');
    this.#reader = new ResultReader(connection, { ...defaultRetryPolicy, ...params.retryPolicy }, clock);
    this.#watch = new ResultWatch(connection, this.#keys, clock);
    this.#ttl = resultExpiresMs === null ? '' : String(Math.max(1, Math.round(resultExpiresMs)));
    this.groups = new RedisGroups({
      connection,
      keys: this.#keys,
      reader: this.#reader,
      watch: this.#watch,
      resultExpiresMs,
      chordOrdered: params.chordOrdered ?? true,
      chordJoinTimeoutMs: params.chordJoinTimeoutMs ?? 3000,
      chordSizeTimeoutMs: params.chordSizeTimeoutMs ?? defaultSizeTimeoutMs,
      clock,
    });
  }

  /** Tasks waited for. */
  get waiters(): number {
    return this.#watch.size;
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#started) return;
      try {
        await this.connection.acquire();
      } catch (error) {
        throw backendUnavailable(error);
      }
      this.#started = true;
      this.#reader.start();
      this.#watch.start();
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#started) return;
      this.#started = false;
      this.#reader.stop();
      this.#watch.stop(new UmbelError('BACKEND_UNAVAILABLE', `the result backend was stopped (${this.displayUrl})`));
      await this.connection.release();
    });
  }

  /** Both on one connection: what they write in one turn goes out as one MULTI. */
  commitsWith(broker: Broker): boolean {
    return 'connection' in broker && broker.connection === this.connection;
  }

  async store(record: ResultRecord): Promise<void> {
    return this.#store([this.#document(record)], null, [record]);
  }

  storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown> {
    let documents: string[];
    try {
      documents = records.map((record) => this.#document(record));
    } catch (error) {
      return Promise.reject(error);
    }
    let settled: Promise<unknown> | undefined;
    const removals = this.connection.removalsOf(() => {
      settled = settle();
    });
    return Promise.all([this.#store(documents, removals[0] ?? null, records), settled]);
  }

  async get(taskId: string): Promise<ResultDocument | null> {
    this.#mustBeStarted();
    const text = await this.#reader.read('GET', this.#keys.task(taskId));
    return typeof text === 'string' ? decodeResultDocument(text) : null;
  }

  async wait(taskId: string, options: WaitOptions): Promise<ResultDocument> {
    this.#mustBeStarted();
    return this.#watch.wait(taskId, options);
  }

  async forget(taskId: string): Promise<void> {
    this.#mustBeStarted();
    // What is stored after this in the same turn goes behind it.
    this.#batch?.close();
    try {
      await this.connection.commit([['DEL', this.#keys.task(taskId)]], { keep: true });
    } catch (error) {
      throw backendUnavailable(error);
    }
  }

  /** Redis deletes what has expired by itself. */
  async diagnose(): Promise<BackendReport> {
    try {
      await this.connection.acquire();
      const server = await surveyRedis(this.connection).finally(() => this.connection.release());
      return { kind: 'redis', displayUrl: this.displayUrl, server };
    } catch (error) {
      throw backendUnavailable(error);
    }
  }

  async cleanup(): Promise<number> {
    return 0;
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #document(record: ResultRecord): string {
    this.#mustBeStarted();
    const text = encodeResultDocument(record);
    refuseTooLarge(text, record.taskId);
    return text;
  }

  #store(documents: readonly string[], removal: RedisRemoval | null, records: readonly ResultRecord[]): Promise<void> {
    const keys = records.map(({ taskId }) => this.#keys.task(taskId));
    return new Promise((resolve, reject) => {
      this.#enqueue({ keys, documents, removal, resolve, reject: (failure) => reject(backendUnavailable(failure)) });
    });
  }

  /** With the others of this turn. What has to wait for the server waits by itself, so that the bound on that is kept. */
  #enqueue(unit: StoreUnit): void {
    if (this.#batch?.takes(unit) === true) {
      this.#batch.add(unit);
      return;
    }
    const { connection } = this;
    const batch = new StoreBatch(this.#ttl, this.#keys.task(''));
    batch.add(unit);
    this.#batch = null;
    if (connection.state === 'connected' && connection.waiting === 0) {
      this.#batch = batch;
      setImmediate(() => batch.close());
    }
    connection.enqueue(batch);
  }

  #mustBeStarted(): void {
    if (!this.#started) throw new UmbelError('BACKEND_UNAVAILABLE', `the result backend is not started (${this.displayUrl})`);
  }
}
