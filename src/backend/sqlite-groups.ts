/**
 * Groups and chords in the file of the embedded backend.
 *
 * Owns the tables umbel_group, umbel_chord, umbel_chord_part and umbel_run. A result, the count of its part and, on one store with the broker, the
 * acknowledgement of its message are one operation of the group commit.
 *
 * Of a chord that has ended one row stays until it expires: a part that is delivered again then begins no new one.
 */
import type { SqliteDatabase, SqliteFailure } from '../driver/sqlite.ts';
import type { SqliteRemoval } from '../driver/sqlite-removal.ts';
import { type SqliteOperation, type SqliteStore, sqliteTopic } from '../driver/sqlite-store.ts';
import type { ChordMember } from '../protocol/chord-member.ts';
import type { ResultRecord } from '../protocol/result.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { Clock } from '../std/clock.ts';
import { joinFailed, outcomeOfJoin, outcomeOfMembers, partsLost, sizeLost } from './chord-outcome.ts';
import { type DocumentSource, type JoinOutcome, joinGroup } from './group-join.ts';
import type { ChordOutcome, ChordPart, GroupStore } from './group-store.ts';
import { readSavedGroup, savedGroup } from './saved-group.ts';

export interface SqliteGroupsParams {
  readonly store: SqliteStore;
  readonly source: DocumentSource;
  /** null: results are kept for ever. */
  readonly resultExpiresMs: number | null;
  readonly chordJoinTimeoutMs: number;
  readonly chordSizeTimeoutMs: number;
  readonly clock: Clock;
  /** Inside a transaction: keep the document of this record. */
  storeDocument(database: SqliteDatabase, record: ResultRecord): void;
  /** What the file says when it fails. */
  unavailable(failure: unknown): Error;
}

const stepRows = 500;

const sql = {
  tables: `
CREATE TABLE IF NOT EXISTS umbel_group (group_id TEXT PRIMARY KEY, document TEXT NOT NULL, expires_at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS umbel_chord (
  group_id TEXT PRIMARY KEY,
  size INTEGER,
  added INTEGER NOT NULL DEFAULT 0,
  counted INTEGER NOT NULL DEFAULT 0,
  completed_by TEXT,
  ended INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS umbel_chord_part (
  group_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  place INTEGER,
  state TEXT NOT NULL,
  result TEXT NOT NULL,
  PRIMARY KEY (group_id, task_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS umbel_run (task_id TEXT PRIMARY KEY, mark TEXT NOT NULL, expires_at INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS umbel_run_expiry ON umbel_run (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS umbel_group_expiry ON umbel_group (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS umbel_chord_expiry ON umbel_chord (expires_at) WHERE expires_at IS NOT NULL;`,
  group: 'SELECT document FROM umbel_group WHERE group_id = ? AND (expires_at IS NULL OR expires_at > ?)',
  saveGroup: 'INSERT OR REPLACE INTO umbel_group (group_id, document, expires_at) VALUES (?, ?, ?)',
  deleteGroup: 'DELETE FROM umbel_group WHERE group_id = ?',
  chord: 'SELECT size, added, counted, completed_by, ended FROM umbel_chord WHERE group_id = ?',
  recount: 'SELECT count(*) FROM umbel_chord_part WHERE group_id = ?',
  resume: 'INSERT INTO umbel_chord (group_id, counted, expires_at) VALUES (?, ?, ?)',
  keep: 'UPDATE umbel_chord SET expires_at = ?2 WHERE group_id = ?1',
  keepGroup: 'UPDATE umbel_group SET expires_at = ?2 WHERE group_id = ?1',
  begin: `INSERT INTO umbel_chord (group_id, size, expires_at) VALUES (?1, ?2, ?3)
    ON CONFLICT (group_id) DO UPDATE SET size = coalesce(?2, size), expires_at = ?3`,
  add: `INSERT INTO umbel_chord (group_id, added, expires_at) VALUES (?1, 1, ?2)
    ON CONFLICT (group_id) DO UPDATE SET added = added + 1, expires_at = ?2`,
  count: 'UPDATE umbel_chord SET counted = counted + 1 WHERE group_id = ?',
  complete: 'UPDATE umbel_chord SET completed_by = ? WHERE group_id = ?',
  part: 'SELECT state FROM umbel_chord_part WHERE group_id = ? AND task_id = ?',
  setPart: 'INSERT OR REPLACE INTO umbel_chord_part (group_id, task_id, place, state, result) VALUES (?, ?, ?, ?, ?)',
  parts: 'SELECT task_id, state, result FROM umbel_chord_part WHERE group_id = ? ORDER BY place IS NULL, place, task_id',
  end: 'UPDATE umbel_chord SET ended = 1, size = NULL, added = 0, counted = 0, completed_by = NULL WHERE group_id = ?',
  deleteParts: 'DELETE FROM umbel_chord_part WHERE group_id = ?',
  claimRun: 'INSERT OR IGNORE INTO umbel_run (task_id, mark, expires_at) VALUES (?, ?, ?)',
  run: 'SELECT mark FROM umbel_run WHERE task_id = ?',
  expiredRuns: `DELETE FROM umbel_run WHERE task_id IN (SELECT task_id FROM umbel_run WHERE expires_at <= ? LIMIT ${stepRows})`,
  expiredChords: `SELECT group_id FROM umbel_chord WHERE expires_at <= ? ORDER BY expires_at LIMIT ${stepRows}`,
  deleteChord: 'DELETE FROM umbel_chord WHERE group_id = ?',
  expiredGroups: `DELETE FROM umbel_group WHERE group_id IN (SELECT group_id FROM umbel_group WHERE expires_at <= ? LIMIT ${stepRows})`,
} as const;

