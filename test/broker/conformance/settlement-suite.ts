/** Of the contract of a broker: what becomes of a delivery: acknowledged, rejected, given back, left behind by its holder. */
import type { Delivery } from '../../../src/broker/broker.ts';
import { systemClock } from '../../../src/std/clock.ts';
import { eventually } from '../../pool/eventually.ts';
import { Arrivals, openInbox, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite, texts } from './broker-bench.ts';

export const settlementSuite: Suite = (test) => {
  test('what is acknowledged is gone', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'once');
    const inbox = await openInbox(broker, [queue]);
    const delivery = await inbox.deliveries.next();
    t.equal(await inbox.subscription.ack(delivery), 'done');
    t.equal(await inbox.subscription.ack(delivery), 'stale', 'a second settlement');
    await inbox.subscription.release();
    const second = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(second.deliveries.size, 0);
  });

  test('reject with requeue brings it again, marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'again');
    const inbox = await openInbox(broker, [queue], 1);
    const first = await inbox.deliveries.next();
    t.equal(await inbox.subscription.reject(first, { requeue: true }), 'done');
    const second = await inbox.deliveries.next();
    t.equal(textOf(second), 'again');
    t.equal(second.redelivered, true);
    if (broker.features.countsDeliveries) t.equal(second.deliveryCount, 1);
    t.equal(await inbox.subscription.ack(first), 'stale', 'the earlier delivery of the same message');
    t.equal(await inbox.subscription.ack(second), 'done');
  });

  test('reject with requeue and headers brings it again with these, behind all others, once', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, ['changed', 'other']);
    const inbox = await openInbox(broker, [queue], 1);
    const first = await inbox.deliveries.next();
    const headers = { ...first.headers, crashes: 1 };
    if (broker.features.redelivers === true) {
      await t.rejects(inbox.subscription.reject(first, { requeue: true, headers }), { code: 'NOT_SUPPORTED' });
      t.equal(await inbox.subscription.ack(first), 'done', 'it is still held');
      return;
    }
    t.equal(await inbox.subscription.reject(first, { requeue: true, headers }), 'done');
    t.equal(await inbox.subscription.reject(first, { requeue: true, headers }), 'stale', 'a second settlement');
    const other = await inbox.deliveries.next();
    t.equal(textOf(other), 'other');
    t.equal(await inbox.subscription.ack(other), 'done');
    const again = await inbox.deliveries.next();
    t.equal(textOf(again), 'changed');
    t.match(again, { redelivered: true, headers, queue, exchange: first.exchange, routingKey: first.routingKey });
    t.equal(await inbox.subscription.ack(again), 'done');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
  });

  test('headers of what is no longer held change nothing', async (t, bench) => {
    const broker = await bench.broker();
    if (broker.features.redelivers === true) return;
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'one');
    const inbox = await openInbox(broker, [queue], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.release();
    t.equal(await inbox.subscription.reject(held, { requeue: true, headers: { crashes: 1 } }), 'stale');
    const second = await openInbox(broker, [queue], 2);
    t.notMatch(await second.deliveries.next(), { headers: { crashes: 1 } });
    await bench.settleDown(broker);
    t.equal(second.deliveries.size, 0, 'there is one');
  });

  test('reject without requeue drops it', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'bad');
    const inbox = await openInbox(broker, [queue], 1);
    t.equal(await inbox.subscription.reject(await inbox.deliveries.next(), { requeue: false }), 'done');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
  });

  test('what is settled from inside a delivery is settled, beside other settlements of the turn too', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(3));
    const deliveries = new Arrivals<Delivery>();
    const outcomes = new Arrivals<string>();
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 1,
      onDelivery: (delivery) => {
        if (textOf(delivery) === '1') void subscription.ack(delivery).then((outcome) => outcomes.push(outcome));
        else deliveries.push(delivery);
      },
      onLost: () => {},
      onHeld: () => {},
    });
    const first = await deliveries.next();
    // Room first, then the acknowledgement: the next message may be on its way before this one is settled.
    subscription.setPrefetch(2);
    t.equal(await subscription.ack(first), 'done');
    t.equal(await outcomes.next(), 'done', 'the one settled at once');
    t.equal(await subscription.ack(await deliveries.next()), 'done');
    await subscription.cancel();
    await subscription.release();
    t.equal(await broker.countReady(queue), 0, 'nothing came back');
  });

  test('nobody else gets what is held before its time, which moves on while the holder lives', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publish(broker, queue, 'held');
    const { broker: doomed, crash } = await bench.place.createDoomed();
    const inbox = await openInbox(doomed, [queue], 1);
    await inbox.deliveries.next();
    const { subscription } = inbox;
    const firstMs = subscription.heldUntilMs;
    t.ok(firstMs > systemClock.monotonic(), 'certain for a while, by the clock of the machine');
    let lookedMs = systemClock.monotonic();
    let standstillMs = 0;
    await eventually(t, 'it moves on', () => {
      const nowMs = systemClock.monotonic();
      standstillMs = Math.max(standstillMs, nowMs - lookedMs);
      lookedMs = nowMs;
      return subscription.heldUntilMs > firstMs || firstMs === Number.POSITIVE_INFINITY;
    });
    // On a machine that stood still it may have passed, and then that is told.
    if (standstillMs < 500) t.equal(inbox.held.size, 0, 'it had not passed, so there is nothing to tell');
    const untilMs = subscription.heldUntilMs;
    await crash();
    const heir = await openInbox(broker, [queue], 1);
    t.equal(textOf(await heir.deliveries.next()), 'held');
    const nowMs = systemClock.monotonic();
    // Where nobody outlives the process it is held for ever, and its end here is an orderly one.
    t.ok(nowMs >= untilMs || untilMs === Number.POSITIVE_INFINITY, `taken ${nowMs - untilMs} ms after its time`);
  });

  test('release gives back what is held, in order and marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(6));
    const inbox = await openInbox(broker, [queue], 4);
    const held = await inbox.deliveries.take(4);
    await inbox.subscription.release();
    t.equal(await inbox.subscription.ack(held[0]!), 'stale', 'a released delivery is not ours');
    const second = await openInbox(broker, [queue]);
    const all = await second.deliveries.take(6);
    t.strictSame(texts(all), numbered(6));
    t.strictSame(
      all.map((delivery) => delivery.redelivered),
      [true, true, true, true, false, false],
    );
  });

  test('cancel stops deliveries, and what is held can be settled', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(3));
    const inbox = await openInbox(broker, [queue], 1);
    const held = await inbox.deliveries.next();
    await inbox.subscription.cancel();
    t.equal(await inbox.subscription.ack(held), 'done');
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0);
    const second = await openInbox(broker, [queue]);
    t.strictSame(texts(await second.deliveries.take(2)), ['1', '2']);
  });

  test('what a dead consumer held comes back, marked', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(5));
    const doomed = await bench.place.createDoomed();
    const inbox = await openInbox(doomed.broker, [queue], 3);
    const held = await inbox.deliveries.take(3);
    t.equal(await inbox.subscription.ack(held[0]!), 'done');
    await doomed.crash();
    const survivor = await openInbox(broker, [queue]);
    const seen = new Map<string, Delivery>();
    for (const delivery of await survivor.deliveries.take(4)) seen.set(textOf(delivery), delivery);
    t.strictSame([...seen.keys()].sort(), ['1', '2', '3', '4'], 'all but the acknowledged one');
    t.strictSame(
      // The third may have taken the place of the acknowledged one.
      ['1', '2', '4'].map((text) => seen.get(text)?.redelivered),
      [true, true, false],
    );
  });
};
