/**
 * The embedded result backend: result documents in a SQLite file, usually the one of the embedded broker.
 *
 * Owns: the table umbel_result, who waits for which row, and the deletion of what has expired. Groups and chords are sqlite-groups.ts. On one
 * store with the broker, a result and its acknowledgement are one transaction.
 *
 * A row that is written again gets a new id, so "what is new" is a range of ids, whoever wrote it and however many wait.
 */
import type { Broker } from '../broker/broker.ts';
import type { SqliteDatabase, SqliteFailure } from '../driver/sqlite.ts';
import { type SqliteOperation, type SqliteStore, sqliteTopic } from '../driver/sqlite-store.ts';
import { surveySqlite } from '../driver/sqlite-survey.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { decodeResultDocument, encodeResultDocument, type ResultDocument, type ResultRecord, readyStates } from '../protocol/result.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { BackendReport, ResultBackend } from './backend.ts';
import { defaultSizeTimeoutMs } from './group-store.ts';
import { ResultWaiters } from './result-waiters.ts';
import { SqliteGroups } from './sqlite-groups.ts';

export interface SqliteBackendParams {
  readonly store: SqliteStore;
  /** null: results are kept for ever. */
  readonly resultExpiresMs: number | null;
  /** Default: 3 s. */
  readonly chordJoinTimeoutMs?: number;
  /** Default: 5 min. */
  readonly chordSizeTimeoutMs?: number;
  readonly clock?: Clock;
}

const stepRows = 500;
const cleanupIntervalMs = 60_000;

const sql = {
  tables: `
CREATE TABLE IF NOT EXISTS umbel_result (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  task_id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  document TEXT NOT NULL,
  expires_at INTEGER
);
CREATE INDEX IF NOT EXISTS umbel_result_expiry ON umbel_result (expires_at) WHERE expires_at IS NOT NULL;`,
  store: `INSERT OR REPLACE INTO umbel_result (task_id, status, document, expires_at) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
    SELECT 1 FROM umbel_result WHERE task_id = ?1 AND status = 'SUCCESS' AND (expires_at IS NULL OR expires_at > ?5))`,
  get: 'SELECT document FROM umbel_result WHERE task_id = ? AND (expires_at IS NULL OR expires_at > ?)',
  forget: 'DELETE FROM umbel_result WHERE task_id = ?',
  newest: "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'umbel_result'",
  since: `SELECT id, task_id, status FROM umbel_result WHERE id > ? ORDER BY id LIMIT ${stepRows}`,
  cleanup: `DELETE FROM umbel_result WHERE id IN (SELECT id FROM umbel_result WHERE expires_at <= ? ORDER BY expires_at LIMIT ${stepRows})`,
  anyExpired: 'SELECT 1 FROM umbel_result WHERE expires_at <= ? LIMIT 1',
} as const;

export class SqliteBackend implements ResultBackend {
  readonly displayUrl: string;
  readonly groups: SqliteGroups;
  readonly #store: SqliteStore;
  readonly #resultExpiresMs: number | null;
  readonly #clock: Clock;
  readonly #waiters: ResultWaiters;
  readonly #schema = (database: SqliteDatabase): void => {
    database.exec(sql.tables);
    this.groups.install(database);
    // Opened anew: a file that was replaced counts its rows from the start again.
    if (this.#seenId !== null) this.#seenId = 0;
  };
  #started = false;
  /** Start and stop take turns. */
  #turn: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void) | null = null;
  #cleanupTimer: Timer | undefined;
  /** Rows up to this id have been looked at for the waiters; null while nobody waits. */
  #seenId: number | null = null;

