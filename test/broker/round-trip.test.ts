/** What a worker knows of how far its broker is: what the quickest of its requests took. */
import t, { type Test } from 'tap';
import type { Broker } from '../../src/broker/broker.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import { amqpBroker } from './amqp/amqp-place.ts';
import { openInbox, textMessage, textOf } from './inbox.ts';
import { redisBroker } from './redis/redis-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(300_000);

/** Each way. */
const delayMs = 40;

async function measured(t: Test, port: number, connect: (port: number) => Broker): Promise<void> {
  const proxy = await TcpProxy.start(t, port);
  proxy.delayMs = delayMs;
  const broker = connect(proxy.port);
  t.teardown(() => broker.stop());
  await broker.start();
  await broker.declareQueue({ name: 'celery' });
  await broker.publish(textMessage('far away'), { exchange: '', routingKey: 'celery' });
  const { subscription, deliveries } = await openInbox(broker, ['celery'], 4);
  const delivery = await deliveries.next();
  t.equal(textOf(delivery), 'far away');
  t.equal(await subscription.ack(delivery), 'done');
  // Timers of Node may end a millisecond early.
  await eventually(t, 'it is known', () => (subscription.roundTripMs ?? 0) >= 2 * (delayMs - 1));
  // Only the quickest counts: a machine that stood still during some of them changes nothing.
  t.ok((subscription.roundTripMs ?? 0) < 1000, `${subscription.roundTripMs} ms`);
}

t.test('RabbitMQ', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  await measured(t, vhost.port, (port) => amqpBroker(vhost.url({ port })));
});

t.test('Redis', async (t) => {
  const server = await RedisServer.start(t);
  await measured(t, server.port, (port) => redisBroker(`redis://127.0.0.1:${port}/0`));
});
