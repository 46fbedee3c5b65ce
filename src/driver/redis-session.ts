/**
 * One live connection to one Redis server, from handshake to close. Never reconnects: whoever opened it opens another.
 *
 * Owns: the ioredis client (this folder alone imports that package), the handshake, and the reading of INFO. What leaves here is a
 * reply, or a RedisFailure.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { giveDataDirectly } from '../std/direct-data.ts';
import { quickStrings } from '../std/quick-strings.ts';
import { sendBatch } from './redis-batch.ts';
import { isReplyError, RedisFailure, toRedisFailure } from './redis-failure.ts';
import type { RedisCommand } from './redis-script.ts';
import { describeEndpoint, type RedisEndpoint } from './redis-url.ts';
import { TlsProblem, tlsOptions } from './tls-options.ts';

// ioredis has a class that inherits from String.
quickStrings();

export interface RedisSessionParams {
  readonly endpoint: RedisEndpoint;
  readonly connectTimeoutMs: number;
  /** A reply that takes longer ends the connection. null: never. */
  readonly socketTimeoutMs: number | null;
  readonly socketKeepalive: boolean;
  readonly clientName: string | null;
  readonly masterName: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
}

/** What INFO says; null where the user may not ask. */
export interface RedisServer {
  readonly version: string | null;
  readonly majorVersion: number | null;
  readonly minorVersion: number | null;
  readonly maxmemoryPolicy: string | null;
  readonly runId: string | null;
}

/** A reply; a RedisFailure for an error reply; undefined when the connection broke before it. */
export type RedisReply = unknown;

export class RedisSession {
  readonly endpoint: RedisEndpoint;
  /** The server for people. */
  readonly where: string;
  readonly server: RedisServer;
  readonly clientId: number | null;
  readonly #client: Redis;
  #closed = false;
  #cause: Error | null = null;
  #onClose: ((cause: RedisFailure) => void) | null = null;

  private constructor(client: Redis, endpoint: RedisEndpoint, server: RedisServer, clientId: number | null) {
    this.#client = client;
    this.endpoint = endpoint;
    this.where = describeEndpoint(endpoint);
    this.server = server;
    this.clientId = clientId;
    client.on('error', (error: unknown) => {
      if (error instanceof Error) this.#cause = error;
    });
    client.on('end', () => this.#ended());
  }

  /** Rejects with a RedisFailure. */
  static async open(params: RedisSessionParams): Promise<RedisSession> {
    const where = describeEndpoint(params.endpoint);
    let cause: unknown = null;
    let client: Redis;
    try {
      client = new Redis(clientOptions(params));
    } catch (error) {
      if (error instanceof TlsProblem) throw new RedisFailure('config', `${error.message} (${where})`, { cause: error });
      throw toRedisFailure(error, where);
    }
    const note = (error: unknown): void => {
      cause = error;
    };
    client.on('error', note);
    const deadline = setTimeout(() => {
      cause = new Error(`no answer within ${params.connectTimeoutMs} ms`);
      client.disconnect();
    }, params.connectTimeoutMs);
    try {
      await client.connect();
      giveDataDirectly(client.stream);
      if (!params.socketKeepalive) client.stream.setKeepAlive(false);
      const session = await handshake(client, params, where);
      client.off('error', note);
      return session;
    } catch (error) {
      client.disconnect();
      throw toRedisFailure(isReplyError(error) || error instanceof RedisFailure ? error : (cause ?? error), where);
    } finally {
      clearTimeout(deadline);
    }
  }

  static adopt(client: Redis, endpoint: RedisEndpoint, server: RedisServer, clientId: number | null): RedisSession {
    return new RedisSession(client, endpoint, server, clientId);
  }

  /** Called once, when the connection is no more, unless `drop` ended it. */
  onClose(listener: (cause: RedisFailure) => void): void {
    this.#onClose = listener;
    if (this.#client.status === 'end') this.#ended();
  }

  /** All in one write; one reply each, see RedisReply. */
  send(commands: readonly RedisCommand[], onReplies: (replies: readonly RedisReply[]) => void): void {
    sendBatch(this.#client, commands, (replies) => onReplies(replies.map((reply) => this.#inOurWords(reply))));
  }

  #inOurWords(reply: unknown): RedisReply {
    if (!(reply instanceof Error)) return reply;
    return isReplyError(reply) ? toRedisFailure(reply, this.where) : undefined;
  }

  async subscribe(channels: readonly string[]): Promise<void> {
    await this.#client.subscribe(...channels);
  }

  async psubscribe(patterns: readonly string[]): Promise<void> {
    await this.#client.psubscribe(...patterns);
  }

  async unsubscribe(channel: string): Promise<void> {
    await this.#client.unsubscribe(channel);
  }

  async punsubscribe(pattern: string): Promise<void> {
    await this.#client.punsubscribe(pattern);
  }

  async ping(): Promise<void> {
    await this.#client.ping();
  }

  /** The list of keys of an invalidation message is an array. */
  onMessage(listener: (topic: string, isPattern: boolean, channel: string, payload: string | readonly string[]) => void): void {
    this.#client.on('messageBuffer', (channel: Buffer, payload: unknown) => {
      const name = channel.toString();
      listener(name, false, name, Array.isArray(payload) ? payload.map(String) : String(payload ?? ''));
    });
    this.#client.on('pmessageBuffer', (pattern: string, channel: Buffer, payload: Buffer) => {
      listener(String(pattern), true, channel.toString(), payload.toString());
    });
  }

  /** At once; what has no reply yet will have none. */
  drop(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#destroy();
  }

  /** As if the network had failed: `onClose` is called. */
  fail(cause: RedisFailure): void {
    this.#cause ??= cause;
    this.#destroy();
  }

  /** ioredis alone would wait for the server to say goodbye. */
  #destroy(): void {
    this.#client.disconnect();
    this.#client.stream.destroy();
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose?.(
      toRedisFailure(this.#cause ?? new RedisFailure('lost', `the connection to Redis was closed (${this.where})`), this.where),
    );
  }
}

