/**
 * Where a SQLite URL points to, by SQLAlchemy's slash rule.
 *
 * Owns: the spelling of SQLite URLs. Never touches the file system.
 *
 *   sqlite:///jobs.db            relative to the working directory: jobs.db      (three slashes)
 *   sqlite:////var/lib/jobs.db   absolute: /var/lib/jobs.db                      (four slashes)
 *   sqla+sqlite:///…             the same, as kombu spells it for a broker; db+sqlite:///… as Celery spells it for results
 *
 * As in SQLAlchemy the path is taken literally: it is not percent-decoded; a query (`?timeout=5`) is refused, since nothing
 * here would honour it.
 */
import { resolve } from 'node:path';

const sqliteUrl = /^(?:(?:sqla|sqlalchemy|db)\+)?sqlite(?:\+pysqlite)?:\/\/(.*)$/s;

/** Absolute path of the database, or what is wrong with the URL. */
export type SqliteUrlResult = { readonly path: string } | { readonly problem: string };

export function isSqliteUrl(url: string): boolean {
  return sqliteUrl.test(url);
}

export function sqlitePathFromUrl(url: string, workdir: string = process.cwd()): SqliteUrlResult {
  const rest = sqliteUrl.exec(url)?.[1];
  if (rest === undefined) return { problem: `a SQLite URL must start with sqlite://, got '${url}'` };
  if (rest === '' || rest === '/' || rest === '/:memory:') {
    return { problem: `a SQLite URL must name a file (an in-memory database cannot be shared between processes), got '${url}'` };
  }
  if (!rest.startsWith('/')) {
    return { problem: `a SQLite URL takes three slashes before a relative path and four before an absolute one, got '${url}'` };
  }
  if (rest.includes('?')) return { problem: `a SQLite URL takes no query, got '${url}'` };
  return { path: resolve(workdir, rest.slice(1)) };
}