  constructor(params: SqliteBackendParams) {
    this.#store = params.store;
    this.#resultExpiresMs = params.resultExpiresMs;
    this.#clock = params.clock ?? systemClock;
    this.#waiters = new ResultWaiters(this.#clock);
    this.displayUrl = `sqlite:///${params.store.path}`;
    this.groups = new SqliteGroups({
      store: params.store,
      source: { documents: (taskIds) => this.#documents(taskIds), wait: (taskId, options) => this.wait(taskId, options) },
      resultExpiresMs: params.resultExpiresMs,
      chordJoinTimeoutMs: params.chordJoinTimeoutMs ?? 3000,
      chordSizeTimeoutMs: params.chordSizeTimeoutMs ?? defaultSizeTimeoutMs,
      clock: this.#clock,
      storeDocument: (database, record) => this.#stored(record).run(database),
      unavailable,
    });
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#started) return;
      try {
        await this.#store.acquire(this.#schema);
      } catch (error) {
        throw unavailable(error);
      }
      this.#started = true;
      this.#unsubscribe = this.#store.onChange((topics) => {
        if ((topics & sqliteTopic.result) !== 0) this.#lookForResults();
      });
      this.#scheduleCleanup(cleanupIntervalMs);
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#started) return;
      this.#started = false;
      this.#unsubscribe?.();
      this.#unsubscribe = null;
      this.#clock.clearTimer(this.#cleanupTimer);
      this.#waiters.rejectAll(new UmbelError('BACKEND_UNAVAILABLE', `the result backend was stopped (${this.#store.path})`));
      await this.#store.release(this.#schema);
    });
  }

  /** Both on one store: the group commit takes them together. */
  commitsWith(broker: Broker): boolean {
    return 'store' in broker && broker.store === this.#store;
  }

  store(record: ResultRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#started) throw this.#notStarted();
      this.#store.enqueue(this.#stored(record, resolve, reject));
    });
  }

  /** What is enqueued in one turn is one group commit. */
  storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown> {
    return Promise.all([...records.map((record) => this.store(record)), settle()]);
  }

  async get(taskId: string): Promise<ResultDocument | null> {
    if (!this.#started) throw this.#notStarted();
    let text: string | null;
    try {
      text = await this.#store.read((database) => this.#read(database, taskId));
    } catch (error) {
      throw unavailable(error);
    }
    return text === null ? null : decodeResultDocument(text);
  }

  async wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument> {
    if (!this.#started) throw this.#notStarted();
    // First where new rows begin, then the look at the old ones: no row falls between.
    this.#seenId ??= this.#store.peek<number | null>((database) => Number(database.prepare(sql.newest).get()?.[0] ?? 0), null);
    const arrival = this.#waiters.wait(taskId, options);
    this.get(taskId).then(
      (document) => {
        if (document !== null && readyStates.has(document.status)) this.#waiters.resolve(taskId, document);
      },
      (error: unknown) => this.#waiters.reject(taskId, error),
    );
    try {
      return await arrival;
    } finally {
      if (this.#waiters.size === 0) this.#seenId = null;
    }
  }

  async forget(taskId: string): Promise<void> {
    await this.#write((database) => database.prepare(sql.forget).run(taskId));
  }

  async diagnose(): Promise<BackendReport> {
    return { kind: 'sqlite', displayUrl: this.displayUrl, file: surveySqlite(this.#store.path) };
  }

  async cleanup(): Promise<number> {
    let deleted = await this.groups.cleanup();
    for (;;) {
      const step = await this.#write((database) => database.prepare(sql.cleanup).run(this.#clock.now()));
      deleted += step;
      if (step < stepRows) return deleted;
    }
  }

  #stored(record: ResultRecord, resolve: () => void = () => {}, reject: (error: Error) => void = () => {}): StoreResult {
    const nowMs = this.#clock.now();
    const expiresAtMs = this.#resultExpiresMs === null ? null : nowMs + this.#resultExpiresMs;
    return new StoreResult(record.taskId, record.status, encodeResultDocument(record), expiresAtMs, nowMs, resolve, reject);
  }

  async #documents(taskIds: readonly string[]): Promise<Map<string, string>> {
    try {
      return await this.#store.read((database) => {
        const texts = new Map<string, string>();
        for (const taskId of taskIds) {
          const text = this.#read(database, taskId);
          if (text !== null) texts.set(taskId, text);
        }
        return texts;
      });
    } catch (error) {
      throw unavailable(error);
    }
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #notStarted(): UmbelError {
    return new UmbelError('BACKEND_UNAVAILABLE', `the result backend is not started (${this.#store.path})`);
  }

  #read(database: SqliteDatabase, taskId: string): string | null {
    const text = database.prepare(sql.get).get(taskId, this.#clock.now())?.[0];
    return typeof text === 'string' ? text : null;
  }

  async #write<T>(work: (database: SqliteDatabase) => T): Promise<T> {
    if (!this.#started) throw this.#notStarted();
    try {
      return await this.#store.write(work);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** Rows were written by somebody: are they for one of the waiters? */
  #lookForResults(): void {
    while (this.#waiters.size > 0) {
      const after = this.#seenId ?? 0;
      const rows = this.#store.peek((database) => database.prepare(sql.since).all(after), []);
      for (const [id, taskId, status] of rows) {
        this.#seenId = Number(id);
        if (!readyStates.has(String(status)) || !this.#waiters.has(String(taskId))) continue;
        this.get(String(taskId)).then(
          (document) => {
            if (document !== null) this.#waiters.resolve(String(taskId), document);
          },
          (error: unknown) => this.#waiters.reject(String(taskId), error),
        );
      }
      if (rows.length < stepRows) return;
    }
  }

  #scheduleCleanup(delayMs: number): void {
    const run = () => {
      const due = this.#store.peek((database) => database.prepare(sql.anyExpired).get(this.#clock.now()) !== undefined, false);
      if (due) {
        // A failing file is reported by the store; the next round tries again.
        this.cleanup().catch(() => {});
      }
      this.#scheduleCleanup(cleanupIntervalMs);
    };
    this.#cleanupTimer = this.#clock.setTimer(run, delayMs, { ref: false });
  }
}

/** Kept when the file fails: the acknowledgement in the same transaction is kept as well, and must not come without it. */
class StoreResult implements SqliteOperation {
  readonly keep = true;
  readonly topics = sqliteTopic.result;
  readonly #taskId: string;
  readonly #status: string;
  readonly #document: string;
  readonly #expiresAtMs: number | null;
  readonly #nowMs: number;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(
    taskId: string,
    status: string,
    document: string,
    expiresAtMs: number | null,
    nowMs: number,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    this.#taskId = taskId;
    this.#status = status;
    this.#document = document;
    this.#expiresAtMs = expiresAtMs;
    this.#nowMs = nowMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  run(database: SqliteDatabase): void {
    database.prepare(sql.store).run(this.#taskId, this.#status, this.#document, this.#expiresAtMs, this.#nowMs);
  }

  committed(): void {
    this.#resolve();
  }

  failed(failure: SqliteFailure): void {
    this.#reject(unavailable(failure));
  }
}

function unavailable(failure: unknown): UmbelError {
  return new UmbelError('BACKEND_UNAVAILABLE', `the result backend does not answer: ${messageOf(failure)}`, { cause: failure });
}
