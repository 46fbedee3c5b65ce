/**
 * The tables of the embedded broker.
 *
 * Owns: their definition, and bringing a file that Python created first up to it. Never knows what the rows mean beyond the
 * comments here.
 *
 * `kombu_queue` and `kombu_message` are those of kombu's SQLAlchemy transport, column by column, so that a Python client or
 * worker with `sqla+sqlite:///FILE` shares the file. kombu sees rows with visible = 1 only and marks a consumed one visible = 0
 * with a timestamp; it never deletes. Our own columns stand behind kombu's, with defaults, so its inserts go on working:
 *
 *   umbel_priority   0…255, higher first; NULL in a row that Python inserted, until the next claim reads it from the envelope
 *   umbel_due_at     unix ms; the row is invisible until then
 *   umbel_owner      the umbel_consumer holding it; 0: set aside because it cannot be decoded
 *   umbel_delivered  how often it was delivered and came back
 *
 * Columns and tables are only ever added. Rows of kombu_queue are never deleted (kombu keeps their ids in memory).
 */
import type { SqliteDatabase } from '../../driver/sqlite.ts';

/** `umbel_owner` of messages nobody can decode. */
export const setAsideOwner = 0;

const kombuTables = `
CREATE TABLE IF NOT EXISTS kombu_queue (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name VARCHAR(200),
  UNIQUE (name)
);
CREATE TABLE IF NOT EXISTS kombu_message (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  visible BOOLEAN,
  timestamp DATETIME,
  payload TEXT NOT NULL,
  version SMALLINT NOT NULL,
  queue_id INTEGER,
  CONSTRAINT "FK_kombu_message_queue" FOREIGN KEY(queue_id) REFERENCES kombu_queue (id)
);`;

const ownColumns: ReadonlyMap<string, string> = new Map([
  ['umbel_priority', 'INTEGER'],
  ['umbel_due_at', 'INTEGER'],
  ['umbel_owner', 'INTEGER'],
  ['umbel_delivered', 'INTEGER NOT NULL DEFAULT 0'],
]);

const ownTables = `
CREATE INDEX IF NOT EXISTS umbel_ready ON kombu_message (queue_id, umbel_priority DESC, id) WHERE visible = 1;
CREATE INDEX IF NOT EXISTS umbel_due ON kombu_message (umbel_due_at) WHERE umbel_due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS umbel_held ON kombu_message (umbel_owner) WHERE umbel_owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS umbel_foreign ON kombu_message (id) WHERE umbel_priority IS NULL;
CREATE INDEX IF NOT EXISTS umbel_consumed ON kombu_message (timestamp) WHERE timestamp IS NOT NULL;
CREATE TABLE IF NOT EXISTS umbel_binding (
  exchange TEXT NOT NULL,
  type TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  queue TEXT NOT NULL,
  PRIMARY KEY (exchange, queue, routing_key, type)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS umbel_consumer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  started TEXT,
  lease_until INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS umbel_listener (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  consumer INTEGER NOT NULL,
  exchange TEXT NOT NULL,
  type TEXT NOT NULL,
  routing_key TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS umbel_transient (
  queue TEXT NOT NULL,
  consumer INTEGER NOT NULL,
  PRIMARY KEY (queue, consumer)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS umbel_listener_exchange ON umbel_listener (exchange);
CREATE TABLE IF NOT EXISTS umbel_broadcast (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  exchange TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL
);`;

/** Runs inside a transaction. Does nothing on a file that has everything. */
export function installBrokerTables(database: SqliteDatabase): void {
  database.exec(kombuTables);
  const present = new Set(
    database
      .prepare("SELECT name FROM pragma_table_info('kombu_message')")
      .all()
      .map((row) => row[0]),
  );
  for (const [name, definition] of ownColumns) {
    if (!present.has(name)) database.exec(`ALTER TABLE kombu_message ADD COLUMN ${name} ${definition}`);
  }
  database.exec(ownTables);
}
