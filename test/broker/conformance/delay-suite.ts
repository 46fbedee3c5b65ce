/** Of the contract of a broker: messages that wait for their time. */
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { publish, publishAll, type Suite, texts } from './broker-bench.ts';

/** How long a message waits; longer again if the machine stood still until it was due, so that nothing could come before it. */
const waits = [300, 3000, 15_000] as const;
const tooSlow = (dueAtMs: number, waitMs: number): boolean => Date.now() >= dueAtMs && waitMs !== waits.at(-1);

export const delaySuite: Suite = (test) => {
  test('defer brings it back when it is due, fresh, and makes room meanwhile', async (t, bench) => {
    const broker = await bench.broker();
    for (const waitMs of waits) {
      const queue = await bench.queue(broker, `a${waitMs}`);
      await publishAll(broker, queue, ['early', 'behind']);
      const inbox = await openInbox(broker, [queue], 1);
      const early = await inbox.deliveries.next();
      t.equal(textOf(early), 'early');
      const dueAtMs = Date.now() + waitMs;
      t.equal(await inbox.subscription.defer(early, dueAtMs), 'done');
      t.equal(await inbox.subscription.ack(early), 'stale', 'a deferred delivery is settled');
      const behind = await inbox.deliveries.next();
      if (tooSlow(dueAtMs, waitMs)) {
        await inbox.subscription.release();
        continue;
      }
      t.equal(textOf(behind), 'behind', 'the deferred one does not count against the prefetch');
      await inbox.subscription.ack(behind);
      const again = await inbox.deliveries.next();
      t.equal(textOf(again), 'early');
      t.ok(Date.now() >= dueAtMs, 'not before it is due');
      t.equal(again.redelivered, false);
      await inbox.subscription.ack(again);
      return;
    }
  });

  test('a message with a due time is held back by brokers that can', async (t, bench) => {
    const broker = await bench.broker();
    if (!broker.features.delayedDelivery) {
      t.comment('this broker delivers at once; the consumer defers');
      return;
    }
    for (const waitMs of waits) {
      const queue = await bench.queue(broker, `a${waitMs}`);
      const inbox = await openInbox(broker, [queue]);
      const dueAtMs = Date.now() + waitMs;
      await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs });
      await broker.publish(textMessage('latest'), { exchange: '', routingKey: queue, dueAtMs: dueAtMs + 50 });
      await broker.publish(textMessage('never here'), { exchange: '', routingKey: queue, dueAtMs: Date.now() + 400 * 86_400_000 });
      await publish(broker, queue, 'now');
      await broker.publish(textMessage('past'), { exchange: '', routingKey: queue, dueAtMs: 1000 });
      const first = await inbox.deliveries.take(2);
      if (tooSlow(dueAtMs, waitMs)) {
        await inbox.subscription.release();
        continue;
      }
      t.strictSame(texts(first), ['now', 'past']);
      t.equal(textOf(await inbox.deliveries.next()), 'later');
      t.ok(Date.now() >= dueAtMs);
      t.equal(textOf(await inbox.deliveries.next()), 'latest');
      t.equal(inbox.deliveries.size, 0);
      return;
    }
  });

  test('purging removes what waits for its time in the queue as well', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const dueAtMs = Date.now() + 3_600_000;
    await publish(broker, queue, 'now');
    await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs });
    await broker.publish(textMessage('later still'), { exchange: '', routingKey: queue, dueAtMs });
    t.equal(await broker.countReady(queue), broker.features.delayedDelivery ? 1 : 3);
    t.equal(await broker.purgeQueue(queue), 3);
    const inbox = await openInbox(broker, [queue]);
    t.same(await inbox.subscription.scheduled(10), []);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
  });
};
