/**
 * Where Redis URLs point to, in kombu's and redis-py's spelling.
 *
 * Owns: the schemes redis, rediss, redis+socket (also socket) and sentinel, and which keys a query may have. Pure: touches neither files nor the network.
 *
 *   redis://[user]:[password]@host:port/db          rediss://…?ssl_cert_reqs=required&ssl_ca_certs=/path
 *   redis+socket:///path/to.sock?virtual_host=3     sentinel://[:password@]host:26379/db
 *
 * Several URLs, joined by ';' (or by ',' before a scheme), are tried in turn; several sentinel URLs are one place with several sentinels.
 * Source: protocol notes, redis.md §1.
 */
import { ServerUrl, splitUrls, UrlProblem, type UrlWords } from './server-url.ts';
import type { TlsSettings } from './tls-options.ts';

export type RedisTls = TlsSettings;

interface RedisAccess {
  readonly username: string | null;
  readonly password: string | null;
  readonly db: number;
  readonly tls: RedisTls | null;
}

export interface RedisTcpEndpoint extends RedisAccess {
  readonly kind: 'tcp';
  readonly host: string;
  readonly port: number;
}

export interface RedisSocketEndpoint extends RedisAccess {
  readonly kind: 'socket';
  readonly path: string;
}

export interface RedisSentinelEndpoint extends RedisAccess {
  readonly kind: 'sentinel';
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
}

export type RedisEndpoint = RedisTcpEndpoint | RedisSocketEndpoint | RedisSentinelEndpoint;

/** What redis-py takes as keyword arguments from a URL, in its own units. */
export interface RedisUrlOptions {
  readonly socketTimeoutMs?: number;
  readonly socketConnectTimeoutMs?: number;
  readonly socketKeepalive?: boolean;
  readonly healthCheckIntervalMs?: number;
  readonly clientName?: string;
}

export interface RedisPlace {
  /** Tried in this order. */
  readonly endpoints: readonly RedisEndpoint[];
  readonly options: RedisUrlOptions;
}

export type RedisUrlResult = RedisPlace | { readonly problem: string };

const schemes = ['redis', 'rediss', 'redis+socket', 'socket', 'sentinel'] as const;
type Scheme = (typeof schemes)[number];

const redisUrl = /^(rediss?|redis\+socket|socket|sentinel):\/\//i;
const tlsKeys = ['ssl_cert_reqs', 'ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile', 'ssl_password', 'ssl_check_hostname'] as const;
const optionKeys = ['socket_timeout', 'socket_connect_timeout', 'socket_keepalive', 'health_check_interval', 'client_name'] as const;

export function isRedisUrl(url: string): boolean {
  return redisUrl.test(url);
}

const words: UrlWords = { url: 'a Redis URL', path: 'path' };

/** `tls`: what broker_use_ssl or redis_backend_use_ssl say; the keys of a URL are stronger. */
export function redisPlaceFromUrl(urls: string | readonly string[], tls: Partial<RedisTls> | null = null): RedisUrlResult {
  const list = typeof urls === 'string' ? splitUrls(urls) : urls.flatMap(splitUrls);
  if (list.length === 0) return { problem: "a Redis URL must start with redis://, got ''" };
  try {
    const options: Record<string, unknown> = {};
    return { endpoints: joinSentinels(list.map((url) => readUrl(url, tls, options))), options };
  } catch (error) {
    if (error instanceof UrlProblem) return { problem: error.message };
    throw error;
  }
}

function readUrl(text: string, useTls: Partial<RedisTls> | null, options: Record<string, unknown>): RedisEndpoint {
  const url = new ServerUrl(text, words);
  const scheme = schemes.find((known) => known === url.scheme);
  if (scheme === undefined) throw new UrlProblem(`a Redis URL must start with ${schemes.join('://, ')}://, got ${url.shown}`);
  const { username, password, place, query } = url;
  const access = { username: username === '' ? null : username, password: password === '' ? null : password };
  const tls = readQuery(url, scheme, useTls, options);
  if (scheme === 'redis+socket' || scheme === 'socket') {
    if (!place.startsWith('/')) throw new UrlProblem(`a Redis socket URL must have an absolute path after ${scheme}://, got ${url.shown}`);
    return {
      kind: 'socket',
      path: url.decoded(place),
      db: readDb(query.get('virtual_host') ?? query.get('db') ?? '', url),
      tls: null,
      ...access,
    };
  }
  const db = readDb(query.get('db') ?? url.path, url);
  const { host, port } = url.authority(scheme === 'sentinel' ? 26_379 : 6379);
  if (scheme === 'sentinel') return { kind: 'sentinel', sentinels: [{ host, port }], db, tls, ...access };
  return { kind: 'tcp', host, port, db, tls, ...access };
}

