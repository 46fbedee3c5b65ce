import t from 'tap';
import {
  declareNativeDelay,
  nativeDelayExchange,
  nativeDelayRoutingKey,
  withoutDelayWords,
} from '../../../src/broker/amqp/native-delay.ts';
import type { QueueDeclaration } from '../../../src/broker/broker.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { binary } from '../../rabbitmq-control.ts';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { amqpBroker } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

t.test('the routing key says the seconds in 28 words', async (t) => {
  t.equal(nativeDelayRoutingKey(5, 'q'), `${'0.'.repeat(25)}1.0.1.q`);
  t.equal(nativeDelayRoutingKey(0.9, 'a.b'), `${'0.'.repeat(28)}a.b`);
  t.equal(nativeDelayRoutingKey(1e12, 'q'), `${'1.'.repeat(28)}q`);
  for (const key of ['q', 'a.b', '', '1.0.1', `${'0.'.repeat(27)}q`]) {
    t.equal(withoutDelayWords(nativeDelayRoutingKey(77, key)), key);
    t.equal(withoutDelayWords(key), key);
  }
});

t.test("messages come through Celery's delay queues when they are due", async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const broker = amqpBroker(vhost.url());
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
  await Promise.all([3, 0, 1].map(send));
  const order: string[] = [];
  for (let count = 0; count < 3; count++) {
    const delivery = await inbox.deliveries.next();
    const seconds = Number(textOf(delivery));
    t.ok(Date.now() - sentAtMs >= seconds * 1000, `${seconds} s, not early`);
    order.push(textOf(delivery));
    await inbox.subscription.ack(delivery);
  }
  t.strictSame(order, ['0', '1', '3']);
  t.match(await vhost.list('exchanges', 'name', 'type', 'durable'), /celery_delayed_27\ttopic\ttrue/);
});

t.test('with a quorum queue a worker declares the delay queues, and what is due later waits in them', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const start = async (log = new RecordingLog()) => {
    const broker = amqpBroker(vhost.url(), { log });
    t.teardown(() => broker.stop());
    await broker.start();
    return broker;
  };
  const quorum = { arguments: { 'x-queue-type': 'quorum' } };
  const topic: QueueDeclaration = { name: 'topic', exchange: 'a-topic', exchangeType: 'topic', routingKey: 'mail.#', ...quorum };
  const other: QueueDeclaration = { name: 'other', exchange: 'a-topic', exchangeType: 'topic', routingKey: 'video' };
  const fanout: QueueDeclaration = { name: 'fanout', exchange: 'a-fanout', exchangeType: 'fanout', routingKey: 'all' };
  const headers: QueueDeclaration = {
    name: 'headers',
    exchange: 'some-headers',
    exchangeType: 'headers',
    routingKey: 'h',
    bindingArguments: { 'x-match': 'all', format: 'pdf' },
  };
  const direct: QueueDeclaration = { name: 'direct', ...quorum };
  const queues = [topic, other, fanout, headers, direct];
  const client = await start();
  for (const queue of queues) await client.declareQueue(queue);
  const waiting = async (): Promise<number> => {
    let count = 0;
    for (let level = 0; level < 28; level++) count += (await client.topology.look(`celery_delayed_${level}`))?.messages ?? 0;
    return count;
  };
  const send = (text: string, exchange: string, routingKey: string, seconds: number, more = {}): Promise<void> =>
    client.publish({ ...textMessage(text), headers: more }, { exchange, routingKey, dueAtMs: Date.now() + seconds * 1000 });

  await send('nobody has declared them', 'a-topic', 'mail.x', 3600);
  t.equal((await client.topology.look('topic'))?.messages, 1, 'a worker will hold it');
  await client.purgeQueue('topic');
  client.reconnect('a test');
  await eventually(t, 'connected again', () => client.state === 'connected');

  const worker = await start();
  for (const queue of queues) await worker.declareQueue(queue);
  const inbox = await openInbox(
    worker,
    queues.map(({ name }) => name),
  );
  const types = await vhost.list('queues', 'name', 'type', 'durable');
  t.match(types, /^celery_delayed_27\tquorum\ttrue$/m);

  const sentAtMs = Date.now();
  // Of what is left when they are published whole seconds are waited for, and the clock goes on until then.
  await Promise.all([
    send('2', 'a-topic', 'mail.x.y', 2.5),
    send('1', 'a-topic', 'video', 1.5),
    send('3', 'a-fanout', 'all', 3.5),
    send('4', 'some-headers', 'h', 4.5, { format: 'pdf' }),
    send('none', 'some-headers', 'h', 1.5, { format: 'txt' }),
  ]);
  const order: string[] = [];
  for (let count = 0; count < 4; count++) {
    const delivery = await inbox.deliveries.next();
    const text = textOf(delivery);
    order.push(`${text} ${delivery.queue} ${delivery.routingKey}`);
    t.match(delivery.headers?.['x-first-death-queue'], /^celery_delayed_/, 'it waited in the broker');
    t.ok(Date.now() - sentAtMs >= Number(text) * 1000, `${text} s, not early`);
    await inbox.subscription.ack(delivery);
  }
  t.strictSame(order, ['1 other video', '2 topic mail.x.y', '3 fanout all', '4 headers h']);
  await send('at once: a direct exchange', 'direct', 'direct', 3600);
  await send('at once: a key that no queue has', 'a-fanout', 'x', 3600);
  await send('at once: less than a second', 'a-topic', 'video', 0.9);
  await send('at once: a key that the words would make too long', 'a-topic', `mail.${'x'.repeat(195)}`, 3600);
  t.equal((await inbox.deliveries.take(4)).length, 4);
  t.equal(await waiting(), 0);

  const last = `rabbit_misc:r(${binary(vhost.name)}, exchange, <<"celery_delayed_27">>)`;
  await vhost.control.evaluate(`rabbit_exchange:delete(${last}, false, <<"test">>)`);
  await send('somebody has deleted them', 'a-topic', 'video', 3600);
  t.equal(textOf(await inbox.deliveries.next()), 'somebody has deleted them');
});

