/** Of the contract of a broker: the operations of AMQP one by one, as the tools of an operator use them. */
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { numbered, publish, publishAll, type Suite } from './broker-bench.ts';

export const operatorSuite: Suite = (test) => {
  const declared = { passive: false, durable: false, autoDelete: false };
  const passive = { ...declared, passive: true };
  const refused = { code: 'BROKER_REFUSED' };

  test('an operator declares, binds, publishes, gets and acknowledges', async (t, bench) => {
    const broker = await bench.broker();
    const channel = await broker.openOperatorChannel();
    const queue = await bench.queue(broker, 'op', { exchange: bench.name('op.own') });
    const exchange = bench.name('op.topic');
    t.match(await channel.declareQueue(queue, passive), { ready: 0 });
    await channel.declareExchange(exchange, 'topic', declared);
    await channel.declareExchange(exchange, 'topic', passive);
    await channel.bindQueue(queue, exchange, 'a.*');
    for (const routingKey of ['a.b', 'b.a', 'a.c'])
      await channel.publish(textMessage(routingKey), { exchange, routingKey, mandatory: false });
    t.match(await channel.lookAtQueue(queue), { ready: 2 });
    const first = await channel.get(queue, { noAck: false });
    t.match(first, { tag: 1, exchange, routingKey: 'a.b', redelivered: false, ready: 1 });
    t.equal(first === null ? '' : textOf(first), 'a.b');
    t.equal(channel.held, 1);
    t.match(await channel.lookAtQueue(queue), { ready: 1 });
    await channel.ack(1);
    t.equal(channel.held, 0);
    await t.rejects(channel.ack(1), refused);
    t.match(await channel.get(queue, { noAck: true }), { tag: 2, routingKey: 'a.c', ready: 0 });
    t.equal(channel.held, 0);
    t.equal(await channel.get(queue, { noAck: false }), null);
    await channel.close();
    const inbox = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'nothing comes again');
  });

  test('what an operator has got is back, marked, when the channel ends, and is not purged', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'op');
    await publishAll(broker, queue, numbered(3));
    const channel = await broker.openOperatorChannel();
    t.match(await channel.get(queue, { noAck: false }), { tag: 1 });
    t.equal(await channel.purgeQueue(queue), 2);
    await channel.close();
    const again = await broker.openOperatorChannel();
    const got = await again.get(queue, { noAck: true });
    t.match(got, { redelivered: true });
    t.equal(got === null ? '' : textOf(got), '0');
    await again.close();
  });

  test('what is not there, or is in use, is refused, and the channel goes on', async (t, bench) => {
    const broker = await bench.broker();
    const channel = await broker.openOperatorChannel();
    const queue = await bench.queue(broker, 'op', { exchange: bench.name('op.x'), routingKey: 'k' });
    const [noQueue, noExchange] = [bench.name('no.queue'), bench.name('no.exchange')];
    await publish(broker, queue, 'one');
    t.equal(await channel.lookAtQueue(noQueue), null);
    await t.rejects(channel.declareQueue(noQueue, passive), refused);
    await t.rejects(channel.purgeQueue(noQueue), refused);
    await t.rejects(channel.get(noQueue, { noAck: false }), refused);
    await t.rejects(channel.bindQueue(queue, noExchange, 'k'), refused);
    await t.rejects(channel.declareExchange(noExchange, 'direct', passive), refused);
    await t.rejects(channel.publish(textMessage('x'), { exchange: noExchange, routingKey: 'k', mandatory: false }), refused);
    await t.rejects(channel.declareExchange(bench.name('op.x'), 'topic', declared), refused, 'it is a direct one');
    await t.rejects(channel.deleteExchange(bench.name('op.x'), { ifUnused: true }), refused);
    await t.rejects(channel.deleteQueue(queue, { ifUnused: false, ifEmpty: true }), refused);
    await channel.deleteExchange(bench.name('op.x'), { ifUnused: false });
    await t.rejects(channel.declareExchange(bench.name('op.x'), 'direct', passive), refused);
    t.equal(await channel.deleteQueue(queue, { ifUnused: false, ifEmpty: false }), 1);
    t.equal(await channel.lookAtQueue(queue), null);
    await channel.close();
  });

  test('queues and bindings are listed where the broker can be asked', async (t, bench) => {
    const broker = await bench.broker();
    const [one, two] = [bench.name('op.one'), bench.name('op.two')];
    const queue = await bench.queue(broker, 'op', {
      exchange: one,
      routingKey: 'k',
      bindings: [{ exchange: two, exchangeType: 'topic', routingKey: '#' }],
    });
    const channel = await broker.openOperatorChannel();
    const bindings = await channel.listBindings();
    const queues = await channel.listQueues();
    t.equal(bindings === null, broker.features.redelivers === true, 'AMQP has no way to ask');
    if (bindings === null || queues === null) {
      t.equal(queues, null);
      return;
    }
    t.strictSame(
      bindings.filter((binding) => binding.queue === queue).toSorted((a, b) => a.exchange.localeCompare(b.exchange)),
      [
        { queue, exchange: one, routingKey: 'k' },
        { queue, exchange: two, routingKey: '#' },
      ],
    );
    t.ok(queues.includes(queue));
    t.equal(await channel.deleteQueue(queue, { ifUnused: false, ifEmpty: true }), 0);
    t.notOk((await channel.listBindings())?.some((binding) => binding.queue === queue));
    t.notOk((await channel.listQueues())?.includes(queue));
    await channel.close();
  });

  test('what waits for its time in the queue is brought forward', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'op');
    await broker.publish(textMessage('later'), { exchange: '', routingKey: queue, dueAtMs: Date.now() + 3_600_000 });
    const channel = await broker.openOperatorChannel();
    t.equal(await channel.bringForward(queue), broker.features.delayedDelivery ? 1 : 0);
    t.match(await channel.get(queue, { noAck: true }), { redelivered: false });
    await channel.close();
  });

  test('a message is put into one queue, wherever its exchange leads', async (t, bench) => {
    const broker = await bench.broker();
    const exchange = bench.name('op.all');
    const [a, b] = [
      await bench.queue(broker, 'a', { exchange, exchangeType: 'topic', routingKey: '#' }),
      await bench.queue(broker, 'b', { exchange, exchangeType: 'topic', routingKey: '#' }),
    ];
    await broker.publish(textMessage('only b'), { exchange, routingKey: 'k', queue: b, mandatory: true });
    t.equal(await broker.countReady(a), 0);
    const inbox = await openInbox(broker, [b]);
    const delivery = await inbox.deliveries.next();
    t.match(delivery, broker.features.redelivers === true ? { exchange: '', routingKey: b } : { exchange, routingKey: 'k' });
    await inbox.subscription.ack(delivery);
  });
};
