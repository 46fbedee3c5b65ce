/** Of the contract of a broker: start, stop, and what a watch does that no longer believes that messages will come. */
import { eventually } from '../../pool/eventually.ts';
import { openInbox, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite, texts } from './broker-bench.ts';

export const lifeSuite: Suite = (test) => {
  test('states, and use before the start', async (t, bench) => {
    const broker = await bench.place.create();
    const states: string[] = [];
    broker.onStateChange((state) => states.push(state));
    t.equal(broker.state, 'stopped');
    await broker.stop();
    await t.rejects(publish(broker, bench.name('a'), 'x'), { code: 'BROKER_UNAVAILABLE' });
    await broker.start();
    t.equal(broker.state, 'connected');
    await Promise.all([broker.stop(), broker.stop()]);
    t.equal(broker.state, 'stopped');
    t.strictSame(states, ['connecting', 'connected', 'stopped']);
    await t.rejects(publish(broker, bench.name('a'), 'x'), { code: 'BROKER_UNAVAILABLE' });
  });

  test('20 rounds of start and stop lose nothing and leave nothing', async (t, bench) => {
    const keeper = await bench.broker();
    const queue = await bench.queue(keeper, 'a');
    for (let round = 0; round < 20; round++) {
      const broker = keeper.features.shared ? await bench.place.create() : keeper;
      await broker.start();
      const inbox = await openInbox(broker, [queue], 2);
      await broker.listen({ exchange: bench.name('x'), exchangeType: 'fanout', routingKey: '', onMessage: () => {} });
      await publish(broker, queue, `${round}`);
      const delivery = await inbox.deliveries.next();
      t.equal(textOf(delivery), `${round}`);
      t.equal(await inbox.subscription.ack(delivery), 'done');
      // A message published and one held while everything stops.
      await publish(broker, queue, `held ${round}`);
      await inbox.deliveries.next();
      const stopping = broker === keeper ? inbox.subscription.release() : broker.stop();
      await stopping;
      const after = await openInbox(keeper, [queue], 1);
      const again = await after.deliveries.next();
      t.equal(textOf(again), `held ${round}`);
      t.equal(again.redelivered, true);
      await after.subscription.ack(again);
      await after.subscription.release();
    }
    t.equal(await keeper.countReady(queue), 0);
  });

  test('whatever comes is activity, what cannot be decoded too', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries } = await openInbox(broker, [queue], 1);
    for (const text of numbered(3)) {
      const before = subscription.activity;
      await publish(broker, queue, text);
      await subscription.ack(await deliveries.next());
      t.ok(subscription.activity > before, `${before} → ${subscription.activity}`);
      await bench.settleDown(broker);
    }
    const before = subscription.activity;
    if (!(await bench.place.putGarbage(queue))) return;
    await eventually(t, 'garbage is activity', () => subscription.activity > before);
    t.equal(deliveries.size, 0);
  });

  test('rebuild: what is held stays valid and does not come again, the rest goes on', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    await publishAll(broker, queue, numbered(4));
    const { subscription, deliveries, lost } = await openInbox(broker, [queue], 2);
    const [first, second] = await deliveries.take(2);
    await subscription.rebuild();
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'the prefetch counts what was held before');
    t.equal(await subscription.ack(first!), 'done');
    t.equal(textOf(await deliveries.next()), '2');
    // With a message on its way, over and over.
    for (const text of numbered(20, 'more ')) {
      const sent = publish(broker, queue, text);
      await subscription.rebuild();
      await sent;
    }
    subscription.setPrefetch(0);
    t.strictSame(texts(await deliveries.take(21)), ['3', ...numbered(20, 'more ')]);
    t.equal(await subscription.reject(second!, { requeue: true }), 'done');
    t.match(await deliveries.next(), { redelivered: true });
    await bench.settleDown(broker);
    t.strictSame([deliveries.size, lost.size], [0, 0], 'each once');
    subscription.pause();
    await subscription.rebuild();
    await publish(broker, queue, 'paused');
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'a pause is kept');
    subscription.resume();
    t.equal(textOf(await deliveries.next()), 'paused');
    await subscription.cancel();
    await subscription.rebuild();
    await publish(broker, queue, 'for nobody');
    await bench.settleDown(broker);
    t.equal(deliveries.size, 0, 'what was cancelled stays so');
  });

  test('reconnect: as after a loss, and everything comes that is there', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const { subscription, deliveries, lost } = await openInbox(broker, [queue], 1);
    await publishAll(broker, queue, numbered(2));
    const held = await deliveries.next();
    const states: string[] = [];
    const connected = new Promise<void>((resolve) => {
      broker.onStateChange((state) => {
        states.push(state);
        if (state === 'connected') resolve();
      });
    });
    broker.reconnect('a test wants it');
    await connected;
    t.strictSame(states, ['lost', 'connected']);
    // Held deliveries stay valid, or are named and come again.
    t.equal(await subscription.ack(held), lost.size === 0 ? 'done' : 'stale');
    const rest = lost.size === 0 ? ['1'] : ['0', '1'];
    for (const text of rest) {
      const delivery = await deliveries.next();
      t.equal(textOf(delivery), text);
      t.equal(await subscription.ack(delivery), 'done');
    }
    await publish(broker, queue, 'later');
    t.equal(textOf(await deliveries.next()), 'later');
  });
};
