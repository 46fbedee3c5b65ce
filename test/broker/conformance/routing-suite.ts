/** Of the contract of a broker: exchanges, bindings and listeners. */
import type { Broker, Delivery } from '../../../src/broker/broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { eventually } from '../../pool/eventually.ts';
import { Arrivals, openInbox, textMessage, textOf } from '../inbox.ts';
import { publish, publishAll, type Suite, texts } from './broker-bench.ts';

export const routingSuite: Suite = (test) => {
  test('direct, topic and fanout exchanges route to queues', async (t, bench) => {
    const broker = await bench.broker();
    const direct = bench.name('direct');
    const topic = bench.name('topic');
    const fanout = bench.name('fanout');
    const queues = {
      d1: await bench.queue(broker, 'd1', { exchange: direct, exchangeType: 'direct', routingKey: 'one' }),
      d2: await bench.queue(broker, 'd2', { exchange: direct, exchangeType: 'direct', routingKey: 'two' }),
      t1: await bench.queue(broker, 't1', { exchange: topic, exchangeType: 'topic', routingKey: 'a.*.c' }),
      t2: await bench.queue(broker, 't2', { exchange: topic, exchangeType: 'topic', routingKey: 'a.#' }),
      f1: await bench.queue(broker, 'f1', { exchange: fanout, exchangeType: 'fanout', routingKey: '' }),
      f2: await bench.queue(broker, 'f2', { exchange: fanout, exchangeType: 'fanout', routingKey: '' }),
    };
    const send = (exchange: string, routingKey: string) => broker.publish(textMessage(routingKey), { exchange, routingKey });
    const inbox = await openInbox(broker, Object.values(queues));
    const arrived = async (count: number) =>
      (await inbox.deliveries.take(count)).map((delivery) => delivery.queue.split('.').at(-1)).sort();
    await send(direct, 'one');
    t.strictSame(await arrived(1), ['d1']);
    await send(direct, 'three');
    await send(topic, 'a.b.c');
    t.strictSame(await arrived(2), ['t1', 't2'], 'and the message nobody is bound to was dropped');
    await send(topic, 'a');
    t.strictSame(await arrived(1), ['t2'], '# matches no word as well');
    await send(topic, 'b.b.c');
    await send(fanout, 'whatever');
    t.strictSame(await arrived(2), ['f1', 'f2']);
    t.equal(inbox.deliveries.size, 0);
  });

  test('a mandatory message that nobody takes is refused, naming exchange and key; one that a queue or a listener takes is not', async (t, bench) => {
    const broker = await bench.broker();
    const [direct, topic, fanout] = [bench.name('m.direct'), bench.name('m.topic'), bench.name('m.fanout')];
    const queue = await bench.queue(broker, 'm.d', { exchange: direct, routingKey: 'here' });
    const words = await bench.queue(broker, 'm.t', { exchange: topic, exchangeType: 'topic', routingKey: 'a.#' });
    const send = (exchange: string, routingKey: string, mandatory: boolean) =>
      broker.publish(textMessage(`${routingKey} ${mandatory}`), { exchange, routingKey, mandatory });
    const refused = (exchange: string, routingKey: string) =>
      t.rejects(send(exchange, routingKey, true), {
        code: 'BROKER_REFUSED',
        message: new RegExp(`no queue takes the message for exchange '${exchange}' with routing key '${routingKey}'`),
      });
    const inbox = await openInbox(broker, [queue, words]);
    await send('', queue, true);
    await send(direct, 'here', true);
    await send(direct, 'nowhere', false);
    await refused(direct, 'nowhere');
    await send(topic, 'a.b', true);
    await refused(topic, 'b.a');
    t.strictSame(texts(await inbox.deliveries.take(3)).sort(), ['a.b true', `${queue} true`, 'here true'].sort());
    const heard = new Arrivals<string>();
    const params = {
      exchange: fanout,
      exchangeType: 'fanout',
      routingKey: '',
      onMessage: (message: Message) => heard.push(textOf(message)),
    } as const;
    const listener = await broker.listen(params);
    await send(fanout, 'k', true);
    t.equal(await heard.next(), 'k true');
    await listener.stop();
    await send(fanout, 'k', false);
    await refused(fanout, 'k');
    t.equal(inbox.deliveries.size, 0);
  });

  test('without acknowledgements what is delivered is gone', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'unacknowledged');
    await publishAll(broker, queue, ['0', '1']);
    const arrivals = new Arrivals<Delivery>();
    const lost: unknown[] = [];
    const subscription = await broker.consume({
      queues: [queue],
      prefetch: 0,
      noAck: true,
      onDelivery: (delivery) => arrivals.push(delivery),
      onLost: (deliveries) => lost.push(...deliveries),
      onHeld: () => {},
    });
    const before = await arrivals.take(2);
    await publish(broker, queue, '2');
    const after = await arrivals.next();
    t.strictSame(texts([...before, after]), ['0', '1', '2']);
    await eventually(t, 'none is left', async () => (await subscription.ack(after)) === 'stale' && (await broker.countReady(queue)) === 0);
    await subscription.release();
    const inbox = await openInbox(broker, [queue]);
    await bench.settleDown(broker);
    t.equal(inbox.deliveries.size, 0, 'nothing comes again');
    t.strictSame(lost, []);
  });

  test('a queue has several bindings, and a message that two of them match comes once', async (t, bench) => {
    const broker = await bench.broker();
    const [topic, direct] = [bench.name('several.topic'), bench.name('several.direct')];
    const queue = await bench.queue(broker, 'several', {
      exchange: topic,
      exchangeType: 'topic',
      routingKey: 'news.#',
      bindings: [
        { exchange: topic, exchangeType: 'topic', routingKey: '*.sport' },
        { exchange: direct, routingKey: 'exactly' },
      ],
    });
    const only = await bench.queue(broker, 'only', { exchange: '', bindings: [{ exchange: direct, routingKey: 'exactly' }] });
    const inbox = await openInbox(broker, [queue]);
    const other = await openInbox(broker, [only]);
    for (const [exchange, routingKey] of [
      [topic, 'weather.sport'],
      [topic, 'weather.rain'],
      [topic, 'news.sport'],
      [direct, 'exactly'],
      [direct, 'nearly'],
      [direct, 'several'],
    ] as const)
      await broker.publish(textMessage(routingKey), { exchange, routingKey });
    await publish(broker, queue, 'last');
    await publish(broker, only, 'last');
    t.same(texts(await inbox.deliveries.take(4)), ['weather.sport', 'news.sport', 'exactly', 'last']);
    t.same(texts(await other.deliveries.take(2)), ['exactly', 'last']);
  });

  test('a copy of a message that was delivered before says so, where a message can', async (t, bench) => {
    const broker = await bench.broker();
    const queue = await bench.queue(broker, 'a');
    const inbox = await openInbox(broker, [queue]);
    await broker.publish(textMessage('copy'), { exchange: '', routingKey: queue, redelivered: true });
    const copy = await inbox.deliveries.next();
    t.equal(copy.redelivered, broker.features.redelivers !== true);
    await broker.publish(textMessage('new'), { exchange: '', routingKey: queue });
    t.equal((await inbox.deliveries.next()).redelivered, false);
  });

  test('every listener of a broadcast hears it, and nobody else keeps it', async (t, bench) => {
    const one = await bench.broker();
    const two = one.features.shared ? await bench.broker() : one;
    const exchange = bench.name('pidbox');
    const heard = [new Arrivals<string>(), new Arrivals<string>()];
    const listen = (broker: Broker, arrivals: Arrivals<string>) =>
      broker.listen({ exchange, exchangeType: 'fanout', routingKey: '', onMessage: (message) => arrivals.push(textOf(message)) });
    const first = await listen(one, heard[0]!);
    await one.publish(textMessage('one listens'), { exchange, routingKey: '' });
    t.equal(await heard[0]!.next(), 'one listens');
    await listen(two, heard[1]!);
    await one.publish(textMessage('both listen'), { exchange, routingKey: '' });
    await two.publish(textMessage('both still'), { exchange, routingKey: '' });
    t.strictSame(await heard[0]!.take(2), ['both listen', 'both still']);
    t.strictSame(await heard[1]!.take(2), ['both listen', 'both still'], 'nothing from before it listened');
    await first.stop();
    await one.publish(textMessage('two listens'), { exchange, routingKey: '' });
    t.equal(await heard[1]!.next(), 'two listens');
    t.equal(heard[0]!.size, 0, 'not after stop');
  });

  test('topic and direct listeners hear what they asked for', async (t, bench) => {
    const broker = await bench.broker();
    const events = bench.name('events');
    const replies = bench.name('replies');
    const heard = new Arrivals<string>();
    const onMessage = (message: Message, routingKey: string) => heard.push(`${routingKey}=${textOf(message)}`);
    await broker.listen({ exchange: events, exchangeType: 'topic', routingKey: 'worker.#', onMessage });
    await broker.listen({ exchange: replies, exchangeType: 'direct', routingKey: 'me', onMessage });
    await broker.publish(textMessage('0'), { exchange: events, routingKey: 'task.sent' });
    await broker.publish(textMessage('1'), { exchange: events, routingKey: 'worker.online' });
    t.equal(await heard.next(), 'worker.online=1');
    await broker.publish(textMessage('2'), { exchange: replies, routingKey: 'you' });
    await broker.publish(textMessage('3'), { exchange: replies, routingKey: 'me' });
    t.equal(await heard.next(), 'me=3');
    t.equal(heard.size, 0);
  });
};
