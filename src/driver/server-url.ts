/**
 * What URLs of servers have in common, in kombu's spelling: scheme://user:password@host:port/path?query, percent-encoded, several of them joined.
 *
 * Owns how its parts are told apart, and what is said of those that are wrong; passwords are never shown. Which schemes and keys there are, and what
 * they mean, is said by amqp-url.ts and redis-url.ts. Pure.
 */
import { maskUrl } from '../std/mask-url.ts';
import type { CertReqs, TlsSettings } from './tls-options.ts';

/** Its message is the rule and what was found instead. */
export class UrlProblem extends Error {}

/** Joined by ';', or by ',' before a scheme. */
export function splitUrls(text: string): string[] {
  return text
    .split(/;|,(?=[a-z+]+:\/\/)/i)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** The words of Python's ssl module, with or without CERT_; null: none of them. */
function certReqsOf(word: string): CertReqs | null {
  const name = word.toLowerCase().replace(/^(ssl\.)?cert_/, '');
  return name === 'required' || name === 'optional' || name === 'none' ? name : null;
}

/** How the problems of one kind of URL are worded. */
export interface UrlWords {
  /** 'an AMQP URL' */
  readonly url: string;
  /** What its path is: 'virtual host'. */
  readonly path: string;
}

export class ServerUrl {
  /** In small letters; '' when there is none. */
  readonly scheme: string;
  /** Between user and query. */
  readonly place: string;
  readonly query: URLSearchParams;
  readonly #text: string;
  readonly #words: UrlWords;
  readonly #userInfo: string;

  constructor(text: string, words: UrlWords) {
    this.#text = text;
    this.#words = words;
    const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/is.exec(text) ?? [];
    this.scheme = scheme.toLowerCase();
    const [beforeQuery = '', ...queries] = rest.split('?');
    this.query = new URLSearchParams(queries.join('?'));
    const at = beforeQuery.lastIndexOf('@');
    this.#userInfo = at < 0 ? '' : beforeQuery.slice(0, at);
    this.place = beforeQuery.slice(at + 1);
  }

  /** For people. */
  get shown(): string {
    return `'${maskUrl(this.#text)}'`;
  }

  /** '' when there is none. Throws UrlProblem. */
  get username(): string {
    return this.decoded(this.#userInfo.split(':', 1)[0] ?? '');
  }

  /** '' when there is none. Throws UrlProblem. */
  get password(): string {
    const colon = this.#userInfo.indexOf(':');
    return colon < 0 ? '' : this.decoded(this.#userInfo.slice(colon + 1));
  }

  /** Behind the first '/' of the place; '' when there is none. As it is written. */
  get path(): string {
    const slash = this.place.indexOf('/');
    return slash < 0 ? '' : this.place.slice(slash + 1);
  }

  /** Throws UrlProblem. */
  decoded(part: string): string {
    try {
      return decodeURIComponent(part);
    } catch {
      const { url, path } = this.#words;
      throw new UrlProblem(`the user, password and ${path} of ${url} must be percent-encoded UTF-8, got ${this.shown}`);
    }
  }

  /** Throws UrlProblem. */
  authority(defaultPort: number): { readonly host: string; readonly port: number } {
    const { url } = this.#words;
    const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(this.place.split('/', 1)[0] ?? '') ?? [];
    const host = bracketed ?? plain;
    if (host === undefined) throw new UrlProblem(`the host of ${url} must be a name or an address, [::1] in brackets, got ${this.shown}`);
    const number = port === undefined || port === '' ? defaultPort : Number(port);
    if (number < 1 || number > 65_535) throw new UrlProblem(`the port of ${url} must be from 1 to 65535, got ${port} in ${this.shown}`);
    return { host: host === '' ? 'localhost' : this.decoded(host), port: number };
  }

  /** The query has no others. Throws UrlProblem. */
  mayHave(keys: readonly string[]): void {
    for (const key of this.query.keys()) {
      if (!keys.includes(key))
        throw new UrlProblem(`${this.#words.url} may have the keys ${keys.join(', ')} in its query, got '${key}' in ${this.shown}`);
    }
  }

  /** undefined: it is not there. Throws UrlProblem. */
  milliseconds(key: string): number | undefined {
    const text = this.query.get(key);
    if (text === null) return undefined;
    if (!/^\d+(\.\d+)?$/.test(text)) throw this.wrong(key, 'a number of seconds', text);
    return Number(text) * 1000;
  }

  /** undefined: it is not there. Throws UrlProblem. */
  boolean(key: string): boolean | undefined {
    const text = this.query.get(key);
    if (text === null) return undefined;
    const word = text.toLowerCase();
    if (['1', 'true', 't', 'yes', 'y', 'on'].includes(word)) return true;
    if (['0', 'false', 'f', 'no', 'n', 'off', ''].includes(word)) return false;
    throw this.wrong(key, 'true or false', text);
  }

  /** `base`: what the settings say; the keys of the query are stronger. Throws UrlProblem. */
  tls(base: Partial<TlsSettings>): TlsSettings {
    const reqs = this.query.get('ssl_cert_reqs');
    const certReqs = reqs === null ? (base.certReqs ?? 'required') : certReqsOf(reqs);
    if (certReqs === null) throw this.wrong('ssl_cert_reqs', 'required, optional or none', reqs ?? '');
    const text = (key: string, name: keyof TlsSettings): Partial<TlsSettings> => {
      const value = this.query.get(key) ?? base[name];
      return value === undefined ? {} : { [name]: value };
    };
    return {
      certReqs,
      checkHostname: this.boolean('ssl_check_hostname') ?? base.checkHostname ?? certReqs === 'required',
      ...text('ssl_ca_certs', 'caFile'),
      ...text('ssl_certfile', 'certFile'),
      ...text('ssl_keyfile', 'keyFile'),
      ...text('ssl_password', 'keyPassword'),
      ...text('ssl_server_hostname', 'serverHostname'),
      ...(base.ciphers === undefined ? {} : { ciphers: base.ciphers }),
    };
  }

  /** What to throw for the value of a key. */
  wrong(key: string, rule: string, got: string): UrlProblem {
    return new UrlProblem(`${key} must be ${rule}, got '${got}' in ${this.shown}`);
  }
}
