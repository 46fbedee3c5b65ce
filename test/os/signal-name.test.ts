import t from 'tap';
import { namedSignal } from '../../src/os/signal-name.ts';

t.test('names with and without SIG, and numbers', async (t) => {
  t.strictSame(namedSignal('SIGTERM'), { name: 'SIGTERM', number: 15 });
  t.strictSame(namedSignal('KILL'), { name: 'SIGKILL', number: 9 });
  t.strictSame(namedSignal(10), { name: 'SIGUSR1', number: 10 });
  t.strictSame(namedSignal(40), { name: 'signal 40', number: 40 });
});

t.test('anything else is refused, as Celery refuses it', async (t) => {
  for (const value of ['term', 'sigterm', '15', '', 'SIG', 'SIGNONE', 'toString', 0, -1, 65, 1.5, null, undefined, {}])
    t.throws(() => namedSignal(value), { code: 'REVOKE_INVALID', message: /a signal must be an upper-case name .* got / }, String(value));
});
