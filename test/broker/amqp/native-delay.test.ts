import t from 'tap';
import { declareNativeDelay, nativeDelayExchange, nativeDelayRoutingKey } from '../../../src/broker/amqp/native-delay.ts';
import { RabbitmqServer } from '../../rabbitmq-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(120_000);

t.test('the routing key says the seconds in 28 words', async (t) => {
  t.equal(nativeDelayRoutingKey(5, 'q'), `${'0.'.repeat(25)}1.0.1.q`);
  t.equal(nativeDelayRoutingKey(0.9, 'a.b'), `${'0.'.repeat(28)}a.b`);
  t.equal(nativeDelayRoutingKey(1e12, 'q'), `${'1.'.repeat(28)}q`);
});

t.test("messages come through Celery's delay queues when they are due", async (t) => {
  const server = await RabbitmqServer.start(t);
  const broker = amqpBroker(server.url());
  t.teardown(() => broker.stop());
  await broker.start();
  const queue = { name: 'delayed', exchange: 'delayed', exchangeType: 'topic', routingKey: 'key' } as const;
  const classic = { name: 'bystander', exchange: 'bystander', exchangeType: 'topic', routingKey: 'other.key' } as const;
  for (const one of [queue, classic]) await broker.declareQueue(one);
  // Again, as every worker does at its start.
  for (let round = 0; round < 2; round++) await declareNativeDelay(broker.topology, [queue, classic], 'classic');
  const inbox = await openInbox(broker, ['delayed']);
  const sentAtMs = Date.now();
  const send = (seconds: number): Promise<void> =>
    broker.publish(textMessage(`${seconds}`), {
      exchange: nativeDelayExchange,
      routingKey: nativeDelayRoutingKey(seconds, 'key'),
      mandatory: true,
    });
  for (const seconds of [3, 0, 1]) await send(seconds);
  const order: string[] = [];
  for (let count = 0; count < 3; count++) {
    const delivery = await inbox.deliveries.next();
    const seconds = Number(textOf(delivery));
    t.ok(Date.now() - sentAtMs >= seconds * 1000, `${seconds} s, not early`);
    order.push(textOf(delivery));
    await inbox.subscription.ack(delivery);
  }
  t.strictSame(order, ['0', '1', '3']);
  t.match(await server.ctl('list_exchanges', 'name', 'type', 'durable'), /celery_delayed_27\ttopic\ttrue/);
});