/** kombu takes '/' and nothing as 0. */
function readDb(text: string, url: ServerUrl): number {
  const digits = text.replace(/^\/+|\/+$/g, '');
  if (digits === '') return 0;
  if (!/^\d{1,9}$/.test(digits)) throw url.wrong('the database of a Redis URL', 'a number', digits);
  return Number(digits);
}

function readQuery(url: ServerUrl, scheme: Scheme, useTls: Partial<RedisTls> | null, options: Record<string, unknown>): RedisTls | null {
  const isSocket = scheme === 'redis+socket' || scheme === 'socket';
  url.mayHave([...optionKeys, 'db', ...(isSocket ? ['virtual_host'] : tlsKeys)]);
  readOptions(url, options);
  if (isSocket) return null;
  const hasTlsKey = tlsKeys.some((key) => url.query.has(key));
  if (scheme === 'redis' && hasTlsKey) throw new UrlProblem(`ssl_… keys need the scheme rediss://, got ${url.shown}`);
  if (scheme !== 'rediss' && useTls === null && !hasTlsKey) return null;
  return url.tls(useTls ?? {});
}

function readOptions(url: ServerUrl, options: Record<string, unknown>): void {
  const clientName = url.query.get('client_name');
  if (clientName !== null && !/^[!-~]+$/.test(clientName)) throw url.wrong('client_name', 'printable ASCII without spaces', clientName);
  const given = {
    socketTimeoutMs: url.milliseconds('socket_timeout'),
    socketConnectTimeoutMs: url.milliseconds('socket_connect_timeout'),
    healthCheckIntervalMs: url.milliseconds('health_check_interval'),
    socketKeepalive: url.boolean('socket_keepalive'),
    clientName: clientName ?? undefined,
  };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
}

/** All sentinels watch over the same server: one endpoint; password and database from the first URL that has them. */
function joinSentinels(endpoints: readonly RedisEndpoint[]): RedisEndpoint[] {
  const watching = endpoints.filter((endpoint) => endpoint.kind === 'sentinel');
  const [first] = watching;
  if (first === undefined) return [...endpoints];
  if (watching.length < endpoints.length) throw new UrlProblem('sentinel:// URLs cannot be mixed with URLs of servers');
  const owner = watching.find((endpoint) => endpoint.password !== null) ?? first;
  const db = watching.find((endpoint) => endpoint.db !== 0)?.db ?? 0;
  return [{ ...owner, db, sentinels: watching.flatMap((endpoint) => endpoint.sentinels) }];
}

/** For people: no password, the database always shown. */
export function describeEndpoint(endpoint: RedisEndpoint): string {
  const user = endpoint.password === null ? (endpoint.username ?? '') : `${endpoint.username ?? ''}:**`;
  const userInfo = user === '' ? '' : `${user}@`;
  switch (endpoint.kind) {
    case 'tcp':
      return `${endpoint.tls === null ? 'redis' : 'rediss'}://${userInfo}${hostText(endpoint.host)}:${endpoint.port}/${endpoint.db}`;
    case 'socket':
      return `redis+socket://${userInfo}${endpoint.path}?virtual_host=${endpoint.db}`;
    case 'sentinel':
      return endpoint.sentinels.map(({ host, port }) => `sentinel://${userInfo}${hostText(host)}:${port}/${endpoint.db}`).join(';');
  }
}

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Equal for URLs of the same databases, whatever their passwords: the same user counts too, since rights may differ, and so does what sentinels watch. */
export function placeKey(place: RedisPlace, masterName: string | null = null): string {
  const watched = masterName !== null && place.endpoints.some(({ kind }) => kind === 'sentinel') ? `;${masterName}` : '';
  const names = place.endpoints.map(
    (endpoint) => `${endpoint.username ?? ''}@${describeEndpoint({ ...endpoint, username: null, password: null })}`,
  );
  return names.join(';') + watched;
}
