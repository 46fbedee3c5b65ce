/** What a SQLite file and its place are like, for `umbel doctor`. Reads only; a file that is not there is not made. */
import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { SqliteDatabase, type SqliteFailure, toSqliteFailure } from './sqlite.ts';

export interface SqliteSurvey {
  readonly path: string;
  readonly exists: boolean;
  readonly writable: boolean;
  readonly walBytes: number;
  /** `wal` in a file that umbel has opened before. null: there is no file, it is empty, or it cannot be read. */
  readonly journalMode: string | null;
  /** What SQLite's own check says. Empty: it is sound. */
  readonly damage: readonly string[];
  /** Why the file could not be read at all. */
  readonly failure: SqliteFailure | null;
  readonly fileSystem: { readonly name: string; readonly remote: boolean; readonly inMemory: boolean } | null;
  readonly freeBytes: number | null;
}

/** f_type of statfs(2). Locks and shared memory of SQLite's log work within one machine only. */
const fileSystems: ReadonlyMap<number, { readonly name: string; readonly remote?: true; readonly inMemory?: true }> = new Map([
  [0x6969, { name: 'nfs', remote: true }],
  [0xff534d42, { name: 'cifs', remote: true }],
  [0xfe534d42, { name: 'smb2', remote: true }],
  [0x517b, { name: 'smb', remote: true }],
  [0x01021997, { name: '9p', remote: true }],
  [0x00c36400, { name: 'ceph', remote: true }],
  [0x5346414f, { name: 'afs', remote: true }],
  [0x47504653, { name: 'gpfs', remote: true }],
  [0x0bd00bd0, { name: 'lustre', remote: true }],
  [0x01021994, { name: 'tmpfs', inMemory: true }],
  [0x858458f6, { name: 'ramfs', inMemory: true }],
]);

/** `read`: what else somebody wants to know of a file that is sound. */
export function surveySqlite(path: string, read: (database: SqliteDatabase) => void = () => {}): SqliteSurvey {
  const folder = dirname(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  const exists = stat !== undefined;
  const none = { journalMode: null, damage: [], failure: null };
  return {
    path,
    exists,
    writable: may(folder, constants.W_OK | constants.X_OK) && (!exists || may(path, constants.R_OK | constants.W_OK)),
    walBytes: statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    // An empty file is a new one to SQLite.
    ...(exists && stat.size > 0 ? content(path, read) : none),
    ...placeOf(folder),
  };
}

function content(path: string, read: (database: SqliteDatabase) => void): Pick<SqliteSurvey, 'journalMode' | 'damage' | 'failure'> {
  let database: SqliteDatabase | null = null;
  try {
    database = new SqliteDatabase({ path, synchronous: 'normal', blockMs: 1000, readOnly: true });
    const journalMode = String(database.prepare('PRAGMA journal_mode').get()?.[0] ?? '');
    const said = database
      .prepare('PRAGMA quick_check(5)')
      .all()
      .map(([line]) => String(line));
    const damage = said.length === 1 && said[0] === 'ok' ? [] : said;
    if (damage.length === 0) read(database);
    return { journalMode, damage, failure: null };
  } catch (error) {
    return { journalMode: null, damage: [], failure: toSqliteFailure(error, path) };
  } finally {
    database?.close();
  }
}

function placeOf(folder: string): Pick<SqliteSurvey, 'fileSystem' | 'freeBytes'> {
  try {
    const { type, bavail, bsize } = statfsSync(folder);
    const known = fileSystems.get(type >>> 0);
    return {
      fileSystem: known === undefined ? null : { name: known.name, remote: known.remote === true, inMemory: known.inMemory === true },
      freeBytes: bavail * bsize,
    };
  } catch {
    return { fileSystem: null, freeBytes: null };
  }
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
