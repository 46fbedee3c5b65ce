/**
 * Every statement on kombu_message, each with its rule.
 *
 * Owns: the SQL of messages and queues. Runs inside somebody's transaction unless it says otherwise; keeps no state.
 *
 * Order: the higher priority first, then the older row. A message that comes back keeps its id and so its place.
 */
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { setAsideOwner } from './schema.ts';

/** The most a claim may take at once; also the size of one step of the background statements below. */
export const claimBatch = 64;
const stepRows = 500;

export interface ClaimedRow {
  readonly id: number;
  readonly payload: string;
  readonly priority: number;
  readonly delivered: number;
}

/**
 * Coming back, a row is marked in the envelope too, where a Python worker looks for it (delivery_info.redelivered).
 * What is not JSON stays as it is.
 */
const cameBack = `visible = 1, umbel_owner = NULL, umbel_delivered = umbel_delivered + 1, payload = CASE WHEN json_valid(payload)
      THEN json_set(payload, '$.properties.delivery_info.redelivered', json('true')) ELSE payload END`;

const sql = {
  addQueue: 'INSERT OR IGNORE INTO kombu_queue (name) VALUES (?)',
  insert:
    'INSERT INTO kombu_message (visible, payload, version, queue_id, umbel_priority, umbel_due_at) SELECT ?, ?, 1, id, ?, ? FROM kombu_queue WHERE name = ?',
  // Rows of Python clients: their priority stands in the envelope only. Limited, so that a large backlog does not stop the process.
  adopt: `UPDATE kombu_message SET umbel_priority = CASE WHEN json_valid(payload)
      THEN min(255, max(0, coalesce(CAST(json_extract(payload, '$.properties.priority') AS INTEGER), 0))) ELSE 0 END
    WHERE id IN (SELECT id FROM kombu_message WHERE umbel_priority IS NULL ORDER BY id LIMIT ${stepRows})`,
  claim: `UPDATE kombu_message SET visible = 0, umbel_owner = ? WHERE id IN (
      SELECT id FROM kombu_message WHERE visible = 1 AND queue_id = (SELECT id FROM kombu_queue WHERE name = ?)
      ORDER BY umbel_priority DESC, id LIMIT ?)
    RETURNING id, payload, umbel_priority, umbel_delivered`,
  ready: 'SELECT 1 FROM kombu_message WHERE visible = 1 AND queue_id = (SELECT id FROM kombu_queue WHERE name = ?) LIMIT 1',
  held: 'SELECT 1 FROM kombu_message WHERE id = ? AND umbel_owner = ?',
  ack: 'DELETE FROM kombu_message WHERE id = ? AND umbel_owner = ?',
  requeue: `UPDATE kombu_message SET ${cameBack} WHERE id = ? AND umbel_owner = ?`,
  giveBack: `UPDATE kombu_message SET ${cameBack} WHERE umbel_owner IS NOT NULL AND umbel_owner = ?`,
  unclaim: 'UPDATE kombu_message SET visible = 1, umbel_owner = NULL WHERE id = ? AND umbel_owner = ?',
  defer: 'UPDATE kombu_message SET umbel_owner = NULL, umbel_due_at = ? WHERE id = ? AND umbel_owner = ?',
  setAside: `UPDATE kombu_message SET umbel_owner = ${setAsideOwner}, timestamp = datetime('now', 'localtime') WHERE id = ? AND umbel_owner = ?`,
  scheduled: `SELECT payload, umbel_due_at FROM kombu_message WHERE umbel_due_at IS NOT NULL
      AND queue_id IN (SELECT id FROM kombu_queue WHERE name IN (SELECT value FROM json_each(?))) ORDER BY umbel_due_at LIMIT ?`,
  earliestDue: 'SELECT min(umbel_due_at) FROM kombu_message WHERE umbel_due_at IS NOT NULL',
  promote: `UPDATE kombu_message SET visible = 1, umbel_due_at = NULL WHERE id IN (
      SELECT id FROM kombu_message WHERE umbel_due_at <= ? ORDER BY umbel_due_at LIMIT ${stepRows})`,
  bringForward: `UPDATE kombu_message SET visible = 1, umbel_due_at = NULL
    WHERE umbel_due_at IS NOT NULL AND queue_id = (SELECT id FROM kombu_queue WHERE name = ?)`,
  inUse: `SELECT name FROM kombu_queue WHERE id IN (SELECT queue_id FROM kombu_message
    WHERE visible = 1 OR umbel_due_at IS NOT NULL OR umbel_owner IS NOT NULL)`,
  count: 'SELECT count(*) FROM kombu_message WHERE visible = 1 AND queue_id = (SELECT id FROM kombu_queue WHERE name = ?)',
  // Not what a Python worker has taken: that is invisible, and nobody's.
  purge: `DELETE FROM kombu_message WHERE queue_id = (SELECT id FROM kombu_queue WHERE name = ?)
    AND umbel_owner IS NULL AND (visible = 1 OR umbel_due_at IS NOT NULL)`,
  // All but what somebody holds: that is settled as usual.
  empty: 'DELETE FROM kombu_message WHERE umbel_owner IS NULL AND queue_id = (SELECT id FROM kombu_queue WHERE name = ?)',
  // What a Python worker took: kombu marks it and never looks at it again. What was set aside gets a week for somebody to look at it.
  sweepConsumed: `DELETE FROM kombu_message WHERE id IN (SELECT id FROM kombu_message
    WHERE timestamp < datetime('now', 'localtime', '-1 day') AND visible = 0 AND umbel_owner IS NULL AND umbel_due_at IS NULL LIMIT ${stepRows})`,
  sweepSetAside: `DELETE FROM kombu_message WHERE id IN (SELECT id FROM kombu_message
    WHERE timestamp < datetime('now', 'localtime', '-7 days') AND umbel_owner = ${setAsideOwner} LIMIT ${stepRows})`,
} as const;

