/**
 * Where AMQP URLs point to, in kombu's spelling.
 *
 * Owns: the schemes amqp, pyamqp (the same) and amqps (TLS), the rules for virtual hosts, and which keys a query may have.
 * Pure: touches neither files nor the network.
 *
 *   amqp://user:password@host:port/vhost      amqps://…?ssl_ca_certs=/path&ssl_cert_reqs=required
 *
 * The virtual host is the path without its first '/', percent-decoded; nothing, '/' and '//' are '/'. Several URLs, joined by ';'
 * (or by ',' before a scheme), are a failover set. Source: protocol notes, amqp.md §1.
 */
import { maskUrl } from '../std/mask-url.ts';

/** As Python's ssl module has it: how far a server's certificate is looked at. */
export type AmqpCertReqs = 'required' | 'optional' | 'none';

export interface AmqpTls {
  readonly certReqs: AmqpCertReqs;
  /** The name in the certificate must be that of the host. */
  readonly checkHostname: boolean;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly keyPassword?: string;
  /** Name to ask for and to expect instead of the host's. */
  readonly serverHostname?: string;
  readonly ciphers?: string;
}

export interface AmqpEndpoint {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
  readonly tls: AmqpTls | null;
}

export type AmqpLoginMethod = 'PLAIN' | 'AMQPLAIN' | 'EXTERNAL';

/** What a URL's query says about the connection; stronger than settings. */
export interface AmqpUrlOptions {
  readonly heartbeatSeconds?: number;
  readonly connectTimeoutMs?: number;
  readonly loginMethod?: AmqpLoginMethod;
}

export interface AmqpPlace {
  readonly endpoints: readonly AmqpEndpoint[];
  readonly options: AmqpUrlOptions;
}

export type AmqpUrlResult = AmqpPlace | { readonly problem: string };

const amqpUrl = /^(amqps?|pyamqps?):\/\//i;
const tlsKeys = [
  'ssl_cert_reqs',
  'ssl_ca_certs',
  'ssl_certfile',
  'ssl_keyfile',
  'ssl_password',
  'ssl_check_hostname',
  'ssl_server_hostname',
] as const;
const optionKeys = ['heartbeat', 'connect_timeout', 'login_method'] as const;

export function isAmqpUrl(url: string): boolean {
  return amqpUrl.test(url);
}

class Problem extends Error {}

/** `tls`: what broker_use_ssl says, which turns amqp:// into TLS too; the keys of a URL are stronger. */
export function amqpPlaceFromUrl(urls: string | readonly string[], tls: Partial<AmqpTls> | null = null): AmqpUrlResult {
  const list = typeof urls === 'string' ? splitUrls(urls) : urls.flatMap(splitUrls);
  if (list.length === 0) return { problem: "an AMQP URL must start with amqp://, pyamqp:// or amqps://, got ''" };
  try {
    let options: AmqpUrlOptions = {};
    const endpoints = list.map((url) => {
      const read = readUrl(url, tls);
      options = { ...read.options, ...options };
      return read.endpoint;
    });
    return { endpoints, options };
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

function readUrl(text: string, useTls: Partial<AmqpTls> | null): { readonly endpoint: AmqpEndpoint; readonly options: AmqpUrlOptions } {
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(text) ?? [];
  if (!isAmqpUrl(text)) throw new Problem(`an AMQP URL must start with amqp://, pyamqp:// or amqps://, got '${maskUrl(text)}'`);
  const secure = /s$/i.test(scheme);
  const [beforeQuery = '', ...queries] = rest.split('?');
  const query = new URLSearchParams(queries.join('?'));
  const at = beforeQuery.lastIndexOf('@');
  const userInfo = at < 0 ? '' : beforeQuery.slice(0, at);
  const place = beforeQuery.slice(at + 1);
  const colon = userInfo.indexOf(':');
  const username = decoded(colon < 0 ? userInfo : userInfo.slice(0, colon), text);
  const password = colon < 0 ? '' : decoded(userInfo.slice(colon + 1), text);
  const slash = place.indexOf('/');
  const vhost = slash < 0 ? '' : decoded(place.slice(slash + 1), text);
  const { host, port } = readAuthority(slash < 0 ? place : place.slice(0, slash), secure || useTls !== null ? 5671 : 5672, text);
  const tls = readTls(query, text, secure, useTls);
  return {
    endpoint: {
      host,
      port,
      username: username === '' ? 'guest' : username,
      password: password === '' ? 'guest' : password,
      vhost: vhost === '' ? '/' : vhost,
      tls,
    },
    options: readOptions(query, text),
  };
}

function decoded(text: string, url: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Problem(`the user, password and virtual host of an AMQP URL must be percent-encoded UTF-8, got '${maskUrl(url)}'`);
  }
}

function readAuthority(authority: string, defaultPort: number, url: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(authority) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined)
    throw new Problem(`the host of an AMQP URL must be a name or an address, [::1] in brackets, got '${maskUrl(url)}'`);
  const number = port === undefined || port === '' ? defaultPort : Number(port);
  if (number < 1 || number > 65_535) throw new Problem(`the port of an AMQP URL must be from 1 to 65535, got ${port} in '${maskUrl(url)}'`);
  return { host: host === '' ? 'localhost' : decoded(host, url), port: number };
}

