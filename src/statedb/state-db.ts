/**
 * What a worker remembers across restarts: revoked task ids and its logical clock.
 *
 * Owns: the set of revoked ids, bounded in number and age, and its own SQLite file (`--statedb`), which one worker has at a
 * time. Written as it changes, so that a killed worker forgets nothing. Without a path it remembers until the process ends.
 * Never decides what a revoke means for a task.
 *
 * Source: protocol notes, worker-behaviour.md §7 and §8 (50,000 ids, 10,800 s). The format is our own.
 */
import { closeSync, openSync, readSync, renameSync } from 'node:fs';
import { SqliteDatabase, SqliteFailure } from '../driver/sqlite.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock } from '../std/clock.ts';

export interface StateDbParams {
  /** null: nothing is kept. */
  readonly path: string | null;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Default 50,000: the oldest go first. */
  readonly maxRevoked?: number;
  /** Default three hours. */
  readonly maxAgeMs?: number;
}

const sql = {
  tables: `
CREATE TABLE IF NOT EXISTS revoked (task_id TEXT PRIMARY KEY, revoked_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);`,
  load: 'SELECT task_id, revoked_at FROM revoked ORDER BY revoked_at',
  add: 'INSERT OR REPLACE INTO revoked (task_id, revoked_at) VALUES (?, ?)',
  remove: 'DELETE FROM revoked WHERE task_id = ?',
  loadClock: 'SELECT value FROM clock',
  saveClock: 'INSERT OR REPLACE INTO clock (id, value) VALUES (1, ?)',
} as const;

/** Another worker may be on its way out. */
const blockMs = 500;

export class StateDb implements Component {
  readonly name = 'statedb';
  readonly #params: StateDbParams;
  readonly #clock: Clock;
  readonly #maxRevoked: number;
  readonly #maxAgeMs: number;
  /** id → unix ms, oldest first. */
  readonly #revoked = new Map<string, number>();
  #logicalClock = 0;
  #database: SqliteDatabase | null = null;
  /** Ids whose row has to be written or removed. */
  readonly #dirty = new Set<string>();
  #clockDirty = false;
  #flush: NodeJS.Immediate | null = null;

  constructor(params: StateDbParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#maxRevoked = params.maxRevoked ?? 50_000;
    this.#maxAgeMs = params.maxAgeMs ?? 10_800_000;
  }

