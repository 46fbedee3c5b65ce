/**
 * One SQLite file shared by everything in this process that keeps data in it: broker, result backend.
 *
 * Owns: the connection, group commit, the retry after a lock or a full disk, and the news that something changed.
 * Never knows a table: users bring their schema and their operations.
 *
 * Group commit: all operations enqueued in one turn of the event loop run in one transaction, in their order, and hear of it
 * after COMMIT. One operation whose statement fails, fails alone: the transaction is rolled back and repeated without it.
 *
 *   closed ──acquire──► open ──the file fails as a whole──► lost ──a commit succeeds──► open
 *      ▲─────────────────┴────────── last release ───────────┘
 *
 * In `lost`, operations marked `keep` wait (acknowledgements, results: what would otherwise be done twice or missed), all
 * others fail at once with the cause.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import type { Logger } from '../log/logger.ts';
import { SqliteDatabase, SqliteFailure, type SqliteSynchronous, toSqliteFailure } from './sqlite.ts';
import type { SqliteRemoval } from './sqlite-removal.ts';
import { SqliteWatch } from './sqlite-watch.ts';

/** What kind of rows a commit made available to somebody. Bits. */
export const sqliteTopic = { message: 1, broadcast: 2, result: 4, all: 0xff } as const;

export interface SqliteOperation {
  /** Bits of `sqliteTopic`, told to the listeners after COMMIT. */
  readonly topics: number;
  /** Wait for the file to recover instead of failing. */
  readonly keep: boolean;
  /** Runs inside the transaction. May run again after a rollback: nothing but the database may change here. */
  run(database: SqliteDatabase): void;
  /** After COMMIT. Must not throw. */
  committed(): void;
  /** Nothing of it was written. Must not throw. */
  failed(failure: SqliteFailure): void;
}

export type SqliteStoreState = 'closed' | 'open' | 'lost';

export interface SqliteStoreParams {
  readonly path: string;
  readonly synchronous: SqliteSynchronous;
  /** How long an operation waits for another process's lock. */
  readonly busyTimeoutMs: number;
  /** Make the file's folder, readable by its owner only, when there is none. Default: a missing folder is an error. */
  readonly createFolder?: boolean;
  readonly log: Logger;
}

/** A lock is awaited in this thread so long, then with a timer: the event loop must not stand still. */
const blockMs = 3;
const firstRetryMs = 100;
const longestRetryMs = 5000;
/** A file that fails again so soon after it recovered (one damaged page will) is tried less and less often, not from the start. */
const steadyMs = 30_000;
const lookAgainMs = 20;

export class SqliteStore {
  readonly path: string;
  readonly #params: SqliteStoreParams;
  readonly #watch: SqliteWatch;
  readonly #schemas = new Set<(database: SqliteDatabase) => void>();
  readonly #changeListeners = new Set<(topics: number) => void>();
  readonly #stateListeners = new Set<(state: SqliteStoreState, cause: SqliteFailure | null) => void>();
  #database: SqliteDatabase | null = null;
  #state: SqliteStoreState = 'closed';
  #users = 0;
  /** Acquire and release take turns. */
  #turn: Promise<void> = Promise.resolve();
  /** Waiting for the next transaction. Written by enqueue and #flush. */
  #queue: SqliteOperation[] = [];
  #immediate: NodeJS.Immediate | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = firstRetryMs;
  /** performance.now() of the last recovery. */
  #recoveredAtMs = Number.NEGATIVE_INFINITY;
  /** performance.now() of the first refusal in a row. */
  #busySinceMs: number | null = null;
  #dataVersion = 0;
  #inode = 0;
  #lookAgain: NodeJS.Timeout | null = null;
  #reopen = false;
  #flushing = false;
  /** Of the `removalsOf` under way. */
  #removals: SqliteRemoval[] | null = null;

  constructor(params: SqliteStoreParams) {
    this.path = params.path;
    this.#params = params;
    this.#watch = new SqliteWatch({ path: params.path, log: params.log, check: () => this.#checkForeign(), tick: () => this.#checkFile() });
  }

  get state(): SqliteStoreState {
    return this.#state;
  }

