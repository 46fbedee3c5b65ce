/**
 * URLs of brokers and result backends: which schemes are built, and relative SQLite paths made absolute.
 *
 * SQLite URLs follow SQLAlchemy's slash rule, as in Python Celery: `sqlite:///jobs.db` is a relative path, `sqlite:////srv/jobs.db` an
 * absolute one. `src/driver/sqlite-url.ts` reads what leaves here, always with four slashes.
 *
 * Never does: connecting, or parsing more of a URL than its scheme and SQLite path; that belongs to the broker it names.
 */
import { resolve } from 'node:path';
import { maskUrl } from '../std/mask-url.ts';
import { type Kind, Refusal, shown, tomlString } from './kind.ts';

interface UrlParams {
  /** 'a broker URL' */
  readonly noun: string;
  /** Schemes that work. */
  readonly schemes: readonly string[];
  /** Schemes Celery knows and this version does not have. */
  readonly notBuilt: readonly string[];
  /** Several, as a list or joined by ';', where the scheme is one of a server. */
  readonly list?: boolean;
  /** Words that are no URL and are allowed in its place. */
  readonly words?: readonly string[];
}

/** 1 everything up to the path, 2 the path (with its own slash when absolute). */
const sqlitePath = /^((?:(?:sqla|sqlalchemy|db)\+)?sqlite(?:\+pysqlite)?:\/\/\/)(.*)$/is;

export function url({ noun, schemes, notBuilt, list = false, words = [] }: UrlParams): Kind<string> {
  const alternatives = [...words.map((word) => `'${word}'`), ...schemes.map((scheme) => `${scheme}://`)];
  const rule = `${noun} (${alternatives.join(', ')})`;
  const read = (value: unknown): string | Refusal => {
    if (typeof value !== 'string' || value === '') return new Refusal(`must be ${rule}, got ${shown(value)}`);
    if (words.includes(value)) return value;
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value)?.[1]?.toLowerCase();
    if (scheme === undefined) return new Refusal(`must be ${rule}, got ${shown(maskUrl(value))}`);
    if (notBuilt.includes(scheme)) return new Refusal(`has the scheme '${scheme}', which is not built in this version; it must be ${rule}`);
    if (!schemes.includes(scheme)) return new Refusal(`must be ${rule}, got ${shown(maskUrl(value))}`);
    const problem = scheme.includes('sqlite') ? sqliteProblem(value) : null;
    if (problem !== null) return new Refusal(`${problem}, got ${shown(maskUrl(value))}`);
    return value;
  };
  const readAll = (value: unknown): string | Refusal => {
    const parts = Array.isArray(value) ? value : typeof value === 'string' && !value.includes('sqlite:') ? value.split(';') : [value];
    if (!list || parts.length < 2) return read(Array.isArray(value) && value.length > 0 ? parts[0] : value);
    const urls: string[] = [];
    for (const part of parts) {
      const one = read(typeof part === 'string' ? part.trim() : part);
      if (one instanceof Refusal) return one;
      const kind = serverKind(one);
      if (kind === null || kind !== serverKind(urls[0] ?? one))
        return new Refusal(`may be several URLs of Redis or of RabbitMQ only, got ${shown(maskUrl(one))} among them`);
      urls.push(one);
    }
    return urls.join(';');
  };
  return { rule, label: 'URL', readText: (value) => readAll(value.trim()), readValue: readAll, toToml: tomlString, resolve: resolveSqlite };
}

/** Of which there may be several. */
function serverKind(one: string): 'redis' | 'amqp' | null {
  if (/^(redis|sentinel)/i.test(one)) return 'redis';
  return /^(py)?amqp/i.test(one) ? 'amqp' : null;
}

function sqliteProblem(value: string): string | null {
  const path = sqlitePath.exec(value)?.[2];
  if (path === undefined) return 'must have three slashes before a relative path and four before an absolute one';
  if (path === '' || path === '/' || path === ':memory:') return 'must name a file: several processes share it';
  return path.includes('?') ? 'must have no query' : null;
}

function resolveSqlite(value: string, folder: string): string {
  const [, head, path] = sqlitePath.exec(value) ?? [];
  return head === undefined || path === undefined ? value : `${head}${resolve(folder, path)}`;
}