  /**
   * Load what was kept. Rejects with STATEDB_IN_USE or FILE_CANNOT_CREATE. A damaged database is set aside with a warning; a file
   * of another kind was named by mistake and is not touched.
   */
  async start(): Promise<void> {
    const { path } = this.#params;
    if (path === null || this.#database !== null) return;
    try {
      this.#load(path);
    } catch (error) {
      if (!(error instanceof SqliteFailure) || error.kind !== 'corrupt') throw failureToOpen(error, path);
      if (!isSqliteFile(path)) throw foreignFile(path);
      this.#setAside(path, error);
      try {
        this.#load(path);
      } catch (again) {
        throw failureToOpen(again, path);
      }
    }
    this.#prune();
  }

  async stop(): Promise<void> {
    this.#write();
    this.#database?.close();
    this.#database = null;
  }

  isRevoked(taskId: string): boolean {
    // Asked for every message, and most workers have revoked nothing.
    if (this.#revoked.size === 0) return false;
    const atMs = this.#revoked.get(taskId);
    return atMs !== undefined && this.#clock.now() - atMs < this.#maxAgeMs;
  }

  /** From now on. Ids that are revoked already stay as old as they are. */
  revoke(taskIds: Iterable<string>): void {
    const nowMs = this.#clock.now();
    for (const taskId of taskIds) {
      if (this.isRevoked(taskId)) continue;
      this.#revoked.delete(taskId);
      this.#revoked.set(taskId, nowMs);
      this.#dirty.add(taskId);
    }
    this.#prune();
    this.#later();
  }

  /** Ids and when they were revoked (unix ms), oldest first: what mingle tells the neighbours. */
  revoked(): ReadonlyMap<string, number> {
    this.#prune();
    return this.#revoked;
  }

  /** The logical clock as it was left; 0 at first. */
  get logicalClock(): number {
    return this.#logicalClock;
  }

  set logicalClock(value: number) {
    this.#logicalClock = value;
    this.#clockDirty = true;
    this.#later();
  }

  #load(path: string): void {
    const database = new SqliteDatabase({ path, synchronous: 'normal', blockMs, exclusive: true });
    try {
      database.inTransaction(() => database.exec(sql.tables));
      const rows = database.all(sql.load);
      const clock = database.all(sql.loadClock);
      for (const [taskId, revokedAt] of rows) this.#revoked.set(String(taskId), Number(revokedAt));
      this.#logicalClock = Math.max(this.#logicalClock, Number(clock[0]?.[0] ?? 0));
    } catch (error) {
      database.close();
      throw error;
    }
    this.#database = database;
  }

  #setAside(path: string, cause: Error): void {
    const aside = `${path}.damaged-${new Date(this.#clock.now()).toISOString().replaceAll(':', '')}`;
    try {
      renameSync(path, aside);
    } catch (error) {
      throw failureToOpen(error, path);
    }
    // The log belongs to the damaged file; a new one must not replay it.
    try {
      renameSync(`${path}-wal`, `${aside}-wal`);
    } catch {
      // There is none.
    }
    this.#params.log.warning('statedb.damaged', `The state database was set aside as ${aside}: ${cause.message}; revoked ids start empty`);
  }

  #prune(): void {
    const oldestMs = this.#clock.now() - this.#maxAgeMs;
    for (const [taskId, atMs] of this.#revoked) {
      if (this.#revoked.size <= this.#maxRevoked && atMs > oldestMs) return;
      this.#revoked.delete(taskId);
      this.#dirty.add(taskId);
      this.#later();
    }
  }

  #later(): void {
    if (this.#database === null) return;
    this.#flush ??= setImmediate(() => this.#write());
  }

  #write(): void {
    if (this.#flush !== null) clearImmediate(this.#flush);
    this.#flush = null;
    const database = this.#database;
    if (database === null || (this.#dirty.size === 0 && !this.#clockDirty)) return;
    try {
      database.inTransaction(() => {
        for (const taskId of this.#dirty) {
          const atMs = this.#revoked.get(taskId);
          if (atMs === undefined) database.prepare(sql.remove).run(taskId);
          else database.prepare(sql.add).run(taskId, atMs);
        }
        if (this.#clockDirty) database.prepare(sql.saveClock).run(this.#logicalClock);
      });
      this.#dirty.clear();
      this.#clockDirty = false;
    } catch (error) {
      // Kept in memory, and written with the next change.
      this.#params.log.error('statedb.not-written', `The state database cannot be written: ${messageOf(error)}`);
    }
  }
}

function failureToOpen(error: unknown, path: string): UmbelError {
  if (error instanceof SqliteFailure && error.kind === 'busy') {
    return new UmbelError('STATEDB_IN_USE', `a state database serves one worker at a time, and ${path} is in use by another process`, {
      cause: error,
    });
  }
  return new UmbelError('FILE_CANNOT_CREATE', `the state database cannot be opened: ${messageOf(error)} (${path})`, { cause: error });
}

function foreignFile(path: string): UmbelError {
  return new UmbelError(
    'FILE_CANNOT_CREATE',
    `the state database must be a file that a worker made, or a new one, got a file of another kind, which is left as it is: ${path}`,
  );
}

/** Does it begin as every SQLite database does? */
function isSqliteFile(path: string): boolean {
  const head = Buffer.alloc(16);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  return head.toString('latin1') === 'SQLite format 3\0';
}