export class SqliteGroups implements GroupStore {
  readonly sizeTimeoutMs: number;
  readonly #params: SqliteGroupsParams;

  constructor(params: SqliteGroupsParams) {
    this.#params = params;
    this.sizeTimeoutMs = params.chordSizeTimeoutMs;
  }

  install(database: SqliteDatabase): void {
    database.exec(sql.tables);
  }

  async storeChordPart(record: ResultRecord, part: ChordPart, settle?: () => Promise<unknown>): Promise<ChordOutcome> {
    const { store } = this.#params;
    let settled: Promise<unknown> | undefined;
    const [removal = null] = store.removalsOf(() => {
      settled = settle?.();
    });
    const counted = new Promise<CountReply>((resolve, reject) => {
      store.enqueue(new CountPart({ ...this.#params, record, part, removal, expiresAtMs: this.#expiresAtMs(), resolve, reject }));
    });
    const [reply] = await Promise.all([counted, settled]);
    if (reply.kind !== 'whole') return reply;
    if (reply.missing > 0) return partsLost(part.groupId, [], reply.missing);
    if (reply.group === null) return outcomeOfMembers(reply.members);
    let group: ResultTuple;
    try {
      group = readSavedGroup(reply.group);
    } catch (error) {
      return joinFailed(String(error));
    }
    return outcomeOfJoin(await this.join(group, this.#params.chordJoinTimeoutMs));
  }

  async endChord(groupId: string): Promise<void> {
    await this.#write((database) => {
      database.prepare(sql.end).run(groupId);
      database.prepare(sql.deleteParts).run(groupId);
    });
  }

  giveUpChord(groupId: string, taskId: string, counted: number): Promise<ChordOutcome> {
    return this.#write((database) => {
      const [size, , there, , ended] = database.prepare(sql.chord).get(groupId) ?? [];
      const known = there !== undefined && database.prepare(sql.part).get(groupId, taskId) !== undefined;
      if (!known || ended === 1 || typeof size === 'number') return nothing;
      if (there !== counted) return { kind: 'unsized', counted: Number(there) };
      database.prepare(sql.end).run(groupId);
      database.prepare(sql.deleteParts).run(groupId);
      return sizeLost(groupId, counted);
    });
  }

  async setChordSize(groupId: string, size: number): Promise<void> {
    await this.#write((database) => database.prepare(sql.begin).run(groupId, size, this.#expiresAtMs()));
  }

  /** Not kept for a file that fails: whoever asked hears of it. */
  async addToChord(groupId: string): Promise<void> {
    await this.#write((database) => database.prepare(sql.add).run(groupId, this.#expiresAtMs()), false);
  }

  claimRun(taskId: string, mark: string): Promise<'first' | 'same' | 'other'> {
    return this.#write((database) => {
      if (database.prepare(sql.claimRun).run(taskId, mark, this.#expiresAtMs()) === 1) return 'first';
      return database.prepare(sql.run).get(taskId)?.[0] === mark ? 'same' : 'other';
    });
  }

  async saveGroup(groupId: string, group: ResultTuple): Promise<void> {
    await this.#write((database) => database.prepare(sql.saveGroup).run(groupId, savedGroup(group), this.#expiresAtMs()));
  }

  async restoreGroup(groupId: string): Promise<ResultTuple | null> {
    try {
      const text = await this.#params.store.read((database) => savedText(database, groupId, this.#params.clock.now()));
      return text === null ? null : readSavedGroup(text);
    } catch (error) {
      throw this.#params.unavailable(error);
    }
  }

  async deleteGroup(groupId: string): Promise<void> {
    await this.#write((database) => database.prepare(sql.deleteGroup).run(groupId));
  }

  join(group: ResultTuple, timeoutMs: number): Promise<JoinOutcome> {
    return joinGroup(group, this.#params.source, timeoutMs, this.#params.clock);
  }

  /** Delete what has expired; how many groups and chords. */
  async cleanup(): Promise<number> {
    const nowMs = this.#params.clock.now();
    let deleted = 0;
    for (;;) {
      const step = await this.#write((database) => {
        const chords = database.prepare(sql.expiredChords).all(nowMs);
        for (const [groupId] of chords) {
          database.prepare(sql.deleteParts).run(String(groupId));
          database.prepare(sql.deleteChord).run(String(groupId));
        }
        database.prepare(sql.expiredRuns).run(nowMs);
        return chords.length + database.prepare(sql.expiredGroups).run(nowMs);
      });
      deleted += step;
      if (step < stepRows) return deleted;
    }
  }

