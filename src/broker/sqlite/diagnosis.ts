/** What is in the file of an embedded broker: who lives, what is held for whom, what waits. Reads only. */
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { surveySqlite } from '../../driver/sqlite-survey.ts';
import type { DiagnosisParams, EmbeddedReport } from '../broker-report.ts';
import { countReady } from './message-table.ts';
import { isGone, ownIdentity } from './process-identity.ts';

const sql = {
  isOurs: "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'umbel_consumer'",
  consumers: 'SELECT id, host, pid, started, lease_until FROM umbel_consumer',
  held: 'SELECT umbel_owner, count(*) FROM kombu_message WHERE umbel_owner > 0 GROUP BY umbel_owner',
} as const;

export function diagnoseSqlite(path: string, displayUrl: string, { queues }: DiagnosisParams): EmbeddedReport {
  let livingWorkers = 0;
  let heldByDead = 0;
  const reports: { name: string; ready: number }[] = [];
  const file = surveySqlite(path, (database) => {
    if (database.prepare(sql.isOurs).get() === undefined) return;
    const living = livingConsumers(database);
    livingWorkers = living.size;
    for (const [owner, count] of database.prepare(sql.held).all()) if (!living.has(Number(owner))) heldByDead += Number(count);
    for (const { name } of queues) reports.push({ name, ready: countReady(database, name) });
  });
  return { kind: 'embedded', displayUrl, file, livingWorkers, heldByDead, queues: reports };
}

function livingConsumers(database: SqliteDatabase): ReadonlySet<number> {
  const own = ownIdentity();
  const living = new Set<number>();
  for (const [id, host, pid, started, leaseUntil] of database.prepare(sql.consumers).all()) {
    const identity = { host: String(host), pid: Number(pid), started: started === null ? null : String(started) };
    if (Number(leaseUntil) > Date.now() && !isGone(identity, own)) living.add(Number(id));
  }
  return living;
}
