import { readFileSync } from 'node:fs';
import t from 'tap';
import { backoffDelayMs, exponentialBackoff } from '../../src/std/backoff.ts';

const { backoff }: { backoff: readonly { factor: number; retries: number; maximum: number; no_jitter: number }[] } = JSON.parse(
  readFileSync(new URL('../../../shared/vectors/misc.json', import.meta.url), 'utf8'),
);

t.test('without jitter as Celery', async (t) => {
  t.ok(backoff.length >= 6);
  for (const { no_jitter, ...params } of backoff) t.equal(exponentialBackoff(params), no_jitter, JSON.stringify(params));
  t.equal(exponentialBackoff({ factor: -1, retries: 3, maximum: 600 }), 0, 'never negative');
  t.equal(exponentialBackoff({ factor: 1, retries: 5000, maximum: 600 }), 600, 'no overflow');
});

t.test('jitter is a whole number from 0 to the wait, both included', async (t) => {
  const params = { factor: 1, retries: 3, maximum: 600, jitter: true };
  t.equal(
    exponentialBackoff(params, () => 0),
    0,
  );
  t.equal(
    exponentialBackoff(params, () => 0.9999999),
    8,
  );
  t.equal(
    exponentialBackoff(params, () => 0.5),
    4,
  );
});

t.test('a restart waits at least half, and never more than the cap', async (t) => {
  const params = { baseMs: 100, maxMs: 10_000 };
  t.equal(
    backoffDelayMs({ ...params, attempt: 0 }, () => 0),
    50,
  );
  t.equal(
    backoffDelayMs({ ...params, attempt: 3 }, () => 1),
    800,
  );
  t.equal(
    backoffDelayMs({ ...params, attempt: 60 }, () => 1),
    10_000,
  );
  t.equal(
    backoffDelayMs({ ...params, attempt: -1 }, () => 1),
    100,
  );
});