  #expiresAtMs(): number | null {
    const { resultExpiresMs, clock } = this.#params;
    return resultExpiresMs === null ? null : clock.now() + resultExpiresMs;
  }

  async #write<T>(work: (database: SqliteDatabase) => T, keep = true): Promise<T> {
    try {
      return await this.#params.store.write(work, { keep });
    } catch (error) {
      throw this.#params.unavailable(error);
    }
  }
}

function savedText(database: SqliteDatabase, groupId: string, nowMs: number): string | null {
  const text = database.prepare(sql.group).get(groupId, nowMs)?.[0];
  return typeof text === 'string' ? text : null;
}

type CountReply =
  | Extract<ChordOutcome, { readonly kind: 'counted' | 'unsized' }>
  /** Every part was counted; `missing` of them are gone. `group`: text of the saved group, where the results are more than a list. */
  | { readonly kind: 'whole'; readonly members: readonly ChordMember[]; readonly missing: number; readonly group: string | null };

const nothing: Extract<ChordOutcome, { readonly kind: 'counted' }> = { kind: 'counted' };

interface CountPartParams extends Pick<SqliteGroupsParams, 'storeDocument' | 'unavailable' | 'clock'> {
  readonly record: ResultRecord;
  readonly part: ChordPart;
  readonly removal: SqliteRemoval | null;
  readonly expiresAtMs: number | null;
  resolve(reply: CountReply): void;
  reject(error: Error): void;
}

/** Kept when the file fails, as results are. */
class CountPart implements SqliteOperation {
  readonly keep = true;
  readonly topics = sqliteTopic.result;
  readonly #params: CountPartParams;
  /** By the last run. */
  #reply: CountReply = nothing;
  #held = true;

  constructor(params: CountPartParams) {
    this.#params = params;
  }

  run(database: SqliteDatabase): void {
    const { record, part, removal, storeDocument } = this.#params;
    this.#reply = nothing;
    this.#held = removal === null || removal.isHeld(database);
    // Whoever has the message by now counts.
    if (!this.#held) return;
    if (!part.ignoreResult) storeDocument(database, record);
    this.#reply = this.#count(database);
    if (this.#reply.kind !== 'whole') removal?.remove(database);
  }

  committed(): void {
    const { removal, resolve } = this.#params;
    if (this.#reply.kind === 'whole') removal?.kept();
    else removal?.removed(this.#held);
    resolve(this.#reply);
  }

  failed(failure: SqliteFailure): void {
    this.#params.reject(this.#params.unavailable(failure));
    this.#params.removal?.failed(failure);
  }

  #count(database: SqliteDatabase): CountReply {
    const { record, part, expiresAtMs, clock } = this.#params;
    const { groupId, groupIndex, chordSize } = part;
    const { taskId, status, resultJson } = record;
    const [size, added, before, completedBy, ended] = this.#row(database, groupId, expiresAtMs);
    if (ended === 1) return nothing;
    const present = database.prepare(sql.part).get(groupId, taskId)?.[0];
    // A task counts once; a success takes the place of a failure.
    if (present === undefined || (status === 'SUCCESS' && present !== 'SUCCESS'))
      database.prepare(sql.setPart).run(groupId, taskId, groupIndex, status, resultJson);
    if (present === undefined) database.prepare(sql.count).run(groupId);
    const counted = Number(before) + (present === undefined ? 1 : 0);
    const whole = typeof size === 'number' ? size : chordSize;
    if (whole === null) return { kind: 'unsized', counted };
    if (counted !== whole + Number(added)) return nothing;
    if (completedBy !== null && completedBy !== taskId) return nothing;
    database.prepare(sql.complete).run(taskId, groupId);
    const members = database
      .prepare(sql.parts)
      .all(groupId)
      .map(([id, state, result]) => ({ taskId: String(id), state: String(state), resultJson: String(result) }));
    return { kind: 'whole', members, missing: counted - members.length, group: savedText(database, groupId, clock.now()) };
  }

  /** One that is gone begins with the parts that are there. */
  #row(database: SqliteDatabase, groupId: string, expiresAtMs: number | null): readonly unknown[] {
    const row = database.prepare(sql.chord).get(groupId);
    if (row === undefined) {
      const there = Number(database.prepare(sql.recount).get(groupId)?.[0]);
      database.prepare(sql.resume).run(groupId, there, expiresAtMs);
      return [null, 0, there, null, 0];
    }
    database.prepare(sql.keep).run(groupId, expiresAtMs);
    database.prepare(sql.keepGroup).run(groupId, expiresAtMs);
    return row;
  }
}