t.test('without a quorum queue there are none; a type that others have chosen is said, and workers hold what is due later', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const log = new RecordingLog();
  const broker = (options = {}, log = new RecordingLog()) => {
    const made = amqpBroker(vhost.url(), { log, options });
    t.teardown(() => made.stop());
    return made;
  };
  const queue: QueueDeclaration = { name: 'q', exchange: 'x', exchangeType: 'topic', routingKey: 'k' };
  const plain = broker();
  await plain.start();
  await plain.declareQueue(queue);
  await openInbox(plain, ['q']);
  t.notMatch(await vhost.list('queues', 'name'), /celery_delayed/);
  const classic = broker({ nativeDelay: true, nativeDelayQueueType: 'classic' });
  await classic.start();
  await classic.declareQueue(queue);
  await openInbox(classic, ['q']);
  t.match(await vhost.list('queues', 'name', 'type'), /^celery_delayed_0\tclassic$/m);

  const owner = broker();
  await owner.start();
  await owner.declareQueue({ name: 'owned', exclusive: true });
  const beside = broker({ nativeDelay: true, nativeDelayQueueType: 'classic' }, log);
  await beside.start();
  const owned: QueueDeclaration = { name: 'owned', exchange: 'y', exchangeType: 'topic', routingKey: 'k' };
  const failure: Error = await beside.declareQueue(owned).then(
    () => new Error('it must be refused'),
    (error: Error) => error,
  );
  await beside.declareQueue({ ...queue, name: 'gone', routingKey: 'k2' });
  await owner.deleteQueue('gone');
  await beside.declareQueue({ ...queue, name: 'q2', routingKey: 'k2' });
  const refused = new Map(['owned', 'gone'].map((name) => [name, failure]));
  await openInbox(beside, ['owned', 'gone', 'q2'], 0, refused);
  t.match(
    await vhost.list('bindings', 'source_name', 'destination_name', 'routing_key'),
    /^x\tq2\t#\.k2$/m,
    'behind a queue of another connection, and one that is not there',
  );
  await owner.topology.declare({ ...owned, exclusive: true });
  await beside.publish(textMessage('held by who takes it'), { exchange: 'y', routingKey: 'k', dueAtMs: Date.now() + 3_600_000 });
  t.equal(await owner.countReady('owned'), 1);
  // Bound by the words as well, or what is due later would be dropped.
  const wayTo = async (line: RegExp): Promise<boolean> =>
    line.test(await vhost.list('bindings', 'source_name', 'destination_name', 'routing_key'));
  await owner.deleteQueue('q2');
  await eventually(t, 'a queue that is made anew has its way back', () => wayTo(/^x\tq2\t#\.k2$/m));
  await owner.stop();
  await eventually(t, 'so has one that is ours at last', () => wayTo(/^y\towned\t#\.k$/m));

  const differs = broker({ nativeDelay: true }, log);
  await differs.start();
  await differs.declareQueue(queue);
  await openInbox(differs, ['q']);
  t.match((await log.event('broker.delay-undeclared')).message, /celery_delayed_0/);
});
