/**
 * From URLs to a broker and a result backend.
 *
 * Owns which scheme means which implementation, and that a broker and a backend in one place (a file, a Redis database) share what
 * leads there, so that a result and its acknowledgement are one transaction.
 */
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ResultBackend } from '../backend/backend.ts';
import { MemoryBackend } from '../backend/memory.ts';
import { RedisBackend } from '../backend/redis/redis-backend.ts';
import type { ResultRetryPolicy } from '../backend/redis/result-reader.ts';
import { RpcBackend } from '../backend/rpc.ts';
import { SqliteBackend } from '../backend/sqlite.ts';
import { AmqpBroker, type AmqpBrokerOptions } from '../broker/amqp/amqp-broker.ts';
import type { Broker } from '../broker/broker.ts';
import { MemoryBroker } from '../broker/memory/memory-broker.ts';
import { RedisBroker, type RedisBrokerOptions } from '../broker/redis/redis-broker.ts';
import { SqliteBroker } from '../broker/sqlite/sqlite-broker.ts';
import type { AmqpConnectOptions } from '../driver/amqp.ts';
import { type AmqpTls, amqpPlaceFromUrl, isAmqpUrl } from '../driver/amqp-url.ts';
import { RedisConnection, type RedisConnectOptions } from '../driver/redis.ts';
import { isRedisUrl, type RedisPlace, type RedisTls, redisPlaceFromUrl } from '../driver/redis-url.ts';
import type { SqliteSynchronous } from '../driver/sqlite.ts';
import { SqliteStore } from '../driver/sqlite-store.ts';
import { isSqliteUrl, sqlitePathFromUrl } from '../driver/sqlite-url.ts';
import { type ErrorCode, messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { maskUrl } from '../std/mask-url.ts';

export interface ConnectionParams {
  /** null: the embedded broker in the user's state folder. */
  readonly brokerUrl: string | null;
  /** null: with the embedded broker the same file, otherwise none. 'disabled': none. */
  readonly backendUrl: string | null;
  readonly env: NodeJS.ProcessEnv;
  readonly workdir: string;
  readonly synchronous: SqliteSynchronous;
  readonly busyTimeoutMs: number;
  readonly leaseMs: number;
  /** null: results are kept for ever. */
  readonly resultExpiresMs: number | null;
  /** How long a chord whose header holds groups waits for the documents of its parts. Default: 3 s. */
  readonly chordJoinTimeoutMs?: number;
  /** How long nobody need know how many parts a chord has, while none of them ends. Default: 5 min. */
  readonly chordSizeTimeoutMs?: number;
  /** rpc:// only: replies survive a restart of the broker. Default: false. */
  readonly resultPersistent?: boolean;
  /** Defaults: those of the broker. */
  readonly redisBroker?: RedisBrokerParams;
  /** Defaults: those of the broker. */
  readonly amqpBroker?: AmqpBrokerParams;
  /** Defaults: those of the backend. */
  readonly redisResults?: RedisResultParams;
  readonly log: Logger;
}

export interface RedisBrokerParams {
  readonly connection?: Partial<RedisConnectOptions>;
  readonly tls?: Partial<RedisTls> | null;
  readonly broker?: RedisBrokerOptions;
}

export interface AmqpBrokerParams {
  readonly connection?: Partial<AmqpConnectOptions>;
  /** null: TLS where the URL says so. */
  readonly tls?: Partial<AmqpTls> | null;
  readonly broker?: AmqpBrokerOptions;
}

/** A Redis result backend. Where the broker is in the same database its connection serves both, as the broker wants it. */
export interface RedisResultParams {
  readonly connection?: Partial<RedisConnectOptions>;
  readonly tls?: Partial<RedisTls> | null;
  /** For a URL that has none. */
  readonly username?: string | null;
  readonly password?: string | null;
  readonly globalKeyPrefix?: string;
  readonly chordOrdered?: boolean;
  readonly chordJoinTimeoutMs?: number;
  readonly chordSizeTimeoutMs?: number;
  readonly retryPolicy?: Partial<ResultRetryPolicy>;
}

export interface Connections {
  readonly broker: Broker;
  /** null: results are disabled. */
  readonly backend: ResultBackend | null;
}

/** Schemes that later versions bring. */
const notBuiltYet = /^(amqp|db\+|cache\+|mongodb|file|sqs|kafka)/;

/** The file of the embedded broker when no URL is given. */
export function defaultBrokerPath(env: NodeJS.ProcessEnv): string {
  const state = env.XDG_STATE_HOME;
  return join(state?.startsWith('/') === true ? state : join(homedir(), '.local', 'state'), 'umbel', 'umbel.db');
}

/** Not yet started. Throws BROKER_URL_INVALID, BACKEND_URL_INVALID or NOT_SUPPORTED. */
export function openConnections(params: ConnectionParams): Connections {
  const stores = new Map<string, SqliteStore>();
  const store = (url: string | null, code: ErrorCode): SqliteStore => {
    const path = url === null ? defaultBrokerPath(params.env) : pathOf(url, code, params.workdir);
    // Only the default's folder is ours to make; a folder the user has named must exist.
    if (url === null) makeStateFolder(dirname(path));
    let opened = stores.get(path);
    if (opened === undefined) {
      opened = new SqliteStore({ path, synchronous: params.synchronous, busyTimeoutMs: params.busyTimeoutMs, log: params.log });
      stores.set(path, opened);
    }
    return opened;
  };
  const redisConnections = new Map<string, RedisConnection>();
  const redis = (place: RedisPlace, options: Partial<RedisConnectOptions>): RedisConnection => {
    const connection = new RedisConnection({ place, options, log: params.log });
    const sameDatabase = redisConnections.get(connection.key);
    if (sameDatabase !== undefined) return sameDatabase;
    redisConnections.set(connection.key, connection);
    return connection;
  };
  const broker = openBroker(params, store, redis);
  const isRpc = /^rpc:\/\//i.test(params.backendUrl ?? '');
  return { broker, backend: isRpc ? openRpcBackend(params, broker) : openBackend(params, store, redis) };
}

function makeStateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new UmbelError(
      'FILE_CANNOT_CREATE',
      `the state folder must be there or be makeable, got ${folder}: ${messageOf(error)} (set broker.url or XDG_STATE_HOME)`,
      { cause: error },
    );
  }
}

