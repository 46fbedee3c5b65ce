/**
 * Bindings, listeners and broadcast rows: what happens to a message that is published to a named exchange.
 *
 * Owns: the SQL of umbel_binding, umbel_listener and umbel_broadcast. Runs inside somebody's transaction unless it says
 * otherwise; keeps no state.
 *
 * A broadcast is stored once, however many listen, and only if somebody listens; each listener remembers the last row it saw.
 */
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { bindingMatches } from '../binding-match.ts';
import type { ExchangeType } from '../broker.ts';
import type { TypedBinding } from '../plain-operator-channel.ts';

/** How long a broadcast stays for a listener that is slow: far longer than any event loop is blocked. */
const broadcastRetentionMs = 60_000;
const stepRows = 500;

export interface Route {
  readonly queues: ReadonlySet<string>;
  readonly broadcast: boolean;
}

export interface BroadcastRow {
  readonly id: number;
  readonly routingKey: string;
  readonly payload: string;
}

const sql = {
  bind: 'INSERT OR IGNORE INTO umbel_binding (exchange, type, routing_key, queue) VALUES (?, ?, ?, ?)',
  unbindQueue: 'DELETE FROM umbel_binding WHERE queue = ?',
  unbindExchange: 'DELETE FROM umbel_binding WHERE exchange = ?',
  allBindings: 'SELECT queue, exchange, routing_key, type FROM umbel_binding',
  bindings: 'SELECT type, routing_key, queue FROM umbel_binding WHERE exchange = ?',
  listen: 'INSERT INTO umbel_listener (consumer, exchange, type, routing_key) VALUES (?, ?, ?, ?)',
  unlisten: 'DELETE FROM umbel_listener WHERE id = ?',
  listeners: 'SELECT type, routing_key FROM umbel_listener WHERE exchange = ?',
  lastBroadcast: "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'umbel_broadcast'",
  broadcast: 'INSERT INTO umbel_broadcast (exchange, routing_key, payload, created_at) VALUES (?, ?, ?, ?)',
  since: `SELECT id, routing_key, payload FROM umbel_broadcast WHERE id > ? AND exchange = ? ORDER BY id LIMIT ${stepRows}`,
  sweep: `DELETE FROM umbel_broadcast WHERE id IN (SELECT id FROM umbel_broadcast WHERE created_at < ? ORDER BY id LIMIT ${stepRows})`,
} as const;

export function bindQueue(database: SqliteDatabase, exchange: string, type: ExchangeType, routingKey: string, queue: string): void {
  database.prepare(sql.bind).run(exchange, type, routingKey, queue);
}

export function unbindQueue(database: SqliteDatabase, queue: string): void {
  database.prepare(sql.unbindQueue).run(queue);
}

export function unbindExchange(database: SqliteDatabase, exchange: string): void {
  database.prepare(sql.unbindExchange).run(exchange);
}

/** For use outside a transaction. */
export function allBindings(database: SqliteDatabase): readonly TypedBinding[] {
  return database
    .prepare(sql.allBindings)
    .all()
    .map(([queue, exchange, routingKey, type]) => ({
      queue: String(queue),
      exchange: String(exchange),
      routingKey: String(routingKey),
      type: type as ExchangeType,
    }));
}

export function routeMessage(database: SqliteDatabase, exchange: string, routingKey: string): Route {
  const queues = new Set<string>();
  for (const [type, bindingKey, queue] of database.prepare(sql.bindings).all(exchange)) {
    if (bindingMatches(type as ExchangeType, String(bindingKey), routingKey)) queues.add(String(queue));
  }
  const broadcast = database
    .prepare(sql.listeners)
    .all(exchange)
    .some(([type, bindingKey]) => bindingMatches(type as ExchangeType, String(bindingKey), routingKey));
  return { queues, broadcast };
}

export function addListener(database: SqliteDatabase, consumer: number, exchange: string, type: ExchangeType, routingKey: string): number {
  return database.prepare(sql.listen).insert(consumer, exchange, type, routingKey);
}

export function removeListener(database: SqliteDatabase, id: number): void {
  database.prepare(sql.unlisten).run(id);
}

/** The id of the newest broadcast ever stored: a listener that starts now wants what comes after it. */
export function lastBroadcastId(database: SqliteDatabase): number {
  return Number(database.prepare(sql.lastBroadcast).get()?.[0] ?? 0);
}

export function insertBroadcast(database: SqliteDatabase, exchange: string, routingKey: string, payload: string, nowMs: number): void {
  database.prepare(sql.broadcast).run(exchange, routingKey, payload, nowMs);
}

/** At most one step, oldest first. For use outside a transaction. */
export function broadcastsSince(database: SqliteDatabase, id: number, exchange: string): BroadcastRow[] {
  return database
    .prepare(sql.since)
    .all(id, exchange)
    .map(([rowId, routingKey, payload]) => ({ id: Number(rowId), routingKey: String(routingKey), payload: String(payload) }));
}

/** Delete what everybody has had time to read; how many. At most one step. */
export function sweepBroadcasts(database: SqliteDatabase, nowMs: number): number {
  return database.prepare(sql.sweep).run(nowMs - broadcastRetentionMs);
}
