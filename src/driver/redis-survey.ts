/**
 * What a Redis server says of itself, for `umbel doctor`. Asks with INFO, CONFIG GET, CLIENT LIST and TIME, and changes nothing.
 *
 * null means: the user may not ask, or the server does not say (managed services hide CONFIG).
 */
import type { RedisConnection } from './redis.ts';
import { RedisFailure } from './redis-failure.ts';

export interface RedisSurvey {
  readonly displayUrl: string;
  readonly version: string | null;
  readonly majorVersion: number | null;
  readonly minorVersion: number | null;
  /** 0: no bound. */
  readonly maxmemoryBytes: number | null;
  readonly usedBytes: number | null;
  readonly maxmemoryPolicy: string | null;
  readonly appendOnly: boolean | null;
  /** `always`, `everysec`, `no`. */
  readonly appendFsync: string | null;
  /** It saves snapshots from time to time. */
  readonly snapshots: boolean | null;
  /** What the last attempt to save said, where it failed. */
  readonly saveFailure: string | null;
  /** Idle connections are closed after so long; 0: never. */
  readonly idleTimeoutSeconds: number | null;
  readonly clients: number | null;
  readonly maxClients: number | null;
  /** Of `normal` and `pubsub` clients; 0: no bound. */
  readonly outputBuffers: readonly { readonly kind: string; readonly hardBytes: number }[];
  readonly replicas: number | null;
  readonly replicasReadOnly: boolean | null;
  /** Clients that wait in BRPOP, as Python workers do. */
  readonly blockedInPop: number | null;
  /** The server's clock minus ours. */
  readonly clockSkewMs: number | null;
  /** Half of the time the question took: the skew is not known better. */
  readonly clockErrorMs: number;
}

/** Over a connection that is up. Rejects with a RedisFailure when it is lost. */
export async function surveyRedis(connection: RedisConnection): Promise<RedisSurvey> {
  const ask = async (...command: readonly [string, ...(string | number)[]]): Promise<unknown> => {
    try {
      return await connection.call(...command);
    } catch (error) {
      if (error instanceof RedisFailure && (error.kind === 'permission' || error.kind === 'command')) return null;
      throw error;
    }
  };
  const info = fieldsOf(await ask('INFO'));
  const config = async (name: string): Promise<string | null> => {
    const reply = await ask('CONFIG', 'GET', name);
    const value: unknown = Array.isArray(reply) ? reply[1] : null;
    return typeof value === 'string' ? value : null;
  };
  const save = await config('save');
  const appendFsync = await config('appendfsync');
  const idleTimeout = await config('timeout');
  const maxClients = await config('maxclients');
  const buffers = await config('client-output-buffer-limit');
  const replicaReadOnly = await config('replica-read-only');
  const clients = await ask('CLIENT', 'LIST');
  const askedAtMs = Date.now();
  const time = await ask('TIME');
  const answeredAtMs = Date.now();
  const { server, displayUrl } = connection;
  const numberOf = (name: string): number | null => (info.has(name) ? Number(info.get(name)) : null);
  return {
    displayUrl,
    version: server?.version ?? null,
    majorVersion: server?.majorVersion ?? null,
    minorVersion: server?.minorVersion ?? null,
    maxmemoryBytes: numberOf('maxmemory'),
    usedBytes: numberOf('used_memory'),
    maxmemoryPolicy: info.get('maxmemory_policy') ?? null,
    appendOnly: info.has('aof_enabled') ? info.get('aof_enabled') === '1' : null,
    appendFsync,
    snapshots: save === null ? null : save !== '',
    saveFailure: saveFailureOf(info),
    idleTimeoutSeconds: idleTimeout === null ? null : Number(idleTimeout),
    clients: numberOf('connected_clients'),
    maxClients: numberOf('maxclients') ?? (maxClients === null ? null : Number(maxClients)),
    outputBuffers: buffersOf(buffers ?? ''),
    replicas: numberOf('connected_slaves'),
    replicasReadOnly: replicaReadOnly === null ? null : replicaReadOnly === 'yes',
    blockedInPop: typeof clients === 'string' ? (clients.match(/\bcmd=brpop\b/g)?.length ?? 0) : null,
    clockSkewMs: Array.isArray(time) ? Number(time[0]) * 1000 + Number(time[1]) / 1000 - (askedAtMs + answeredAtMs) / 2 : null,
    clockErrorMs: (answeredAtMs - askedAtMs) / 2,
  };
}

function fieldsOf(info: unknown): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of typeof info === 'string' ? info.split('\r\n') : []) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

function saveFailureOf(info: ReadonlyMap<string, string>): string | null {
  const failed = ['rdb_last_bgsave_status', 'aof_last_write_status', 'aof_last_bgrewrite_status'].filter(
    (name) => (info.get(name) ?? 'ok') !== 'ok',
  );
  return failed.length === 0 ? null : failed.map((name) => `${name} ${info.get(name)}`).join(', ');
}

/** `normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60` */
function buffersOf(text: string): RedisSurvey['outputBuffers'] {
  return [...text.matchAll(/(\w+) (\d+) (\d+) (\d+)/g)]
    .map(([, kind = '', hard]) => ({ kind, hardBytes: Number(hard) }))
    .filter(({ kind }) => kind === 'normal' || kind === 'pubsub');
}
