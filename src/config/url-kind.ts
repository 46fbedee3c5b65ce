/**
 * URLs of brokers and result backends: which schemes are built, and relative SQLite paths made absolute.
 *
 * `sqlite:///path` is an ordinary URL, so its path is absolute. `sqla+sqlite:` and `db+sqlite:` follow SQLAlchemy, as in Python
 * Celery: three slashes and a relative path, four slashes and an absolute one.
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
  /** Words that are no URL and are allowed in its place. */
  readonly words?: readonly string[];
}

const sqlitePath = /^((?:sqla|db)\+sqlite:\/\/\/|sqlite:\/\/)([^?]*)(.*)$/i;

export function url({ noun, schemes, notBuilt, words = [] }: UrlParams): Kind<string> {
  const alternatives = [...words.map((word) => `'${word}'`), ...schemes.map((scheme) => `${scheme}://`)];
  const rule = `${noun} (${alternatives.join(', ')})`;
  const read = (value: unknown): string | Refusal => {
    if (typeof value !== 'string' || value === '') return new Refusal(`must be ${rule}, got ${shown(value)}`);
    if (words.includes(value)) return value;
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value)?.[1]?.toLowerCase();
    if (scheme === undefined) return new Refusal(`must be ${rule}, got ${shown(maskUrl(value))}`);
    if (notBuilt.includes(scheme)) return new Refusal(`has the scheme '${scheme}', which is not built in this version; it must be ${rule}`);
    if (!schemes.includes(scheme)) return new Refusal(`must be ${rule}, got ${shown(maskUrl(value))}`);
    const file = sqlitePath.exec(value);
    if (file !== null && !isFilePath(file[1] ?? '', file[2] ?? '')) {
      return new Refusal(`must name a file after the slashes (sqlite:///absolute/path), got ${shown(value)}`);
    }
    return value;
  };
  return { rule, label: 'URL', readText: (value) => read(value.trim()), readValue: read, toToml: tomlString, resolve: resolveSqlite };
}

function isFilePath(head: string, path: string): boolean {
  if (head.includes('+')) return path !== '' && path !== '/';
  return path.startsWith('/') && path.length > 1;
}

/** A relative SQLAlchemy path as the absolute one; any other URL unchanged. */
function resolveSqlite(value: string, folder: string): string {
  const [, head = '', path = '', rest = ''] = sqlitePath.exec(value) ?? [];
  return head.includes('+') && !path.startsWith('/') && path !== '' ? `${head}${resolve(folder, path)}${rest}` : value;
}