/** Replies of the shape RESP2 has, whatever the server could do. */
type ClientOptions = RedisOptions & { replyMapping?: 'legacy' };

function clientOptions(params: RedisSessionParams): ClientOptions {
  const { endpoint } = params;
  const base: ClientOptions = {
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    connectTimeout: params.connectTimeoutMs,
    ...(params.socketTimeoutMs === null ? {} : { socketTimeout: params.socketTimeoutMs }),
  };
  const tls = endpoint.tls === null ? {} : { tls: tlsOptions(endpoint.tls, endpoint.kind === 'tcp' ? endpoint.host : null) };
  switch (endpoint.kind) {
    case 'tcp':
      return { ...base, host: endpoint.host, port: endpoint.port, ...tls };
    case 'socket':
      return { ...base, path: endpoint.path };
    case 'sentinel': {
      if (params.masterName === null) throw new RedisFailure('config', 'a sentinel:// URL needs the transport option master_name');
      return {
        ...base,
        sentinels: [...endpoint.sentinels],
        name: params.masterName,
        sentinelRetryStrategy: () => null,
        ...(params.sentinelUsername === null ? {} : { sentinelUsername: params.sentinelUsername }),
        ...(params.sentinelPassword === null ? {} : { sentinelPassword: params.sentinelPassword }),
        ...tls,
        enableTLSForSentinelMode: endpoint.tls !== null,
      };
    }
  }
}

/** Scripts that ask for the time and then write. */
const oldestMajor = 5;

/** Ours, and not that of ioredis, which prints warnings of its own. */
async function handshake(client: Redis, params: RedisSessionParams, where: string): Promise<RedisSession> {
  const { endpoint } = params;
  if (endpoint.password !== null || endpoint.username !== null) {
    await authenticate(client, endpoint.username, endpoint.password ?? '');
  }
  const info = await allowed(client.call('INFO'));
  const fields = readInfo(typeof info === 'string' ? info : '');
  // Valkey 8 says `server_mode`.
  if ((fields.get('redis_mode') ?? fields.get('server_mode')) === 'cluster') {
    throw new RedisFailure(
      'cluster',
      `Redis Cluster is not supported: the URL must lead to a single server or to Sentinel, got a cluster node (${where})`,
    );
  }
  const version = fields.get('redis_version') ?? null;
  const [major, minor] = (version ?? '').split('.').map(Number);
  if (version !== null && (major ?? 0) < oldestMajor) {
    throw new RedisFailure('version', `Redis must be version ${oldestMajor} or later, got ${version} (${where})`);
  }
  if (fields.get('loading') === '1') throw new RedisFailure('loading', `Redis is still loading its data (${where})`);
  if ((fields.get('role') ?? 'master') !== 'master') {
    throw new RedisFailure('readonly', `Redis is a replica and takes no writes: the URL must lead to a master (${where})`);
  }
  if (endpoint.db !== 0)
    await configured(client.call('SELECT', endpoint.db), 'the database of the URL must be one that the server has', endpoint.db, where);
  // A transaction without its frame would be none: a user who may not use it is told so now.
  await Promise.all([client.call('MULTI'), client.call('EXEC')]);
  const { clientName } = params;
  if (clientName !== null) {
    const named = allowed(client.call('CLIENT', 'SETNAME', clientName));
    await configured(named, 'client_name must be printable ASCII without spaces', `'${clientName}'`, where);
  }
  const id = await allowed(client.call('CLIENT', 'ID'));
  const server: RedisServer = {
    version,
    majorVersion: version === null ? null : (major ?? null),
    minorVersion: version === null ? null : (minor ?? null),
    maxmemoryPolicy: fields.get('maxmemory_policy') ?? null,
    runId: fields.get('run_id') ?? null,
  };
  return RedisSession.adopt(client, endpoint, server, typeof id === 'number' ? id : null);
}

/** Redis 5 has no users: there the password alone counts, as in Python. */
async function authenticate(client: Redis, username: string | null, password: string): Promise<void> {
  if (username !== null) {
    try {
      await client.call('AUTH', username, password);
      return;
    } catch (error) {
      if (!isReplyError(error) || !/wrong number of arguments/i.test(error.message)) throw error;
    }
  }
  await client.call('AUTH', password);
}

/** What this server does not take it will not take the next time either. */
async function configured(reply: Promise<unknown>, rule: string, given: unknown, where: string): Promise<void> {
  try {
    await reply;
  } catch (error) {
    if (!isReplyError(error) || !/^ERR (DB index|invalid DB index|Client names)/i.test(error.message)) throw error;
    throw new RedisFailure('config', `${rule}, got ${given}: ${error.message} (${where})`, { cause: error });
  }
}

/** null when the server does not know the command or the user may not use it. */
async function allowed(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply;
  } catch (error) {
    if (isReplyError(error) && /^(NOPERM|ERR unknown)/.test(error.message)) return null;
    throw error;
  }
}

function readInfo(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}
