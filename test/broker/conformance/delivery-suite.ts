/** Of the contract of a broker: what arrives, in which order, and that each message does once. */
import type { Message } from '../../../src/protocol/message.ts';
import { openInbox, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite, texts } from './broker-bench.ts';

export const deliverySuite: Suite = (test) => {
  test('a message arrives as it was sent', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const body = Buffer.from([0, 1, 255, 128, 10]);
    const message: Message = {
      properties: {
        contentType: 'application/x-test',
        contentEncoding: 'binary',
        correlationId: 'c1',
        replyTo: 'r1',
        deliveryMode: 2,
        priority: 0,
      },
      headers: { id: 'x', text: 'ü "quoted" \u2028', none: null, deep: { list: [1, 'two', true] } },
      body,
    };
    await broker.publish(message, { exchange: '', routingKey: queue });
    const inbox = await openInbox(broker, [queue]);
    const delivery = await inbox.deliveries.next();
    t.match(delivery.properties, message.properties);
    t.strictSame(delivery.headers, message.headers);
    t.ok(delivery.body.equals(body));
    t.equal(delivery.queue, queue);
    t.equal(delivery.exchange, '');
    t.equal(delivery.routingKey, queue);
    t.equal(delivery.redelivered, false);
    t.equal(delivery.deliveryCount, broker.features.countsDeliveries ? 0 : null);
    t.equal(await inbox.subscription.ack(delivery), 'done');
  });

  test('messages keep their order', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const expected = numbered(200);
    const inbox = await openInbox(broker, [queue]);
    await Promise.all(expected.map((text) => publish(broker, queue, text)));
    t.strictSame(texts(await inbox.deliveries.take(200)), expected);
  });

  test('priorities come first in the order the broker says it has', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a', { arguments: { 'x-max-priority': 9 } });
    for (const priority of [3, 0, 9, 3]) await publish(broker, queue, String(priority), { priority });
    const inbox = await openInbox(broker, [queue], 1);
    const order: string[] = [];
    for (let count = 0; count < 4; count++) {
      const delivery = await inbox.deliveries.next();
      order.push(textOf(delivery));
      await inbox.subscription.ack(delivery);
    }
    t.strictSame(order, broker.features.priorityOrder === 'higher-first' ? ['9', '3', '3', '0'] : ['0', '3', '3', '9']);
  });

  test('several queues take turns', async (t, bench) => {
    const broker = await bench.broker();
    const busy = await bench.queue(broker, 'busy');
    const calm = await bench.queue(broker, 'calm');
    await publishAll(broker, calm, numbered(5, 'calm '));
    // The busy queue never runs dry: one that is asked alone as long as it has something starves the other for ever.
    await publishAll(broker, busy, numbered(20, 'busy '));
    const inbox = await openInbox(broker, [busy, calm], 1);
    let calmCount = 0;
    let busyCount = 0;
    // Where lots are drawn five wins take ten draws on average, and a thousand are never needed.
    while (calmCount < 5 && busyCount < 1000) {
      const delivery = await inbox.deliveries.next();
      if (delivery.queue === calm) calmCount += 1;
      else {
        busyCount += 1;
        await publish(broker, busy, 'one more');
      }
      await inbox.subscription.ack(delivery);
    }
    t.equal(calmCount, 5, `the short queue is not starved by the long one, of which came ${busyCount}`);
    if (bench.drawsLots) return;
    t.ok(busyCount <= 15, `one of each in turn, got ${busyCount} of the long one`);
  });

  test('garbage in the queue harms nobody', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    if (!(await bench.place.putGarbage(queue))) {
      t.comment('this broker carries any bytes');
      return;
    }
    await publish(broker, queue, 'good');
    const inbox = await openInbox(broker, [queue], 1);
    const delivery = await inbox.deliveries.next();
    t.equal(textOf(delivery), 'good');
    await inbox.subscription.ack(delivery);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    t.equal(await broker.countReady(queue), 0, 'it does not come again');
  });

  test('a publish wakes a waiting consumer of another broker', async (t, bench) => {
    const consumer = await bench.broker();
    const queue = await bench.queue(consumer, 'a');
    const producer = consumer.features.shared ? await bench.broker() : consumer;
    const inbox = await openInbox(consumer, [queue], 1);
    for (const text of numbered(20)) {
      await publish(producer, queue, text);
      const delivery = await inbox.deliveries.next();
      t.equal(textOf(delivery), text);
      await inbox.subscription.ack(delivery);
    }
  });

  test('10,000 messages, two consumers, each message once', async (t, bench) => {
    const count = 10_000;
    const one = await bench.broker();
    const two = one.features.shared ? await bench.broker() : one;
    const queue = await bench.queue(one, 'a');
    const seen = new Map<string, number>();
    const all = Promise.withResolvers<void>();
    let settled = 0;
    for (const broker of [one, two]) {
      const subscription = await broker.consume({
        queues: [queue],
        prefetch: 50,
        onDelivery: (delivery) => {
          seen.set(textOf(delivery), (seen.get(textOf(delivery)) ?? 0) + 1);
          subscription.ack(delivery).then((outcome) => {
            if (outcome !== 'done') all.reject(new Error(`ack of ${textOf(delivery)}: ${outcome}`));
            if (++settled === count) all.resolve();
          }, all.reject);
        },
        onLost: () => all.reject(new Error('a delivery was taken away')),
        onHeld: () => {},
      });
    }
    const sending = numbered(count).map((text) => publish(one, queue, text));
    await Promise.all([all.promise, ...sending]);
    t.equal(seen.size, count);
    t.ok([...seen.values()].every((times) => times === 1));
    t.equal(await one.countReady(queue), 0);
  });
};
