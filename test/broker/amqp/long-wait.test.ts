/** Messages that wait long, and tasks that run long, beyond the broker's patience with unacknowledged deliveries. */
import t from 'tap';
import type { Delivery } from '../../../src/broker/broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { RabbitmqServer } from '../../rabbitmq-server.ts';
import { type Inbox, openInbox, textMessage, textOf } from '../inbox.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(300_000);

/** As the consumer does: not due yet means back to the broker. */
async function dueDelivery(inbox: Inbox, dueAtMs: number): Promise<Delivery> {
  for (;;) {
    const delivery = await inbox.deliveries.next();
    if (Date.now() >= dueAtMs) return delivery;
    await inbox.subscription.defer(delivery, dueAtMs);
  }
}

t.test('long waits', async (t) => {
  const server = await RabbitmqServer.start(t);
  const broker = (holdDeferredMs: number, log = new RecordingLog()) => {
    const made = amqpBroker(server.url(), { log, options: { holdDeferredMs } });
    t.teardown(() => made.stop());
    return made;
  };

  t.test('a message due much later is parked in the broker and comes back as it was', async (t) => {
    const one = broker(500);
    await one.start();
    await one.declareQueue({ name: 'copied' });
    await one.declareQueue({ name: 'parked', exchange: 'parked.topic', exchangeType: 'topic', routingKey: 'a.#' });
    const message: Message = {
      properties: {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        correlationId: 'c',
        replyTo: 'r',
        deliveryMode: 2,
        priority: 3,
        expiration: '200',
      },
      headers: {
        id: 'x',
        count: 7,
        nested: { list: [1, 2.5, null] },
        CC: ['copied'],
        'x-death': [{ queue: 'parked', reason: 'expired', count: 1 }],
      },
      body: Buffer.from('[]'),
    };
    const inbox = await openInbox(one, ['parked'], 1);
    await one.publish(message, { exchange: 'parked.topic', routingKey: 'a.b' });
    const copies = await one.countReady('copied');
    const first = await inbox.deliveries.next();
    // Four of these seconds it waits in the broker; until then this worker must be gone, also on a machine that stands still for a while.
    const dueAtMs = Date.now() + 4600;
    t.equal(await inbox.subscription.defer(first, dueAtMs), 'done');
    t.equal((await one.topology.look('umbel.delayed.4s'))?.messages, 1);
    t.equal(await one.countReady('parked'), 0);
    await one.stop();

    const other = broker(500);
    await other.start();
    const again = await openInbox(other, ['parked'], 1);
    const delivery = await dueDelivery(again, dueAtMs);
    t.equal(delivery.exchange, 'parked.topic');
    t.equal(delivery.routingKey, 'a.b');
    t.equal(delivery.redelivered, false);
    t.match(delivery.properties, message.properties);
    t.strictSame(delivery.headers, message.headers);
    t.ok(delivery.body.equals(message.body));
    t.equal(await again.subscription.ack(delivery), 'done');
    t.equal(await other.countReady('copied'), copies, 'no further copy');
    t.equal((await other.topology.look('umbel.delayed.4s'))?.messages, 0);
    const queues = await server.control.list('queues', ['name', 'type', 'durable']);
    t.match(queues, /umbel\.delayed\.4s\tquorum\ttrue/);
  });

  t.test('parked messages survive a restart of the server', async (t) => {
    const one = broker(500);
    await one.start();
    await one.declareQueue({ name: 'survivor' });
    const inbox = await openInbox(one, ['survivor']);
    for (const text of ['0', '1', '2']) await one.publish(textMessage(text), { exchange: '', routingKey: 'survivor' });
    const deliveries = await inbox.deliveries.take(3);
    const dueAtMs = Date.now() + 4100;
    t.strictSame(await Promise.all(deliveries.map((delivery) => inbox.subscription.defer(delivery, dueAtMs))), ['done', 'done', 'done']);
    await server.kill();
    await server.start();
    const seen = new Set<string>();
    while (seen.size < 3) {
      const delivery = await dueDelivery(inbox, dueAtMs);
      seen.add(textOf(delivery));
      await inbox.subscription.ack(delivery);
    }
    t.strictSame([...seen].sort(), ['0', '1', '2']);
    t.equal(inbox.lost.size, 0, 'nothing was held when the server ended');
  });

  t.test('deferred messages do not count, and those held are given back by cancel', async (t) => {
    const one = broker(600_000);
    await one.start();
    await one.declareQueue({ name: 'deferred' });
    for (let number = 0; number < 30; number++) await one.publish(textMessage(`${number}`), { exchange: '', routingKey: 'deferred' });
    const inbox = await openInbox(one, ['deferred'], 2);
    for (let number = 0; number < 30; number++) {
      const delivery = await inbox.deliveries.next();
      t.equal(await inbox.subscription.defer(delivery, Date.now() + 300_000), 'done');
    }
    t.equal(await one.countReady('deferred'), 0);
    await inbox.subscription.cancel();
    await eventually(t, 'they are back', async () => (await one.countReady('deferred')) === 30);
  });

  t.test('a task that runs beyond the consumer timeout: another channel, and the others go on', async (t) => {
    const limit = (ms: number) => server.control.evaluate(`application:set_env(rabbit, consumer_timeout, ${ms})`);
    await server.control.evaluate('application:set_env(rabbit, channel_tick_interval, 500)');
    await limit(1000);
    const log = new RecordingLog();
    const one = broker(600_000, log);
    await one.start();
    for (const name of ['slow', 'quick']) await one.declareQueue({ name });
    const inbox = await openInbox(one, ['slow', 'quick'], 10);
    const bystander = await openInbox(one, ['quick'], 10);
    await bystander.subscription.cancel();
    // A channel keeps to what was set as it was opened: on the next one, the test may take its time.
    await limit(1_800_000);
    await one.publish({ ...textMessage('slow'), headers: { task: 'tasks.slow', id: '8' } }, { exchange: '', routingKey: 'slow' });
    const slow = await inbox.deliveries.next();
    t.strictSame((await inbox.lost.next()).map(textOf), ['slow']);
    t.match(
      (await log.event('broker.consumer-timeout')).message,
      /not acknowledged within its consumer timeout.*; held longest: task tasks\.slow\[8\] from queue slow\. What was held comes again/,
    );
    t.equal(await inbox.subscription.ack(slow), 'stale');
    const again = await inbox.deliveries.next();
    t.equal(textOf(again), 'slow');
    t.equal(again.redelivered, true);
    await one.publish(textMessage('quick'), { exchange: '', routingKey: 'quick' });
    t.equal(textOf(await inbox.deliveries.next()), 'quick');
    t.equal(await inbox.subscription.ack(again), 'done');
    t.equal(
      one.connection.epoch,
      1,
      `the connection is the same: ${log.lines.map(({ event, message }) => `${event}: ${message}`).join('; ')}`,
    );
  });
});
