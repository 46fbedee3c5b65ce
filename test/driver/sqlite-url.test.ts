import t from 'tap';
import { isSqliteUrl, sqlitePathFromUrl } from '../../src/driver/sqlite-url.ts';

t.test("SQLAlchemy's slash rule", async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['sqlite:///jobs.db', '/work/jobs.db'],
    ['sqlite:////var/lib/jobs.db', '/var/lib/jobs.db'],
    ['sqla+sqlite:///jobs.db', '/work/jobs.db'],
    ['sqla+sqlite:////var/lib/jobs.db', '/var/lib/jobs.db'],
    ['sqlalchemy+sqlite:////a', '/a'],
    ['db+sqlite:///results.sqlite', '/work/results.sqlite'],
    ['sqlite:///../up.db', '/up.db'],
    ['sqlite:///with%20percent.db', '/work/with%20percent.db'],
  ];
  for (const [url, path] of cases) t.strictSame(sqlitePathFromUrl(url, '/work'), { path }, url);
});

t.test('what is not one', async (t) => {
  for (const url of [
    'sqlite://',
    'sqlite:///',
    'sqlite:///:memory:',
    'sqlite://host/x',
    'sqlite:///x.db?timeout=5',
    'redis://localhost',
    'sqlite:x',
  ]) {
    const result = sqlitePathFromUrl(url, '/work');
    t.ok('problem' in result && result.problem.includes(url), JSON.stringify(result));
  }
  t.equal(isSqliteUrl('sqla+sqlite:///x'), true);
  t.equal(isSqliteUrl('sqla+postgresql://x'), false);
});