  /** Open the file (the first user does) and make sure of the user's tables. Rejects with SqliteFailure. */
  acquire(schema: (database: SqliteDatabase) => void): Promise<void> {
    return this.#inTurn(async () => {
      const database = this.#database ?? (await this.#retryBusy(() => this.#open()));
      try {
        await this.#retryBusy(() => this.#install(database, schema));
      } catch (error) {
        if (this.#users === 0) this.#close();
        throw error;
      }
      this.#schemas.add(schema);
      this.#users++;
    });
  }

  /** Drop everything without committing what is enqueued, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    this.#users = 0;
    this.#schemas.clear();
    this.#close();
  }

  /** Done with the file: what was enqueued is committed; the last user closes it. */
  release(schema: (database: SqliteDatabase) => void): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#users === 0) return;
      this.#flush();
      // A lock held by another process: wait for it as long as any operation would.
      while (this.#queue.length > 0 && this.#busySinceMs !== null) {
        await delay(5);
        this.#flush();
      }
      this.#schemas.delete(schema);
      if (--this.#users === 0) this.#close();
    });
  }

  enqueue(operation: SqliteOperation): void {
    this.#queue.push(operation);
    if (this.#immediate !== null || this.#busySinceMs !== null) return;
    if (this.#state === 'lost' && operation.keep) return;
    this.#immediate = setImmediate(() => this.#flush());
  }

  /** One piece of work in the next transaction; its value after COMMIT. Rejects with SqliteFailure. */
  write<T>(work: (database: SqliteDatabase) => T, options?: { readonly keep?: boolean; readonly topics?: number }): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let value: T;
      this.enqueue({
        topics: options?.topics ?? 0,
        keep: options?.keep ?? false,
        run: (database) => {
          value = work(database);
        },
        committed: () => resolve(value),
        failed: reject,
      });
    });
  }

  /** What `step` wants removed, for the caller to carry out in an operation of its own or to leave. */
  removalsOf(step: () => void): readonly SqliteRemoval[] {
    const outer = this.#removals;
    const removals: SqliteRemoval[] = [];
    this.#removals = removals;
    try {
      step();
    } finally {
      this.#removals = outer;
    }
    return removals;
  }

  /** Where removals go just now; null: each is an operation of who wants it. */
  get removals(): SqliteRemoval[] | null {
    return this.#removals;
  }

  /** Read outside a transaction. Sees only what is committed. Rejects with SqliteFailure. */
  async read<T>(work: (database: SqliteDatabase) => T): Promise<T> {
    return this.#retryBusy(() => work(this.#opened()));
  }

  /** Read at once, or the fallback when the file does not answer at once. For hints, not for truths. */
  peek<T>(work: (database: SqliteDatabase) => T, fallback: T): T {
    if (this.#database === null) return fallback;
    try {
      return work(this.#database);
    } catch {
      // Rare (another process recovers the log): whoever looks for news looks again.
      this.#lookAgain ??= setTimeout(() => {
        this.#lookAgain = null;
        this.#changed(sqliteTopic.all);
      }, lookAgainMs).unref();
      return fallback;
    }
  }

  /** Close the file and open it again, as if it had failed as a whole. */
  reopen(reason: string): void {
    if (this.#state !== 'open') return;
    this.#watch.stop();
    this.#watch.start();
    this.#openAnew(`the SQLite database is opened anew: ${reason} (${this.path})`);
  }

  /** After every commit of this process that announced topics, and after every commit of another one (all topics). */
  onChange(listener: (topics: number) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onStateChange(listener: (state: SqliteStoreState, cause: SqliteFailure | null) => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #retryBusy<T>(step: () => T): Promise<T> {
    const untilMs = performance.now() + this.#params.busyTimeoutMs;
    for (;;) {
      try {
        return step();
      } catch (error) {
        const failure = toSqliteFailure(error, this.path);
        if (failure.kind !== 'busy' || performance.now() >= untilMs) throw failure;
      }
      await delay(5);
    }
  }

  #opened(): SqliteDatabase {
    if (this.#database === null) throw new SqliteFailure('closed', `the SQLite database is not open (${this.path})`);
    return this.#database;
  }

  #open(): SqliteDatabase {
    if (this.#params.createFolder === true) this.#makeFolder();
    const database = new SqliteDatabase({ path: this.path, synchronous: this.#params.synchronous, blockMs });
    this.#database = database;
    this.#dataVersion = database.dataVersion();
    this.#inode = statSync(this.path, { throwIfNoEntry: false })?.ino ?? 0;
    if (this.#state === 'closed') {
      this.#setState('open', null);
      this.#watch.start();
    }
    return database;
  }

  #makeFolder(): void {
    const folder = dirname(this.path);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new SqliteFailure('missing', `the folder of the SQLite database cannot be made: ${text} (${this.path})`, { cause: error });
    }
  }

  #install(database: SqliteDatabase, schema: (database: SqliteDatabase) => void): void {
    database.inTransaction(() => schema(database));
  }

  #close(): void {
    this.#watch.stop();
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#lookAgain !== null) clearTimeout(this.#lookAgain);
    this.#immediate = null;
    this.#retry = null;
    this.#lookAgain = null;
    this.#busySinceMs = null;
    this.#retryMs = firstRetryMs;
    const abandoned = this.#queue;
    this.#queue = [];
    this.#setState('closed', null);
    const failure = new SqliteFailure('closed', `the SQLite database was closed before the operation (${this.path})`);
    for (const operation of abandoned) operation.failed(failure);
    this.#database?.close();
    this.#database = null;
  }

  #setState(state: SqliteStoreState, cause: SqliteFailure | null): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of this.#stateListeners) listener(state, cause);
  }

  #flush(): void {
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    // A listener may end up here from inside #flush (release in a `committed`): the running one continues with the queue.
    if (this.#flushing || this.#state === 'closed') return;
    if (this.#queue.length === 0 && this.#state === 'open') return;
    const batch = this.#queue;
    this.#queue = [];
    this.#flushing = true;
    try {
      this.#commit(batch);
    } catch (error) {
      this.#flushing = false;
      this.#commitFailed(toSqliteFailure(error, this.path), batch);
      return;
    }
    this.#busySinceMs = null;
    let topics = 0;
    for (const operation of batch) {
      topics |= operation.topics;
      try {
        operation.committed();
      } catch (error) {
        // A defect of the caller: it ends the process as any uncaught error does, but not in the middle of this loop.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    this.#flushing = false;
    if (this.#state === 'lost') {
      this.#recoveredAtMs = performance.now();
      this.#params.log.info('sqlite.recovered', `The SQLite database works again: ${this.path}`);
    }
    this.#setState('open', null);
    if (topics !== 0) this.#changed(topics);
  }

  /** Run the batch in one transaction; those that fail alone are taken out of it. Throws when the file as a whole fails: nothing is written then. */
  #commit(batch: SqliteOperation[]): void {
    if (this.#reopen) this.#openAgain();
    const database = this.#opened();
    for (;;) {
      let running = -1;
      database.prepare('BEGIN IMMEDIATE').run();
      try {
        // Only a transaction that writes finds out whether the disk takes it again.
        if (this.#state === 'lost') database.exec('CREATE TABLE umbel_probe(x); DROP TABLE umbel_probe');
        for (const [index, operation] of batch.entries()) {
          running = index;
          operation.run(database);
        }
        running = -1;
        database.prepare('COMMIT').run();
        return;
      } catch (error) {
        database.rollback();
        const failure = toSqliteFailure(error, this.path);
        if (running === -1 || failure.kind !== 'statement') throw failure;
        for (const failing of batch.splice(running, 1)) failing.failed(failure);
        if (batch.length === 0) return;
      }
    }
  }

  #commitFailed(failure: SqliteFailure, batch: readonly SqliteOperation[]): void {
    const nowMs = performance.now();
    if (failure.kind === 'busy') {
      this.#busySinceMs ??= nowMs;
      if (nowMs - this.#busySinceMs < this.#params.busyTimeoutMs) {
        this.#queue = [...batch, ...this.#queue];
        this.#retryIn(1 + Math.random() * 4);
        return;
      }
    }
    this.#busySinceMs = null;
    this.#reopen = failure.kind === 'io' || failure.kind === 'missing' || failure.kind === 'corrupt';
    this.#queue = [...batch.filter((operation) => operation.keep), ...this.#queue];
    if (this.#state !== 'lost') {
      if (nowMs - this.#recoveredAtMs > steadyMs) this.#retryMs = firstRetryMs;
      this.#params.log.error('sqlite.lost', `${failure.message}; trying again until it works`);
    }
    this.#setState('lost', failure);
    this.#retryIn(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    for (const operation of batch) if (!operation.keep) operation.failed(failure);
  }

  #retryIn(ms: number): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#flush();
    }, ms);
  }

  #openAgain(): void {
    this.#database?.close();
    this.#database = null;
    const database = this.#open();
    for (const schema of this.#schemas) this.#install(database, schema);
    this.#reopen = false;
  }

  #openAnew(why: string): void {
    this.#reopen = true;
    this.#setState('lost', new SqliteFailure('missing', why));
    this.#flush();
  }

  #changed(topics: number): void {
    for (const listener of this.#changeListeners) listener(topics);
  }

  #checkForeign(): void {
    const version = this.peek((database) => database.dataVersion(), this.#dataVersion);
    if (version === this.#dataVersion) return;
    this.#dataVersion = version;
    this.#changed(sqliteTopic.all);
  }

  /** Somebody deleted or replaced the file: what we have open is no longer what others see. */
  #checkFile(): void {
    if (this.#state !== 'open' || this.#inode === 0) return;
    const inode = statSync(this.path, { throwIfNoEntry: false })?.ino ?? 0;
    if (inode === this.#inode) return;
    this.#params.log.error('sqlite.replaced', `The SQLite database was removed or replaced while in use: ${this.path}; opening it anew`);
    this.#openAnew(`the SQLite database was removed or replaced (${this.path})`);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
