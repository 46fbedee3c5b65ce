/**
 * The reference: the fastest plain loop over the same rows. Claims 64 rows in one transaction, deletes them in the next, until none is
 * left: no leases, no priorities beyond the index, no task run, nothing decoded. Same file layout, same durability.
 */
import { DatabaseSync } from 'node:sqlite';

/** Rows per second over the whole queue of the database at `path`, which is empty afterwards. */
export function rawSqliteRate(path: string, queue: string, rows: number): number {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  const queueId = database.prepare('SELECT id FROM kombu_queue WHERE name = ?').get(queue)?.id;
  if (typeof queueId !== 'number') throw new Error(`the database must hold the queue ${queue} (${path})`);
  const claim = database.prepare(
    `UPDATE kombu_message SET visible = 0
     WHERE id IN (SELECT id FROM kombu_message WHERE queue_id = ? AND visible = 1 ORDER BY umbel_priority DESC, id LIMIT 64)
     RETURNING id, payload`,
  );
  const remove = database.prepare('DELETE FROM kombu_message WHERE id = ?');
  let done = 0;
  const startedAtMs = performance.now();
  for (;;) {
    database.exec('BEGIN IMMEDIATE');
    const claimed = claim.all(queueId);
    database.exec('COMMIT');
    if (claimed.length === 0) break;
    database.exec('BEGIN IMMEDIATE');
    for (const row of claimed) remove.run(row.id as number);
    database.exec('COMMIT');
    done += claimed.length;
  }
  const seconds = (performance.now() - startedAtMs) / 1_000;
  database.close();
  if (done !== rows) throw new Error(`the raw loop must see ${rows} rows, got ${done} (${path})`);
  return done / seconds;
}