export function addQueue(database: SqliteDatabase, name: string): void {
  database.prepare(sql.addQueue).run(name);
}

/** Into a queue, which is created when there is none: nothing published to a queue by its name is lost. */
export function insertMessage(database: SqliteDatabase, queue: string, payload: string, priority: number, dueAtMs: number | null): void {
  const statement = database.prepare(sql.insert);
  const visible = dueAtMs === null ? 1 : 0;
  // As for rows of Python clients: an integer beyond 2^53 could be written, but never read again.
  const rank = Math.min(255, Math.max(0, priority));
  if (statement.run(visible, payload, rank, dueAtMs, queue) === 1) return;
  addQueue(database, queue);
  statement.run(visible, payload, rank, dueAtMs, queue);
}

/** Give rows of Python clients their priority. Before every claim; costs next to nothing when there are none. */
export function adoptForeignRows(database: SqliteDatabase): void {
  database.prepare(sql.adopt).run();
}

/** Take up to `limit` messages, in the queue's order. */
export function claimMessages(database: SqliteDatabase, queue: string, owner: number, limit: number): ClaimedRow[] {
  const rows: ClaimedRow[] = [];
  for (const [id, payload, priority, delivered] of database.prepare(sql.claim).all(owner, queue, limit)) {
    // Python writes text; whatever else stands there is not an envelope, and its reader says so.
    const text = typeof payload === 'string' ? payload : '';
    rows.push({ id: Number(id), payload: text, priority: Number(priority), delivered: Number(delivered) });
  }
  // RETURNING promises no order.
  return rows.sort((a, b) => b.priority - a.priority || a.id - b.id);
}

/** What waits for its time, the next ones first: payload and unix milliseconds. For use outside a transaction. */
export function scheduledRows(database: SqliteDatabase, queues: readonly string[], limit: number): { payload: string; dueAtMs: number }[] {
  const rows = database.prepare(sql.scheduled).all(JSON.stringify(queues), limit);
  return rows.map(([payload, dueAtMs]) => ({ payload: String(payload), dueAtMs: Number(dueAtMs) }));
}

/** Is there anything to claim? For use outside a transaction. */
export function hasReady(database: SqliteDatabase, queue: string): boolean {
  return database.prepare(sql.ready).get(queue) !== undefined;
}

export type Settlement =
  | { readonly kind: 'ack' | 'requeue' | 'unclaim' | 'setAside' }
  | { readonly kind: 'defer'; readonly dueAtMs: number }
  /** Another one takes its place, at the end of the queue. */
  | { readonly kind: 'replace'; readonly queue: string; readonly payload: string; readonly priority: number };

/** false: it is not this owner's (any more); nothing was changed. */
export function settleMessage(database: SqliteDatabase, id: number, owner: number, settlement: Settlement): boolean {
  if (settlement.kind === 'defer') return database.prepare(sql.defer).run(settlement.dueAtMs, id, owner) === 1;
  if (settlement.kind !== 'replace') return database.prepare(sql[settlement.kind]).run(id, owner) === 1;
  if (database.prepare(sql.ack).run(id, owner) !== 1) return false;
  insertMessage(database, settlement.queue, settlement.payload, settlement.priority, null);
  return true;
}

/** Is it (still) this owner's? */
export function isHeld(database: SqliteDatabase, id: number, owner: number): boolean {
  return database.prepare(sql.held).get(id, owner) !== undefined;
}

/** Everything this owner holds, back to its old place; how many. */
export function giveBackAll(database: SqliteDatabase, owner: number): number {
  return database.prepare(sql.giveBack).run(owner);
}

/** Unix ms, or null when nothing waits. For use outside a transaction. */
export function earliestDueMs(database: SqliteDatabase): number | null {
  const value = database.prepare(sql.earliestDue).get()?.[0];
  return value === null || value === undefined ? null : Number(value);
}

/** Make visible what has become due; how many. At most one step: call again until it finds none. */
export function promoteDue(database: SqliteDatabase, nowMs: number): number {
  return database.prepare(sql.promote).run(nowMs);
}

/** For use outside a transaction. */
export function countReady(database: SqliteDatabase, queue: string): number {
  return Number(database.prepare(sql.count).get(queue)?.[0] ?? 0);
}

/** Ready, though not due; how many. */
export function bringForward(database: SqliteDatabase, queue: string): number {
  return database.prepare(sql.bringForward).run(queue);
}

/** Queues with messages of any kind. For use outside a transaction. */
export function queuesInUse(database: SqliteDatabase): readonly string[] {
  return database
    .prepare(sql.inUse)
    .all()
    .map(([name]) => String(name));
}

export function purgeUnheld(database: SqliteDatabase, queue: string): number {
  return database.prepare(sql.purge).run(queue);
}

export function emptyQueue(database: SqliteDatabase, queue: string): void {
  database.prepare(sql.empty).run(queue);
}

/** Delete rows that are provably dead; how many. At most one step. */
export function sweepDeadRows(database: SqliteDatabase): number {
  return database.prepare(sql.sweepConsumed).run() + database.prepare(sql.sweepSetAside).run();
}
