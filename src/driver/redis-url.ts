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
import { maskUrl } from '../std/mask-url.ts';

/** As redis-py names them: how far a server's certificate is looked at. */
export type RedisCertReqs = 'required' | 'optional' | 'none';

export interface RedisTls {
  readonly certReqs: RedisCertReqs;
  /** The name in the certificate must be that of the host. */
  readonly checkHostname: boolean;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly keyPassword?: string;
}

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

class Problem extends Error {}

/** `tls`: what broker_use_ssl or redis_backend_use_ssl say; the keys of a URL are stronger. */
export function redisPlaceFromUrl(urls: string | readonly string[], tls: Partial<RedisTls> | null = null): RedisUrlResult {
  const list = typeof urls === 'string' ? splitUrls(urls) : urls.flatMap(splitUrls);
  if (list.length === 0) return { problem: "a Redis URL must start with redis://, got ''" };
  try {
    const options: Record<string, unknown> = {};
    return { endpoints: joinSentinels(list.map((url) => readUrl(url, tls, options))), options };
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message };
    throw error;
  }
}

function splitUrls(text: string): string[] {
  return text
    .split(/;|,(?=[a-z+]+:\/\/)/i)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function readUrl(text: string, useTls: Partial<RedisTls> | null, options: Record<string, unknown>): RedisEndpoint {
  const [, word = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(text) ?? [];
  const scheme = schemes.find((known) => known === word.toLowerCase());
  if (scheme === undefined) throw new Problem(`a Redis URL must start with ${schemes.join('://, ')}://, got '${maskUrl(text)}'`);
  const [beforeQuery = '', ...queries] = rest.split('?');
  const query = new URLSearchParams(queries.join('?'));
  const at = beforeQuery.lastIndexOf('@');
  const userInfo = at < 0 ? '' : beforeQuery.slice(0, at);
  const place = beforeQuery.slice(at + 1);
  const colon = userInfo.indexOf(':');
  const username = decoded(colon < 0 ? userInfo : userInfo.slice(0, colon), text);
  const password = colon < 0 ? null : decoded(userInfo.slice(colon + 1), text);
  const access = { username: username === '' ? null : username, password: password === '' ? null : password };
  const tls = readQuery(query, scheme, text, useTls, options);
  if (scheme === 'redis+socket' || scheme === 'socket') {
    if (!place.startsWith('/'))
      throw new Problem(`a Redis socket URL must have an absolute path after ${scheme}://, got '${maskUrl(text)}'`);
    return {
      kind: 'socket',
      path: decoded(place, text) ?? '',
      db: readDb(query.get('virtual_host') ?? query.get('db') ?? '', text),
      tls: null,
      ...access,
    };
  }
  const slash = place.indexOf('/');
  const authority = slash < 0 ? place : place.slice(0, slash);
  const db = readDb(query.get('db') ?? (slash < 0 ? '' : place.slice(slash + 1)), text);
  const { host, port } = readAuthority(authority, scheme === 'sentinel' ? 26_379 : 6379, text);
  if (scheme === 'sentinel') return { kind: 'sentinel', sentinels: [{ host, port }], db, tls, ...access };
  return { kind: 'tcp', host, port, db, tls, ...access };
}

function decoded(text: string, url: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Problem(`the user, password and path of a Redis URL must be percent-encoded UTF-8, got '${maskUrl(url)}'`);
  }
}

function readAuthority(authority: string, defaultPort: number, url: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(authority) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined)
    throw new Problem(`the host of a Redis URL must be a name or an address, [::1] in brackets, got '${maskUrl(url)}'`);
  const number = port === undefined || port === '' ? defaultPort : Number(port);
  if (number < 1 || number > 65_535) throw new Problem(`the port of a Redis URL must be from 1 to 65535, got ${port} in '${maskUrl(url)}'`);
  return { host: host === '' ? 'localhost' : decoded(host, url), port: number };
}

/** kombu takes '/' and nothing as 0. */
function readDb(text: string, url: string): number {
  const digits = text.replace(/^\/+|\/+$/g, '');
  if (digits === '') return 0;
  if (!/^\d{1,9}$/.test(digits)) throw new Problem(`the database of a Redis URL must be a number, got '${digits}' in '${maskUrl(url)}'`);
  return Number(digits);
}