type StoreOf = (url: string | null, code: ErrorCode) => SqliteStore;
/** The first who asks for a database says how to connect. */
type RedisOf = (place: RedisPlace, options: Partial<RedisConnectOptions>) => RedisConnection;

function openBroker(params: ConnectionParams, store: StoreOf, redis: RedisOf): Broker {
  const { brokerUrl: url, leaseMs, log } = params;
  if (url === 'memory://') return new MemoryBroker();
  if (url === null || isSqliteUrl(url)) return new SqliteBroker({ store: store(url, 'BROKER_URL_INVALID'), leaseMs, log });
  if (isRedisUrl(url)) {
    const { connection = {}, tls = null, broker = {} } = params.redisBroker ?? {};
    const place = redisPlaceFromUrl(url, tls);
    if ('problem' in place) throw new UmbelError('BROKER_URL_INVALID', `broker.url: ${place.problem}`);
    return new RedisBroker({ connection: redis(place, connection), options: broker, log });
  }
  if (isAmqpUrl(url)) {
    const { connection = {}, tls = null, broker = {} } = params.amqpBroker ?? {};
    const place = amqpPlaceFromUrl(url, tls);
    if ('problem' in place) throw new UmbelError('BROKER_URL_INVALID', `broker.url: ${place.problem}`);
    return new AmqpBroker({ place, connection, options: broker, log });
  }
  throw unknownScheme('broker.url', url, 'BROKER_URL_INVALID');
}

/** Where results are kept: with the embedded broker in its file, unless told otherwise. null: that file in its usual place. */
export function resultsUrl(brokerUrl: string | null, backendUrl: string | null): string | null {
  if (backendUrl !== null) return backendUrl;
  return brokerUrl === null || isSqliteUrl(brokerUrl) || brokerUrl === 'memory://' ? brokerUrl : 'disabled';
}

function openBackend(params: ConnectionParams, store: StoreOf, redis: RedisOf): ResultBackend | null {
  const { backendUrl, brokerUrl, resultExpiresMs } = params;
  const { chordJoinTimeoutMs, chordSizeTimeoutMs } = params;
  const chords = {
    ...(chordJoinTimeoutMs === undefined ? null : { chordJoinTimeoutMs }),
    ...(chordSizeTimeoutMs === undefined ? null : { chordSizeTimeoutMs }),
  };
  const url = resultsUrl(brokerUrl, backendUrl);
  if (url === 'disabled' || url === 'disabled://') return null;
  if (url === 'memory://') return new MemoryBackend({ resultExpiresMs, ...chords });
  if (url === null || isSqliteUrl(url)) return new SqliteBackend({ store: store(url, 'BACKEND_URL_INVALID'), resultExpiresMs, ...chords });
  if (isRedisUrl(url)) return openRedisBackend(url, resultExpiresMs, params.redisResults ?? {}, redis);
  throw unknownScheme('result.backend', url, 'BACKEND_URL_INVALID');
}

/** Its replies go over the broker of the tasks; the URL says nothing more. */
function openRpcBackend({ backendUrl, resultExpiresMs, resultPersistent = false, log }: ConnectionParams, broker: Broker): RpcBackend {
  if (!/^rpc:\/\/\/?$/i.test(backendUrl ?? ''))
    throw new UmbelError('BACKEND_URL_INVALID', `result.backend must be rpc:// with nothing behind it, got ${maskUrl(backendUrl ?? '')}`);
  return new RpcBackend({ broker, resultExpiresMs, persistent: resultPersistent, log });
}

function openRedisBackend(url: string, resultExpiresMs: number | null, results: RedisResultParams, redis: RedisOf): RedisBackend {
  const { connection = {}, tls = null, username = null, password = null, ...backend } = results;
  const place = redisPlaceFromUrl(url, tls);
  if ('problem' in place) throw new UmbelError('BACKEND_URL_INVALID', `result.backend: ${place.problem}`);
  const endpoints = place.endpoints.map((endpoint) => ({
    ...endpoint,
    username: endpoint.username ?? username,
    password: endpoint.password ?? password,
  }));
  return new RedisBackend({ ...backend, connection: redis({ ...place, endpoints }, connection), resultExpiresMs });
}

function pathOf(url: string, code: ErrorCode, workdir: string): string {
  const result = sqlitePathFromUrl(url, workdir);
  if ('problem' in result) throw new UmbelError(code, result.problem);
  return result.path;
}

function unknownScheme(where: string, url: string, code: ErrorCode): UmbelError {
  const known = where === 'broker.url' ? 'sqlite:///FILE, amqp://HOST or redis://HOST' : 'sqlite:///FILE, redis://HOST or rpc://';
  if (notBuiltYet.test(url))
    return new UmbelError(
      'NOT_SUPPORTED',
      `${where} must be ${known} in this version, got ${maskUrl(url)}: that transport is not built yet`,
    );
  return new UmbelError(code, `${where} must be ${known}, got ${maskUrl(url)}`);
}
