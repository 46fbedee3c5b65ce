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
import { ServerUrl, splitUrls, UrlProblem, type UrlWords } from './server-url.ts';
import type { TlsSettings } from './tls-options.ts';

export type AmqpTls = TlsSettings;

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
const words: UrlWords = { url: 'an AMQP URL', path: 'virtual host' };

export function isAmqpUrl(url: string): boolean {
  return amqpUrl.test(url);
}

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
    if (error instanceof UrlProblem) return { problem: error.message };
    throw error;
  }
}

function readUrl(text: string, useTls: Partial<AmqpTls> | null): { readonly endpoint: AmqpEndpoint; readonly options: AmqpUrlOptions } {
  const url = new ServerUrl(text, words);
  if (!isAmqpUrl(text)) throw new UrlProblem(`an AMQP URL must start with amqp://, pyamqp:// or amqps://, got ${url.shown}`);
  const { username, password } = url;
  const vhost = url.decoded(url.path);
  const isSecure = url.scheme.endsWith('s');
  const endpoint = {
    ...url.authority(isSecure || useTls !== null ? 5671 : 5672),
    username: username === '' ? 'guest' : username,
    password: password === '' ? 'guest' : password,
    vhost: vhost === '' ? '/' : vhost,
    tls: readTls(url, isSecure, useTls),
  };
  return { endpoint, options: readOptions(url) };
}

function readTls(url: ServerUrl, isSecure: boolean, useTls: Partial<AmqpTls> | null): AmqpTls | null {
  url.mayHave([...optionKeys, ...tlsKeys]);
  if (isSecure || useTls !== null) return url.tls(useTls ?? {});
  if (tlsKeys.some((key) => url.query.has(key))) throw new UrlProblem(`ssl_… keys need the scheme amqps://, got ${url.shown}`);
  return null;
}

/** Celery's broker_login_method; null: none of the three RabbitMQ has. */
function amqpLoginMethod(word: string): AmqpLoginMethod | null {
  const name = word.toUpperCase();
  return name === 'PLAIN' || name === 'AMQPLAIN' || name === 'EXTERNAL' ? name : null;
}

function readOptions(url: ServerUrl): AmqpUrlOptions {
  const heartbeatMs = url.milliseconds('heartbeat');
  const connectTimeoutMs = url.milliseconds('connect_timeout');
  const word = url.query.get('login_method');
  const loginMethod = word === null ? null : amqpLoginMethod(word);
  if (word !== null && loginMethod === null) throw url.wrong('login_method', 'PLAIN, AMQPLAIN or EXTERNAL', word);
  return {
    ...(heartbeatMs === undefined ? {} : { heartbeatSeconds: heartbeatMs / 1000 }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(loginMethod === null ? {} : { loginMethod }),
  };
}

/** For people, as kombu shows it: the password hidden, port and virtual host always there. With EXTERNAL no user is sent, and none is shown. */
export function describeEndpoint(endpoint: AmqpEndpoint, loginMethod: AmqpLoginMethod): string {
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  const login = loginMethod === 'EXTERNAL' ? '' : `${endpoint.username}:**@`;
  return `${endpoint.tls === null ? 'amqp' : 'amqps'}://${login}${host}:${endpoint.port}/${endpoint.vhost}`;
}
