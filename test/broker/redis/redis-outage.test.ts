/** What becomes of messages that are sent, or given back, while the server is away. */
import t from 'tap';
import type { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import { RedisServer } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { redisBroker, startedBroker } from './redis-place.ts';

const send = (broker: RedisBroker, queue: string, text: string): Promise<void> =>
  broker.publish(textMessage(text), { exchange: '', routingKey: queue });

t.test('retry_on_timeout: messages wait for the server, in order; without it they fail', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const is = (broker: RedisBroker, wanted: string): Promise<void> =>
    new Promise((resolve) => {
      if (broker.state === wanted) resolve();
      else broker.onStateChange((state) => state === wanted && resolve());
    });
  const patient = redisBroker(server.url(), { broker: { keepPublishes: true } });
  const hasty = redisBroker(server.url());
  await Promise.all([patient.start(), hasty.start()]);
  t.teardown(() => Promise.all([patient.stop(), hasty.stop()]));
  const to = { exchange: '', routingKey: 'celery' };
  await server.kill();
  await Promise.all([is(patient, 'lost'), is(hasty, 'lost')]);
  const waiting = ['1', '2', '3'].map((text) => patient.publish(textMessage(text), to));
  await t.rejects(hasty.publish(textMessage('never'), to), { code: 'BROKER_LOST' });
  t.equal(patient.connection.waiting, 3);
  await server.start();
  await Promise.all([...waiting, is(hasty, 'connected')]);
  // A reply that got lost: sent again, once more in the queue; without the option it fails, and may be there.
  const twice = patient.publish(textMessage('4'), to);
  const uncertain = t.rejects(hasty.publish(textMessage('5'), to), { code: 'BROKER_LOST', message: /before the reply/ });
  await new Promise((resolve) => setImmediate(resolve));
  patient.connection.reconnect('test');
  hasty.connection.reconnect('test');
  await Promise.all([twice, uncertain]);
  const reader = redisBroker(server.url());
  await reader.start();
  t.teardown(() => reader.stop());
  const { deliveries } = await openInbox(reader, ['celery']);
  t.strictSame((await deliveries.take(3)).map(textOf), ['1', '2', '3']);
  await send(reader, 'celery', 'last');
  const rest: string[] = [];
  while (!rest.includes('last')) rest.push(textOf(await deliveries.next()));
  t.ok(rest.includes('4'));
  t.notOk(rest.includes('never'));
});

t.test('what could not be given back is delivered again, marked', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const broker = await startedBroker(t, server, { maxWaiting: 1 });
  await send(broker, 'celery', 'one');
  await send(broker, 'celery', 'two');
  const { deliveries, subscription } = await openInbox(broker, ['celery']);
  const [one, two] = await deliveries.take(2);
  const lost = new Promise<void>((resolve) => broker.onStateChange((state) => state === 'lost' && resolve()));
  await server.kill();
  await lost;
  const requeued = subscription.reject(one!, { requeue: true });
  await t.rejects(subscription.reject(two!, { requeue: true }), {
    code: 'BROKER_LOST',
    message: /too much waits for Redis already: 1 operations/,
  });
  await server.start();
  t.equal(await requeued, 'done');
  const again = await deliveries.take(2);
  t.strictSame(again.map((delivery) => [textOf(delivery), delivery.redelivered]).sort(), [
    ['one', true],
    ['two', true],
  ]);
  for (const delivery of again) t.equal(await subscription.ack(delivery), 'done');
});
