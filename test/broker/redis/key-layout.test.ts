/** Keys that must not be those of something else. How they are spelled: redis-broker.test.ts. */
import t from 'tap';
import { KeyLayout } from '../../../src/broker/redis/key-layout.ts';
import { Routing } from '../../../src/broker/redis/routing.ts';
import { redisBroker } from './redis-place.ts';

t.test('the keys that can be chosen are apart from each other, or there is no broker', async (t) => {
  t.throws(() => redisBroker('redis://h', { broker: { unackedKey: 'x', unackedMutexKey: 'x' } }), {
    code: 'CONFIG_INVALID',
    message: 'broker.transport_options (unacked_mutex_key) must be a key of its own, got x, which is that of unacked_key',
  });
  t.equal(new KeyLayout({ unackedKey: 'x', unackedIndexKey: 'y', unackedMutexKey: 'z' }, 0).collision(), null);
});

t.test('a queue has no list with the name of a key of the broker', async (t) => {
  const routing = new Routing(new KeyLayout({ globalKeyprefix: 'p.', unackedKey: 'held', sep: '-', prioritySteps: [0, 3] }, 0));
  for (const name of [
    'held',
    'unacked_index',
    'unacked_mutex',
    '_umbel.workers',
    '_umbel.dead-workers',
    '_kombu.binding.celery',
    '_umbel.rejected.a',
  ])
    t.throws(() => routing.declare({ name }), { code: 'BROKER_REFUSED', message: new RegExp(`got p\\.${name} \\(queue ${name}\\)`) });
  for (const name of ['unacked', 'p.held', '_kombu', 'celery']) t.ok(routing.declare({ name }));
  const suffixed = new Routing(new KeyLayout({ unackedKey: 'mail-3', sep: '-', prioritySteps: [0, 3] }, 0));
  t.throws(() => suffixed.declare({ name: 'mail' }), { code: 'BROKER_REFUSED', message: /got mail-3 \(queue mail\)/ });
});