function readTls(query: URLSearchParams, url: string, secure: boolean, useTls: Partial<AmqpTls> | null): AmqpTls | null {
  const allowed: readonly string[] = [...optionKeys, ...tlsKeys];
  for (const key of query.keys()) {
    if (!allowed.includes(key))
      throw new Problem(`an AMQP URL may have the keys ${allowed.join(', ')} in its query, got '${key}' in '${maskUrl(url)}'`);
  }
  const hasKey = tlsKeys.some((key) => query.has(key));
  if (!secure && useTls === null) {
    if (hasKey) throw new Problem(`ssl_… keys need the scheme amqps://, got '${maskUrl(url)}'`);
    return null;
  }
  const base = useTls ?? {};
  const reqs = query.get('ssl_cert_reqs');
  const certReqs = reqs === null ? (base.certReqs ?? 'required') : amqpCertReqs(reqs);
  if (certReqs === null) throw new Problem(`ssl_cert_reqs must be required, optional or none, got '${reqs}' in '${maskUrl(url)}'`);
  const checkHostname = readBoolean(query, 'ssl_check_hostname', url) ?? base.checkHostname ?? certReqs === 'required';
  const given = {
    caFile: query.get('ssl_ca_certs') ?? base.caFile,
    certFile: query.get('ssl_certfile') ?? base.certFile,
    keyFile: query.get('ssl_keyfile') ?? base.keyFile,
    keyPassword: query.get('ssl_password') ?? base.keyPassword,
    serverHostname: query.get('ssl_server_hostname') ?? base.serverHostname,
    ciphers: base.ciphers,
  };
  return { certReqs, checkHostname, ...withoutUndefined(given) };
}

function withoutUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** The words of Python's ssl module, with or without CERT_; null: none of them. */
export function amqpCertReqs(word: string): AmqpCertReqs | null {
  const name = word.toLowerCase().replace(/^(ssl\.)?cert_/, '');
  return name === 'required' || name === 'optional' || name === 'none' ? name : null;
}

/** Celery's broker_login_method; null: none of the three RabbitMQ has. */
export function amqpLoginMethod(word: string): AmqpLoginMethod | null {
  const name = word.toUpperCase();
  return name === 'PLAIN' || name === 'AMQPLAIN' || name === 'EXTERNAL' ? name : null;
}

function readOptions(query: URLSearchParams, url: string): AmqpUrlOptions {
  const seconds = (key: string): number | null => {
    const text = query.get(key);
    if (text === null) return null;
    if (!/^\d+(\.\d+)?$/.test(text)) throw new Problem(`${key} must be a number of seconds, got '${text}' in '${maskUrl(url)}'`);
    return Number(text);
  };
  const heartbeat = seconds('heartbeat');
  const connectTimeout = seconds('connect_timeout');
  const word = query.get('login_method');
  const loginMethod = word === null ? null : amqpLoginMethod(word);
  if (word !== null && loginMethod === null)
    throw new Problem(`login_method must be PLAIN, AMQPLAIN or EXTERNAL, got '${word}' in '${maskUrl(url)}'`);
  return {
    ...(heartbeat === null ? {} : { heartbeatSeconds: heartbeat }),
    ...(connectTimeout === null ? {} : { connectTimeoutMs: connectTimeout * 1000 }),
    ...(loginMethod === null ? {} : { loginMethod }),
  };
}

function readBoolean(query: URLSearchParams, key: string, url: string): boolean | null {
  const text = query.get(key);
  if (text === null) return null;
  const word = text.toLowerCase();
  if (['1', 'true', 't', 'yes', 'y', 'on'].includes(word)) return true;
  if (['0', 'false', 'f', 'no', 'n', 'off', ''].includes(word)) return false;
  throw new Problem(`${key} must be true or false, got '${text}' in '${maskUrl(url)}'`);
}

/** For people, as kombu shows it: the password hidden, port and virtual host always there. */
export function describeEndpoint(endpoint: AmqpEndpoint): string {
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `${endpoint.tls === null ? 'amqp' : 'amqps'}://${endpoint.username}:**@${host}:${endpoint.port}/${endpoint.vhost}`;
}

/** Equal for URLs of the same servers, users and virtual hosts. */
export function placeKey(place: AmqpPlace): string {
  return place.endpoints.map(describeEndpoint).join(';');
}
