/**
 * One connection to one SQLite file: opening, cached statements, and errors in our own words.
 *
 * Owns the only import of node:sqlite. Never knows tables, transactions of others or retries: that is sqlite-store.ts and the
 * folders above. Every failure that leaves this file is a `SqliteFailure`.
 */
import { accessSync, closeSync, constants, fchownSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';

export type SqliteSynchronous = 'normal' | 'full' | 'off';

/**
 * What went wrong, as far as somebody can act on it:
 * busy - another process holds the lock; full - no space; io - the disk failed; readonly, missing, corrupt - the file;
 * statement - this statement only, the database is well.
 */
export type SqliteFailureKind = 'busy' | 'full' | 'io' | 'readonly' | 'missing' | 'corrupt' | 'statement' | 'closed';

export class SqliteFailure extends Error {
  readonly kind: SqliteFailureKind;

  constructor(kind: SqliteFailureKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SqliteFailure';
    this.kind = kind;
  }
}

/** Primary result codes (sqlite.org/rescode.html) that say something about the file and not about the statement. */
const kindOfCode: Readonly<Record<number, Exclude<SqliteFailureKind, 'statement' | 'closed'>>> = {
  3: 'readonly',
  5: 'busy',
  6: 'busy',
  8: 'readonly',
  10: 'io',
  11: 'corrupt',
  13: 'full',
  14: 'missing',
  15: 'busy',
  22: 'io',
  23: 'readonly',
  26: 'corrupt',
};

const ruleOfKind: Readonly<Record<Exclude<SqliteFailureKind, 'statement' | 'closed'>, string>> = {
  busy: 'the SQLite database is locked by another process',
  full: 'the disk of the SQLite database is full',
  io: 'the SQLite database cannot be read or written',
  readonly: 'the SQLite database must be writable',
  missing: 'the SQLite database cannot be opened',
  corrupt: 'the SQLite database is damaged or not a database',
};

/** Anything node:sqlite throws, as ours. */
export function toSqliteFailure(thrown: unknown, path: string): SqliteFailure {
  if (thrown instanceof SqliteFailure) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const errcode = thrown instanceof Error && 'errcode' in thrown && typeof thrown.errcode === 'number' ? thrown.errcode : null;
  if (errcode === null) return new SqliteFailure('statement', `${text} (${path})`, { cause: thrown });
  const kind = kindOfCode[errcode & 0xff];
  if (kind === undefined) return new SqliteFailure('statement', `the SQLite statement failed: ${text} (${path})`, { cause: thrown });
  return new SqliteFailure(kind, `${ruleOfKind[kind]}: ${text} (${path})`, { cause: thrown });
}

/** A file that root makes in somebody's folder is theirs: their worker is to use it. SQLite itself does so with the files beside it. */
function makeForOwnerOfFolder(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dirname(path));
  if (uid === 0) return;
  try {
    const fd = openSync(path, 'wx', 0o644);
    fchownSync(fd, uid, gid);
    closeSync(fd);
  } catch {
    // It is there, or SQLite will say why it cannot be.
  }
}

/** What SQLite's "unable to open database file" hides: which part of the path is wrong. null: nothing found. */
function problemWithPath(path: string): SqliteFailure | null {
  const folder = dirname(path);
  const folderStat = statSync(folder, { throwIfNoEntry: false });
  if (folderStat === undefined) return new SqliteFailure('missing', `the folder of the SQLite database must exist: ${folder} (${path})`);
  if (!folderStat.isDirectory())
    return new SqliteFailure('missing', `the folder of the SQLite database is not a folder: ${folder} (${path})`);
  const fileStat = statSync(path, { throwIfNoEntry: false });
  if (fileStat !== undefined && !fileStat.isFile()) return new SqliteFailure('missing', `the SQLite database must be a file: ${path}`);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    if (fileStat !== undefined) accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    return new SqliteFailure('readonly', `the SQLite database and its folder must be writable: ${path}`, { cause: error });
  }
  return null;
}

export interface SqliteOpenParams {
  readonly path: string;
  readonly synchronous: SqliteSynchronous;
  /** How long one statement may block the thread on another process's lock. Keep it short: it blocks the event loop. */
  readonly blockMs: number;
  /** Take the file for this process alone, until closed. */
  readonly exclusive?: boolean;
  /** Only look: no setting of the file is changed. */
  readonly readOnly?: boolean;
}

/** A row as an array in the order of the SELECT list: cheaper than objects on hot paths. */
export type SqliteRow = readonly SqliteValue[];
export type SqliteValue = null | number | bigint | string | Uint8Array;

/** A prepared statement. Rows come as arrays. */
class SqliteStatement {
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
  }

  /** Number of changed rows. */
  run(...values: SQLInputValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }

  all(...values: SQLInputValue[]): readonly SqliteRow[] {
    return this.#statement.all(...values) as unknown as readonly SqliteRow[];
  }

  get(...values: SQLInputValue[]): SqliteRow | undefined {
    return this.#statement.get(...values) as unknown as SqliteRow | undefined;
  }

  /** rowid of the inserted row. */
  insert(...values: SQLInputValue[]): number {
    return Number(this.#statement.run(...values).lastInsertRowid);
  }
}

export class SqliteDatabase {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, SqliteStatement>();
  #open = true;

  /** Throws SqliteFailure. WAL: readers and the one writer do not block each other; many processes may have it open. */
  constructor(params: SqliteOpenParams) {
    this.path = params.path;
    const { readOnly = false } = params;
    const problem = readOnly ? null : problemWithPath(params.path);
    if (problem !== null) throw problem;
    let database: DatabaseSync | null = null;
    try {
      if (!readOnly) makeForOwnerOfFolder(params.path);
      database = new DatabaseSync(params.path, { timeout: params.blockMs, readOnly });
      this.#database = database;
      if (readOnly) return;
      if (params.exclusive === true) database.exec('PRAGMA locking_mode = EXCLUSIVE');
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${params.synchronous}; PRAGMA foreign_keys = OFF`);
      // Larger than the default 1000 pages: fewer, larger copies back into the database. The limit shrinks the file after a burst.
      database.exec('PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY');
    } catch (error) {
      database?.close();
      throw toSqliteFailure(error, params.path);
    }
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** The cached prepared statement. The text must be a constant of the program, or the cache grows for ever. */
  prepare(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      const prepared = this.#database.prepare(sql);
      prepared.setReturnArrays(true);
      statement = new SqliteStatement(prepared);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** `work` in one write transaction: all of it or nothing. Throws SqliteFailure. */
  inTransaction(work: () => void): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.rollback();
      throw toSqliteFailure(error, this.path);
    }
  }

  /** Safe when there is no transaction: a failed statement may have ended it (full disk, I/O error). */
  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }

  /** All rows of a query. Throws SqliteFailure. */
  all(sql: string): readonly SqliteRow[] {
    try {
      return this.prepare(sql).all();
    } catch (error) {
      throw toSqliteFailure(error, this.path);
    }
  }

  /** Changes when another connection, here or in another process, has committed. Own commits do not change it. */
  dataVersion(): number {
    return Number(this.prepare('PRAGMA data_version').get()?.[0]);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#statements.clear();
    this.#database.close();
  }
}
