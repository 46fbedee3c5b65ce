/** What is in the database of a Redis broker: who lives, what is held for whom, what waits. Reads, and no more than so many messages. */
import type { RedisConnection } from '../../driver/redis.ts';
import { RedisFailure } from '../../driver/redis-failure.ts';
import { surveyRedis } from '../../driver/redis-survey.ts';
import { parseIsoTime } from '../../protocol/iso-time.ts';
import { decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { DiagnosisParams, RedisReport } from '../broker-report.ts';
import type { KeyLayout } from './key-layout.ts';
import { readEntry } from './unacked-entry.ts';

/** Enough to see what is usual; a server with millions of messages must not notice. */
const mostTags = 10_000;
const mostEntries = 1000;
const mostOfList = 200;
/** What begins every tag of an umbel worker, up to the dot before the number. */
const ownTag = /^(umbel-[0-9a-f]{16})\./;

export async function diagnoseRedis(
  connection: RedisConnection,
  layout: KeyLayout,
  visibilityTimeoutMs: number,
  { queues }: DiagnosisParams,
): Promise<RedisReport> {
  const server = await surveyRedis(connection);
  const nowMs = Date.now() + (server.clockSkewMs ?? 0);
  const living = new Set<string>();
  const workers = pairs(await connection.call('ZRANGE', layout.workers, 0, -1, 'WITHSCORES'));
  for (const [id, leaseEndsAt] of workers) if (Number(leaseEndsAt) * 1000 > nowMs) living.add(id);
  let heldByDead = 0;
  let heldByPython = 0;
  for (const [tag, takenAt] of pairs(await connection.call('ZRANGE', layout.unackedIndex, 0, mostTags - 1, 'WITHSCORES'))) {
    const owner = ownTag.exec(tag)?.[1];
    const tooOld = Number(takenAt) * 1000 + visibilityTimeoutMs < nowMs;
    if (owner === undefined) heldByPython += 1;
    if (owner === undefined ? tooOld : !living.has(owner)) heldByDead += 1;
  }
  const reports = [];
  const texts: string[] = [];
  for (const { name } of queues) {
    let ready = 0;
    for (const list of layout.lists(name)) {
      ready += await lengthOf(connection, list);
      texts.push(...strings(await orNothing(connection.call('LRANGE', list, -mostOfList, -1))));
    }
    reports.push({ name, ready });
  }
  texts.push(...(await heldEnvelopes(connection, layout)));
  return {
    kind: 'redis',
    displayUrl: connection.displayUrl,
    server,
    visibilityTimeoutMs,
    livingWorkers: living.size,
    heldByDead,
    heldByPython,
    furthestDueAtMs: texts
      .map(dueAtOf)
      .reduce<number | null>((most, dueAtMs) => (dueAtMs !== null && dueAtMs > (most ?? nowMs) ? dueAtMs : most), null),
    queues: reports,
  };
}

async function lengthOf(connection: RedisConnection, list: string): Promise<number> {
  return Number((await orNothing(connection.call('LLEN', list))) ?? 0);
}

async function heldEnvelopes(connection: RedisConnection, layout: KeyLayout): Promise<readonly string[]> {
  const found: string[] = [];
  let cursor = '0';
  let seen = 0;
  do {
    const reply = await orNothing(connection.call('HSCAN', layout.unacked, cursor, 'COUNT', 200));
    if (!Array.isArray(reply)) break;
    cursor = String(reply[0]);
    for (const [, entry] of pairs(reply[1])) {
      seen += 1;
      const envelope = readEntry(entry)?.envelope;
      if (envelope !== undefined) found.push(envelope);
    }
  } while (cursor !== '0' && seen < mostEntries);
  return found;
}

function dueAtOf(envelope: string): number | null {
  try {
    const eta = decodeEnvelope(envelope).message.headers?.eta;
    return typeof eta === 'string' ? parseIsoTime(eta) : null;
  } catch {
    return null;
  }
}

/** null for a key of another type, and where the user may not look. */
async function orNothing(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (error instanceof RedisFailure && (error.kind === 'command' || error.kind === 'permission')) return null;
    throw error;
  }
}

function strings(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}

function pairs(reply: unknown): readonly (readonly [string, string])[] {
  const flat = strings(reply);
  return flat.flatMap((item, index) => (index % 2 === 0 ? [[item, flat[index + 1] ?? ''] as const] : []));
}
