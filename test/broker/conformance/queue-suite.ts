/** Of the contract of a broker: queues of a consumer come and go, and are counted, purged and deleted. */
import { openInbox, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite } from './broker-bench.ts';

export const queueSuite: Suite = (test) => {
  test('queues can be added and cancelled', async (t, bench) => {
    const broker = await bench.broker();
    const one = await bench.queue(broker, 'one');
    const two = await bench.queue(broker, 'two');
    const inbox = await openInbox(broker, [one]);
    await publish(broker, two, 'two');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    await inbox.subscription.addQueue(two);
    t.equal(textOf(await inbox.deliveries.next()), 'two');
    t.strictSame([...inbox.subscription.queues].sort(), [one, two].sort());
    await inbox.subscription.cancelQueue(one);
    await publish(broker, one, 'one');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    t.strictSame(inbox.subscription.queues, [two]);
    t.equal(await broker.countReady(one), 1);
  });

  test('count, purge and delete', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(4));
    t.equal(await broker.countReady(queue), 4);
    const inbox = await openInbox(broker, [queue], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.cancel();
    t.equal(await broker.purgeQueue(queue), 3, 'what is held is not purged');
    t.equal(await broker.countReady(queue), 0);
    t.equal(await inbox.subscription.reject(held, { requeue: true }), 'done');
    t.equal(await broker.countReady(queue), 1);
    await broker.deleteQueue(queue);
    await broker.declareQueue({ name: queue });
    t.equal(await broker.countReady(queue), 0);
  });
};
