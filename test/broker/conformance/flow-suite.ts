/** Of the contract of a broker: how much a consumer holds: prefetch, what is set aside, and pauses. */
import type { Delivery } from '../../../src/broker/broker.ts';
import { Arrivals, openInbox, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite, texts } from './broker-bench.ts';

export const flowSuite: Suite = (test) => {
  test('no more than the prefetch is held, and raising it brings more', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(6));
    const inbox = await openInbox(broker, [queue], 2);
    const [first, second] = await inbox.deliveries.take(2);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'two are held, so no third');
    await inbox.subscription.ack(first!);
    const third = await inbox.deliveries.next();
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    inbox.subscription.setPrefetch(0);
    t.strictSame(texts([second!, third, ...(await inbox.deliveries.take(3))]), ['1', '2', '3', '4', '5']);
  });

  test('what is set aside makes room for as many', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 2);
    await publishAll(broker, queue, numbered(6));
    await deliveries.take(2);
    subscription.setPrefetch(2, 3);
    await deliveries.take(3);
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'five are held, three of them set aside');
    t.equal(subscription.hasRoom, false);
    subscription.setPrefetch(2, 4);
    t.equal(textOf(await deliveries.next()), '5');
  });

  test('there is room until the prefetch, a pause or the end', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 2);
    t.equal(subscription.hasRoom, true);
    await publishAll(broker, queue, numbered(2));
    const [first] = await deliveries.take(2);
    t.equal(subscription.hasRoom, false, 'two are held');
    await subscription.ack(first!);
    t.equal(subscription.hasRoom, true);
    subscription.pause();
    t.equal(subscription.hasRoom, false);
    subscription.resume();
    t.equal(subscription.hasRoom, true);
    subscription.setPrefetch(1);
    t.equal(subscription.hasRoom, false);
    subscription.setPrefetch(0);
    t.equal(subscription.hasRoom, true);
    await subscription.cancel();
    t.equal(subscription.hasRoom, false);
  });

  test('pause holds deliveries back until resume', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue]);
    inbox.subscription.pause();
    await publish(broker, queue, 'later');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    inbox.subscription.resume();
    t.equal(textOf(await inbox.deliveries.next()), 'later');
  });

  test('resumed and paused in one turn: it takes messages when it is resumed again, and ends', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue], 10);
    await bench.settleDown(broker);
    inbox.subscription.pause();
    await bench.settleDown(broker);
    inbox.subscription.resume();
    inbox.subscription.pause();
    await bench.settleDown(broker);
    inbox.subscription.resume();
    await publish(broker, queue, 'later');
    const delivery = await inbox.deliveries.next();
    t.equal(textOf(delivery), 'later');
    t.equal(await inbox.subscription.ack(delivery), 'done');
    inbox.subscription.pause();
    inbox.subscription.resume();
    await inbox.subscription.cancel();
    await broker.stop();
  });

  test('pause from inside a delivery stops the ones behind it', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(5));
    const deliveries = new Arrivals<Delivery>();
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 0,
      onDelivery: (delivery) => {
        deliveries.push(delivery);
        if (textOf(delivery) === '1') subscription.pause();
      },
      onLost: () => {},
      onHeld: () => {},
    });
    const first = await deliveries.take(2);
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'nothing after the pause');
    subscription.resume();
    const rest = await deliveries.take(3);
    t.strictSame(texts([...first, ...rest]), numbered(5));
    t.notOk(
      rest.some((delivery) => delivery.redelivered),
      'those held back were never delivered',
    );
  });
};
