/** Rates are read as Celery reads them; what is none is told apart. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { perSecond } from '../../src/std/rate-limit.ts';

interface Row {
  readonly rate_limit: string | number | null;
  readonly tokens_per_second?: number;
  readonly error?: string;
}

const { rate_limits: rows } = JSON.parse(readFileSync(new URL('../../../shared/vectors/misc.json', import.meta.url), 'utf8')) as {
  readonly rate_limits: readonly Row[];
};

t.test('as Celery reads them', async (t) => {
  t.ok(rows.length > 10);
  for (const { rate_limit: limit, tokens_per_second: expected } of rows) {
    if (limit === null) continue;
    // Celery takes a negative rate, with which no task ever starts.
    const wanted = expected === undefined || expected < 0 ? null : expected;
    const got = perSecond(limit);
    t.ok(got === wanted || Math.abs((got ?? Number.NaN) - (wanted ?? Number.NaN)) < 1e-12, `${limit}: ${got}, wanted ${wanted}`);
  }
});

t.test('what is no rate', async (t) => {
  for (const value of [
    null,
    undefined,
    true,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    ' ',
    '10/d',
    '10/ms',
    '-5/m',
    '1e3/s',
    'inf/s',
    {},
    [10],
  ])
    t.equal(perSecond(value), null, String(value));
  t.equal(perSecond(' 10 / m '), 10 / 60);
});