function readQuery(
  query: URLSearchParams,
  scheme: Scheme,
  url: string,
  useTls: Partial<RedisTls> | null,
  options: Record<string, unknown>,
): RedisTls | null {
  const socket = scheme === 'redis+socket' || scheme === 'socket';
  const allowed: string[] = [...optionKeys, 'db', ...(socket ? ['virtual_host'] : tlsKeys)];
  for (const key of query.keys()) {
    if (!allowed.includes(key))
      throw new Problem(`a Redis URL may have the keys ${allowed.join(', ')} in its query, got '${key}' in '${maskUrl(url)}'`);
  }
  readOptions(query, url, options);
  if (socket) return null;
  const hasTlsKey = tlsKeys.some((key) => query.has(key));
  if (scheme === 'redis' && hasTlsKey) throw new Problem(`ssl_… keys need the scheme rediss://, got '${maskUrl(url)}'`);
  if (scheme !== 'rediss' && useTls === null && !hasTlsKey) return null;
  return tlsFrom(query, url, useTls ?? {});
}

function tlsFrom(query: URLSearchParams, url: string, useTls: Partial<RedisTls>): RedisTls {
  const reqs = query.get('ssl_cert_reqs');
  const certReqs = reqs === null ? (useTls.certReqs ?? 'required') : redisCertReqs(reqs);
  if (certReqs === null) throw new Problem(`ssl_cert_reqs must be required, optional or none, got '${reqs}' in '${maskUrl(url)}'`);
  const caFile = query.get('ssl_ca_certs') ?? useTls.caFile;
  const certFile = query.get('ssl_certfile') ?? useTls.certFile;
  const keyFile = query.get('ssl_keyfile') ?? useTls.keyFile;
  const keyPassword = query.get('ssl_password') ?? useTls.keyPassword;
  const checkHostname = readBoolean(query, 'ssl_check_hostname', url) ?? useTls.checkHostname ?? certReqs === 'required';
  return {
    certReqs,
    checkHostname,
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
    ...(keyPassword === undefined ? {} : { keyPassword }),
  };
}

/** The words of redis-py and of Python's ssl module; null: none of them. */
export function redisCertReqs(word: string): RedisCertReqs | null {
  const name = word.toLowerCase().replace(/^cert_/, '');
  return name === 'required' || name === 'optional' || name === 'none' ? name : null;
}

function readOptions(query: URLSearchParams, url: string, options: Record<string, unknown>): void {
  const seconds = (key: string, name: string): void => {
    const text = query.get(key);
    if (text === null) return;
    if (!/^\d+(\.\d+)?$/.test(text)) throw new Problem(`${key} must be a number of seconds, got '${text}' in '${maskUrl(url)}'`);
    options[name] = Number(text) * 1000;
  };
  seconds('socket_timeout', 'socketTimeoutMs');
  seconds('socket_connect_timeout', 'socketConnectTimeoutMs');
  seconds('health_check_interval', 'healthCheckIntervalMs');
  const keepalive = readBoolean(query, 'socket_keepalive', url);
  if (keepalive !== null) options.socketKeepalive = keepalive;
  const clientName = query.get('client_name');
  if (clientName !== null && !/^[!-~]+$/.test(clientName))
    throw new Problem(`client_name must be printable ASCII without spaces, got '${clientName}' in '${maskUrl(url)}'`);
  if (clientName !== null) options.clientName = clientName;
}

function readBoolean(query: URLSearchParams, key: string, url: string): boolean | null {
  const text = query.get(key);
  if (text === null) return null;
  const word = text.toLowerCase();
  if (['1', 'true', 't', 'yes', 'y', 'on'].includes(word)) return true;
  if (['0', 'false', 'f', 'no', 'n', 'off', ''].includes(word)) return false;
  throw new Problem(`${key} must be true or false, got '${text}' in '${maskUrl(url)}'`);
}

/** All sentinels watch over the same server: one endpoint; password and database from the first URL that has them. */
function joinSentinels(endpoints: readonly RedisEndpoint[]): RedisEndpoint[] {
  const watching = endpoints.filter((endpoint) => endpoint.kind === 'sentinel');
  const [first] = watching;
  if (first === undefined) return [...endpoints];
  if (watching.length < endpoints.length) throw new Problem('sentinel:// URLs cannot be mixed with URLs of servers');
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
