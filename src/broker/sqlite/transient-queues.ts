/**
 * Queues that go with their last consumer (`autoDelete`), such as those of broadcasts: a worker that was killed cannot take its own away,
 * and they would fill for ever.
 *
 * Owns: the SQL of umbel_transient, one row for each consumer of such a queue. Runs inside somebody's transaction; keeps no state.
 */
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { emptyQueue } from './message-table.ts';
import { unbindQueue } from './routing-table.ts';

const sql = {
  add: 'INSERT OR IGNORE INTO umbel_transient (queue, consumer) VALUES (?, ?)',
  of: 'SELECT queue FROM umbel_transient WHERE consumer = ?',
  drop: 'DELETE FROM umbel_transient WHERE consumer = ?',
  others: 'SELECT 1 FROM umbel_transient WHERE queue = ?',
} as const;

export function consumeTransient(database: SqliteDatabase, queue: string, consumer: number): void {
  database.prepare(sql.add).run(queue, consumer);
}

/** This consumer is gone, and with it the queues nobody else consumes from. What it held must have been given back. */
export function dropTransient(database: SqliteDatabase, consumer: number): void {
  const queues = database.prepare(sql.of).all(consumer);
  if (queues.length === 0) return;
  database.prepare(sql.drop).run(consumer);
  for (const [queue] of queues) {
    const name = String(queue);
    if (database.prepare(sql.others).get(name) !== undefined) continue;
    emptyQueue(database, name);
    unbindQueue(database, name);
  }
}
