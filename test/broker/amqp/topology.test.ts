/** Exchanges, queues and routing on a real server, and what happens where they differ from what is there. */
import t from 'tap';
import { isLocked } from '../../../src/broker/amqp/unavailable.ts';
import type { Message, MessageProperties } from '../../../src/protocol/message.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { RabbitmqVhost } from '../../rabbitmq-vhost.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { amqpBroker, channelsOf, eagerClock } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(240_000);

const withHeaders = (text: string, headers: Record<string, unknown>): Message => ({ ...textMessage(text), headers });

t.test('topology', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const log = new RecordingLog();
  const broker = amqpBroker(vhost.url(), { log });
  t.teardown(() => broker.stop());
  await broker.start();
  const send = (text: string, queue: string) => broker.publish(textMessage(text), { exchange: '', routingKey: queue });

  t.test('declared as kombu declares it', async (t) => {
    await broker.declareQueue({ name: 'kombu' });
    await broker.declareQueue({ name: 'many', arguments: { 'x-max-priority': 5, 'x-message-ttl': 3_600_000 } });
    const queues = await vhost.list('queues', 'name', 'durable', 'auto_delete', 'exclusive', 'arguments');
    // RabbitMQ 4 adds the type to what was declared without one.
    const withoutType = queues.replaceAll(/,?\{<<"x-queue-type">>,longstr,<<"classic">>\}/g, '');
    t.match(withoutType, /^kombu\ttrue\tfalse\tfalse\t\[\]$/m);
    t.match(withoutType, /^many\ttrue\tfalse\tfalse\t\[\{<<"x-max-priority">>,\w+,5\},\{<<"x-message-ttl">>,\w+,3600000\}\]$/m);
    t.match(await vhost.list('exchanges', 'name', 'type', 'durable', 'auto_delete'), /^kombu\tdirect\ttrue\tfalse$/m);
    t.match(await vhost.list('bindings', 'source_name', 'destination_name', 'routing_key'), /^kombu\tkombu\tkombu$/m);
  });

  t.test('a queue with other arguments: said with both values, used as it is, and the others are not touched', async (t) => {
    await broker.declareQueue({ name: 'differs', arguments: { 'x-max-priority': 3 } });
    await broker.declareQueue({ name: 'bystander' });
    const inbox = await openInbox(broker, ['bystander', 'differs']);
    await send('held', 'bystander');
    const held = await inbox.deliveries.next();
    await broker.declareQueue({ name: 'differs', arguments: { 'x-max-priority': 10 } });
    const { message } = await log.event('broker.differs');
    t.match(message, /^queue differs exists/);
    t.match(message, /x-max-priority is .*3.* there and .*10.* here$/);
    t.equal(await inbox.subscription.ack(held), 'done', 'nothing was lost');
    await send('works', 'differs');
    t.equal(textOf(await inbox.deliveries.next()), 'works');
    await inbox.subscription.release();
  });

  t.test('a queue that is not exclusive and is declared so: a difference too, though RabbitMQ speaks of a lock', async (t) => {
    const log = new RecordingLog();
    const other = amqpBroker(vhost.url(), { log });
    t.teardown(() => other.stop());
    await other.start();
    await broker.declareQueue({ name: 'open to all' });
    await other.declareQueue({ name: 'open to all', exclusive: true });
    const { message } = await log.event('broker.differs');
    t.equal(
      message,
      "queue open to all exists on the server with other properties and is used as it is: exclusive is 'false' there and 'true' here",
    );
    const inbox = await openInbox(other, ['open to all']);
    await send('x', 'open to all');
    t.equal(textOf(await inbox.deliveries.next()), 'x');
    await inbox.subscription.release();
  });

  t.test('an argument that RabbitMQ cannot take is named, and not taken for a difference', async (t) => {
    const said = log.lines.length;
    await t.rejects(broker.declareQueue({ name: 'unmade', arguments: { 'x-max-length': 'seven' } }), {
      code: 'BROKER_REFUSED',
      message: /^queue unmade cannot be made as the settings want it: invalid arg 'x-max-length' .*expected integer, got longstr.*\(amqp:/,
    });
    const bindingArguments = { 'x-match': 'some' };
    await t.rejects(broker.declareQueue({ name: 'unbound', exchange: 'unbound', exchangeType: 'headers', bindingArguments }), {
      code: 'BROKER_REFUSED',
      message: /^binding of queue unbound to exchange unbound cannot be made as the settings want it: Invalid x-match field value/,
    });
    t.strictSame(log.lines.slice(said), []);
  });

  t.test('an argument of consuming that RabbitMQ cannot take is named as one', async (t) => {
    const log = new RecordingLog();
    const other = amqpBroker(vhost.url(), { log });
    t.teardown(() => other.stop());
    await other.start();
    const said =
      "RabbitMQ does not take the consumer_arguments of queue picky: 406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue";
    await other.declareQueue({ name: 'plain' });
    await other.declareQueue({ name: 'picky', consumerArguments: { 'x-priority': 'high' } });
    await t.rejects(openInbox(other, ['picky', 'plain']), { code: 'BROKER_REFUSED', message: new RegExp(`^${said}`) });
    const inbox = await openInbox(other, ['plain']);
    // As when it is consumed from after a loss.
    await inbox.subscription.addQueue('picky');
    t.match(await log.event('broker.consume-failed'), { level: 'error', message: `Queue picky cannot be consumed from: ${said}` });
    t.strictSame(inbox.subscription.refusedQueues, ['picky']);
    await send('x', 'plain');
    t.match(await inbox.deliveries.next(), { queue: 'plain' });
    await inbox.subscription.release();
  });

  t.test('an exchange of another type is used as it is', async (t) => {
    await broker.declareQueue({ name: 'typed', exchange: 'typed', exchangeType: 'topic', routingKey: 'a.#' });
    await broker.declareQueue({ name: 'typed', exchange: 'typed', exchangeType: 'direct', routingKey: 'b' });
    const said = log.lines.filter(({ event, message }) => event === 'broker.differs' && message.startsWith('exchange typed exists'));
    t.equal(said.length, 1);
    t.match(said[0], { level: 'error', message: /type is .*topic.* there and .*direct.* here$/ });
    const inbox = await openInbox(broker, ['typed']);
    await broker.publish(textMessage('topic'), { exchange: 'typed', routingKey: 'a.b.c' });
    t.equal(textOf(await inbox.deliveries.next()), 'topic');
    await inbox.subscription.release();
  });

  t.test('headers exchange and several bindings', async (t) => {
    await broker.declareQueue({
      name: 'bound',
      exchange: 'bound.headers',
      exchangeType: 'headers',
      routingKey: '',
      bindingArguments: { 'x-match': 'all', format: 'pdf', pages: 3 },
      bindings: [
        { exchange: 'bound.direct', routingKey: 'one' },
        { exchange: 'bound.topic', exchangeType: 'topic', routingKey: '*.two' },
      ],
    });
    const inbox = await openInbox(broker, ['bound']);
    await broker.publish(withHeaders('no', { format: 'pdf', pages: 4 }), { exchange: 'bound.headers', routingKey: '' });
    await broker.publish(withHeaders('yes', { format: 'pdf', pages: 3 }), { exchange: 'bound.headers', routingKey: '' });
    await broker.publish(textMessage('direct'), { exchange: 'bound.direct', routingKey: 'one' });
    await broker.publish(textMessage('topic'), { exchange: 'bound.topic', routingKey: 'x.two' });
    t.strictSame((await inbox.deliveries.take(3)).map(textOf), ['yes', 'direct', 'topic']);
    await inbox.subscription.release();
  });

  t.test('a queue that is not to be declared must be there', async (t) => {
    await t.rejects(broker.declareQueue({ name: 'absent', noDeclare: true }), { code: 'BROKER_REFUSED', message: /absent must exist/ });
    await broker.declareQueue({ name: 'present' });
    await broker.declareQueue({ name: 'present', noDeclare: true });
  });

  t.test('names that are the own of the server: said as that, with what to do', async (t) => {
    const said = log.lines.length;
    await t.rejects(broker.declareQueue({ name: 'amq.mine' }), {
      code: 'BROKER_REFUSED',
      message:
        /^queue amq\.mine must exist on the server, because RabbitMQ keeps names that begin with 'amq\.' for itself and lets nobody declare them; there is none\. Give the queue another name \(amqp:/,
    });
    await t.rejects(broker.declareQueue({ name: 'mine', exchange: 'amq.mine' }), {
      code: 'BROKER_REFUSED',
      message:
        /^exchange amq\.mine of queue mine must exist on the server, because RabbitMQ keeps .*\. Give the exchange another name \(amqp:/,
    });
    await t.rejects(
      broker.topology.run((channel) => channel.declareExchange('amq.mine', 'direct', { durable: true, autoDelete: false })),
      { kind: 'reserved', message: /^RabbitMQ keeps names that begin with 'amq\.' for itself, so that another name is needed: 403 / },
    );
    const { name } = await broker.topology.run((channel) =>
      channel.declareQueue('', { durable: false, autoDelete: false, exclusive: false, arguments: {} }),
    );
    t.match(name, /^amq\./, 'the server gave it the name');
    await broker.declareQueue({ name, durable: false, exchange: 'amq.direct' });
    await broker.declareQueue({ name, noDeclare: true });
    t.match(
      log.lines.slice(said).map(({ event, message }) => `${event} ${message}`),
      [
        /^broker\.denied queue amq\.mine could not be declared /,
        /^broker\.denied queue amq\.gen.* and lets nobody declare them\. Say no_declare = true of one that is there$/,
      ],
    );
    t.equal(log.lines.slice(said).length, 2);
    const inbox = await openInbox(broker, [name]);
    await send('x', name);
    t.equal(textOf(await inbox.deliveries.next()), 'x');
    await inbox.subscription.release();
  });

  t.test('a queue of another connection cannot be consumed from, and says why', async (t) => {
    const other = amqpBroker(vhost.url());
    t.teardown(() => other.stop());
    await other.start();
    await other.declareQueue({ name: 'locked', exclusive: true });
    await t.rejects(openInbox(broker, ['locked']), { code: 'BROKER_REFUSED', message: /belongs to another connection/ });
    await t.rejects(openInbox(broker, ['no such queue']), { code: 'BROKER_REFUSED', message: /no queue 'no such queue'/ });
  });

  t.test('one that is left out from the start can be added when the other connection has ended, also after it was cancelled', async (t) => {
    const log = new RecordingLog();
    const owner = amqpBroker(vhost.url());
    const other = amqpBroker(vhost.url(), { log });
    for (const one of [owner, other]) {
      t.teardown(() => one.stop());
      await one.start();
    }
    await owner.declareQueue({ name: 'owned', exclusive: true });
    await other.declareQueue({ name: 'free' });
    const failure: Error = await other.declareQueue({ name: 'owned' }).then(
      () => new Error('it must be refused'),
      (error: Error) => error,
    );
    t.equal(isLocked(failure), true);
    await send('not redelivered', 'free');
    const inbox = await openInbox(other, ['owned', 'free'], 0, new Map([['owned', failure]]));
    const { subscription } = inbox;
    t.match(await inbox.deliveries.next(), { queue: 'free', redelivered: false }, 'no channel ended for it');
    t.strictSame(subscription.refusedQueues, ['owned']);
    await subscription.cancelQueue('owned');
    t.strictSame(subscription.refusedQueues, []);
    await t.rejects(subscription.addQueue('owned'), { message: /belongs to another connection/ });
    await owner.stop();
    await subscription.addQueue('owned');
    t.strictSame(subscription.refusedQueues, []);
    await send('x', 'owned');
    t.match(await inbox.deliveries.next(), { queue: 'owned' });
    t.strictSame(
      log.lines.map(({ event }) => event).filter((event) => event === 'broker.consume-failed' || event === 'broker.channel-lost'),
      ['broker.consume-failed'],
    );
    await subscription.release();
  });

  t.test('a queue that cannot be consumed from like this: said as it is, and the others are consumed from', async (t) => {
    const stream = { durable: true, exclusive: false, autoDelete: false, arguments: { 'x-queue-type': 'stream' } };
    const log = new RecordingLog();
    const other = amqpBroker(vhost.url(), { log, clock: eagerClock });
    t.teardown(() => other.stop());
    await other.start();
    // A stream wants a prefetch count.
    await broker.topology.run((channel) => channel.declareQueue('river', { ...stream, arguments: {} }));
    await other.declareQueue({ name: 'lake' });
    await other.declareQueue({ name: 'river', noDeclare: true });
    const inbox = await openInbox(other, ['river', 'lake']);
    await broker.deleteQueue('river');
    await broker.topology.run((channel) => channel.declareQueue('river', stream));
    await eventually(t, 'it is left out', () => inbox.subscription.refusal !== null);
    t.equal(inbox.subscription.refusal, 'RabbitMQ does not let it consume from river');
    const text = /Queue river cannot be consumed from: RabbitMQ does not let the queue be consumed from like this: 406 PRECONDITION_FAILED/;
    await eventually(t, 'it is said', () => log.lines.some(({ message }) => text.test(message)));
    await send('x', 'lake');
    t.equal(textOf(await inbox.deliveries.next()), 'x');
    const channels = channelsOf(other);
    await eventually(t, 'it is asked for again and again', () => channels() > 6);
    t.equal(log.lines.filter(({ event }) => event === 'broker.channel-lost').length, 1);
    await broker.deleteQueue('river');
    await broker.topology.run((channel) => channel.declareQueue('river', { ...stream, arguments: {} }));
    await send('y', 'river');
    t.equal(textOf(await inbox.deliveries.next()), 'y');
    t.equal(log.lines.filter(({ event }) => event === 'broker.channel-lost').length, 1, 'at no other cost to the queue that is well');
    await inbox.subscription.release();
    await broker.deleteQueue('river');
    await broker.topology.run((channel) => channel.declareQueue('river', stream));

    const said = log.lines.length;
    await t.rejects(openInbox(other, ['lake', 'river']), {
      code: 'BROKER_REFUSED',
      message: /^RabbitMQ does not let the queue be consumed from like this: 406 PRECONDITION_FAILED/,
    });
    t.strictSame(log.lines.slice(said), [], 'who began it is told; there is no other channel');
  });

  t.test('a queue that another consumer has to itself is consumed from when that one has ended', async (t) => {
    const log = new RecordingLog();
    const other = amqpBroker(vhost.url(), { log, clock: eagerClock });
    t.teardown(() => other.stop());
    await other.start();
    // One of them goes with its last consumer.
    for (const queue of [{ name: 'shared' }, { name: 'fleeting', autoDelete: true }, { name: 'pool' }]) await other.declareQueue(queue);
    const exclusive = { consumerTag: 'mine', noAck: false, exclusive: true, arguments: {} };
    const owner = await broker.connection.openChannel();
    for (const name of ['shared', 'fleeting']) await owner.consume(name, { ...exclusive, consumerTag: name }, () => {});
    const inbox = await openInbox(other, ['pool']);
    const { subscription, deliveries } = inbox;
    for (const name of ['shared', 'fleeting']) {
      await subscription.addQueue(name);
      await eventually(t, 'it is left out', () => subscription.refusedQueues?.includes(name) === true);
    }
    await send('held', 'pool');
    const held = await deliveries.next();
    const channels = channelsOf(other);
    await eventually(t, 'it is asked for again and again', () => channels() > 8);
    t.strictSame(subscription.refusedQueues, ['shared', 'fleeting']);
    await owner.close();
    await eventually(t, 'both are consumed from', () => subscription.refusedQueues?.length === 0);
    for (const name of ['shared', 'fleeting']) {
      await send(name, name);
      t.match(await deliveries.next(), { queue: name, redelivered: false });
    }
    t.equal(await subscription.ack(held), 'done', 'the channel is the same');
    t.match(
      log.lines.map(({ message }) => message).filter((text) => text.startsWith('Queue ')),
      [/^Queue shared .*: another consumer has the queue to itself: 403 .*Trying again$/, /^Queue fleeting .*: another consumer/],
      'said once',
    );
    await subscription.release();
  });

  t.test('who sends takes an exclusive queue for one that is there, and does not take it itself', async (t) => {
    const fan = { name: 'own', exchange: 'own.fan', exchangeType: 'fanout', exclusive: true } as const;
    const sender = amqpBroker(vhost.url());
    const owner = amqpBroker(vhost.url());
    for (const one of [sender, owner]) {
      t.teardown(() => one.stop());
      await one.start();
    }
    await sender.declareQueue(fan, true);
    t.equal(await owner.topology.look('own'), null, 'it is left to its owner');
    await sender.publish(textMessage('lost'), { exchange: 'own.fan', routingKey: '' });
    await owner.declareQueue(fan);
    const inbox = await openInbox(owner, ['own']);
    await sender.declareQueue(fan, true);
    await sender.publish(textMessage('by its exchange'), { exchange: 'own.fan', routingKey: '' });
    // By somebody whose configuration does not say that it is exclusive.
    await sender.declareQueue({ name: 'own' }, true);
    t.strictSame(sender.topology.known, []);
    await sender.publish(textMessage('straight'), { exchange: '', routingKey: 'own' });
    t.strictSame((await inbox.deliveries.take(2)).map(textOf), ['by its exchange', 'straight']);
    await t.rejects(sender.declareQueue(fan), { code: 'BROKER_REFUSED', message: /405 RESOURCE_LOCKED.*'own'/ }, 'to consume from it');
    await owner.declareQueue(fan, true);
    t.strictSame(
      owner.topology.known.map(({ name }) => name),
      ['own'],
      'who has it may send to it as well',
    );
    await inbox.subscription.release();
  });

  t.test('to one queue alone, whatever CC says', async (t) => {
    for (const name of ['one', 'copied']) await broker.declareQueue({ name });
    const message = withHeaders('x', { CC: ['copied'], id: 'a' });
    await broker.publish(message, { exchange: 'one', routingKey: 'one', queue: 'one', mandatory: true });
    const inbox = await openInbox(broker, ['one']);
    const delivery = await inbox.deliveries.next();
    t.strictSame(delivery.headers, { id: 'a' });
    t.equal(await broker.countReady('copied'), 0);
    await inbox.subscription.ack(delivery);
    await inbox.subscription.release();
  });

  t.test('dead letters', async (t) => {
    await broker.declareQueue({ name: 'dead', exchange: 'dlx', routingKey: 'dead' });
    await broker.declareQueue({ name: 'mortal', arguments: { 'x-dead-letter-exchange': 'dlx', 'x-dead-letter-routing-key': 'dead' } });
    const inbox = await openInbox(broker, ['mortal', 'dead']);
    await send('bad', 'mortal');
    const delivery = await inbox.deliveries.next();
    t.equal(delivery.queue, 'mortal');
    await inbox.subscription.reject(delivery, { requeue: false });
    const dead = await inbox.deliveries.next();
    t.equal(dead.queue, 'dead');
    t.match(dead.headers, { 'x-first-death-queue': 'mortal', 'x-first-death-reason': 'rejected' });
    await inbox.subscription.ack(dead);
    await inbox.subscription.release();
  });

  t.test('a queue that the server deletes with its last consumer stays in a pause, and with another prefetch', async (t) => {
    await broker.declareQueue({ name: 'fleeting', autoDelete: true });
    for (let number = 0; number < 12; number++) await send(`${number}`, 'fleeting');
    const inbox = await openInbox(broker, ['fleeting'], 2);
    const held = await inbox.deliveries.take(2);
    inbox.subscription.setPrefetch(4);
    held.push(...(await inbox.deliveries.take(2)));
    inbox.subscription.pause();
    for (const delivery of held) t.equal(await inbox.subscription.ack(delivery), 'done');
    t.equal(inbox.deliveries.size, 0, 'what comes in a pause waits');
    inbox.subscription.resume();
    const last = await inbox.deliveries.take(4);
    // Deferred ones do not count: the count goes over to the channel, and others take the place of the consumer.
    await inbox.subscription.defer(last[0]!, Date.now() + 60_000);
    last.push(...(await inbox.deliveries.take(1)));
    for (const delivery of last.slice(1)) await inbox.subscription.ack(delivery);
    const rest = await inbox.deliveries.take(3);
    const all = new Set([...held, ...last, ...rest].map(textOf));
    t.equal(all.size, 12, 'all have come, each once');
    await inbox.subscription.release();
  });

  t.test('deferred messages come and go: no more than the prefetch count is ever under way beside them', async (t) => {
    const prefetch = 4;
    await broker.declareQueue({ name: 'deep' });
    await Promise.all(Array.from({ length: 1000 }, (_, number) => send(`${number}`, 'deep')));
    const unsettled = async (): Promise<number> =>
      Number(/^deep\t(\d+)$/m.exec(await vhost.list('queues', 'name', 'messages_unacknowledged'))?.[1]);
    /** Counts of their own of the consumers there are. */
    const counts = async (): Promise<string> =>
      vhost.control.evaluate(
        `[proplists:get_value(prefetch_count, C) || C <- rabbit_amqqueue:consumers_all(<<"${vhost.name}">>),
          element(4, proplists:get_value(queue_name, C)) =:= <<"deep">>]`,
      );
    const inbox = await openInbox(broker, ['deep'], prefetch);
    for (let round = 0; round < 2; round++) {
      const [first, ...others] = await inbox.deliveries.take(prefetch);
      // It makes room for another, and the count goes over to the channel.
      // Due when a busy machine has seen that, too.
      t.equal(await inbox.subscription.defer(first!, Date.now() + 1000), 'done');
      others.push(await inbox.deliveries.next());
      await eventually(t, 'what is deferred is left out', async () => (await counts()) !== `[${prefetch}]`);
      t.ok((await unsettled()) <= prefetch + 1, 'one is deferred');
      for (const delivery of others) t.equal(await inbox.subscription.ack(delivery), 'done');
      const due = await inbox.deliveries.take(prefetch);
      await eventually(t, 'consumers count again', async () => (await counts()) === `[${prefetch}]`);
      const left = await unsettled();
      t.ok(left <= 2 * prefetch + 1, `a new consumer does not count what the last one has: ${left}`);
      for (const delivery of due) t.equal(await inbox.subscription.ack(delivery), 'done');
    }
    await inbox.subscription.release();
  });

  t.test('a quorum queue: counted per consumer, deliveries counted, the prefetch can change', async (t) => {
    const quorum = amqpBroker(vhost.url());
    t.teardown(() => quorum.stop());
    await quorum.start();
    await quorum.declareQueue({ name: 'quorum', arguments: { 'x-queue-type': 'quorum' } });
    for (let number = 0; number < 5; number++) await send(`${number}`, 'quorum');
    const inbox = await openInbox(quorum, ['quorum'], 2);
    const [first, second] = await inbox.deliveries.take(2);
    t.equal(await inbox.subscription.reject(second!, { requeue: true }), 'done');
    const third = await inbox.deliveries.next();
    inbox.subscription.setPrefetch(4);
    const more = await inbox.deliveries.take(2);
    t.ok(more.length === 2, 'with a consumer that counts anew');
    t.equal(await inbox.subscription.ack(first!), 'done', 'of the consumer of before');
    for (const delivery of more) await inbox.subscription.ack(delivery);
    const all = [third, ...more, await inbox.deliveries.next()];
    const again = all.find((delivery) => textOf(delivery) === '1');
    t.match(again, { redelivered: true, deliveryCount: 1 });
  });

  t.test('a quorum queue that nobody announced: learned from the refusal', async (t) => {
    const other = amqpBroker(vhost.url());
    t.teardown(() => other.stop());
    await other.start();
    await broker.declareQueue({ name: 'quorum2', arguments: { 'x-queue-type': 'quorum' } });
    await send('x', 'quorum2');
    const inbox = await openInbox(other, ['quorum2'], 1);
    t.equal(textOf(await inbox.deliveries.next()), 'x');
    await inbox.subscription.release();
  });

  t.test('a quorum queue that is declared here as another one: learned from the difference', async (t) => {
    const log = new RecordingLog();
    const other = amqpBroker(vhost.url(), { log });
    t.teardown(() => other.stop());
    await other.start();
    await broker.declareQueue({ name: 'quorum3', arguments: { 'x-queue-type': 'quorum' } });
    await send('x', 'quorum3');
    await other.declareQueue({ name: 'quorum3' });
    const inbox = await openInbox(other, ['quorum3'], 1);
    t.equal(textOf(await inbox.deliveries.next()), 'x');
    await inbox.subscription.release();
    t.match(
      log.lines.find(({ event }) => event === 'broker.differs')?.message,
      /x-queue-type is 'quorum'(?: of type 'longstr')? there and (?:none|'classic') here$/,
    );
    t.strictSame(
      log.lines.filter(({ event, level }) => level === 'error' && event !== 'broker.differs'),
      [],
      'and no connection was lost for it',
    );
  });

  t.test('mandatory, refused and unwritable messages are told; others are not harmed', async (t) => {
    await broker.declareQueue({ name: 'full', arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
    await broker.declareQueue({ name: 'fine' });
    const destination = { exchange: '', routingKey: 'nobody' };
    await broker.publish(textMessage('dropped'), destination);
    // RabbitMQ takes ten years, and ends the channel over more.
    for (const years of [10, 30]) await broker.publish(textMessage('dropped', { expiration: String(years * 31_536_000_000) }), destination);
    await send('first', 'full');
    const results = await Promise.allSettled([
      send('a', 'fine'),
      broker.publish(textMessage('x'), { ...destination, mandatory: true }),
      send('second', 'full'),
      broker.publish(textMessage('x'), { exchange: 'no such exchange', routingKey: 'x' }),
      broker.publish({ ...textMessage('x'), headers: { huge: 2n ** 64n } }, { exchange: '', routingKey: 'fine' }),
      broker.publish(textMessage('x', { expiration: 'soon' }), { exchange: '', routingKey: 'fine' }),
      broker.publish(textMessage('x', { priority: 1000 }), { exchange: '', routingKey: 'fine' }),
      broker.publish({ ...textMessage('x'), headers: { long: 'x'.repeat(70_000) } }, { exchange: '', routingKey: 'fine' }),
      broker.publish(textMessage('b'), { exchange: 'fine', routingKey: 'fine', mandatory: true }),
      send('c', 'fine'),
    ]);
    const codes = results.map((result) => (result.status === 'fulfilled' ? 'ok' : (result.reason as { code: string }).code));
    t.strictSame(codes, [
      'ok',
      'BROKER_REFUSED',
      'BROKER_FULL',
      'BROKER_REFUSED',
      'MESSAGE_UNWRITABLE',
      'MESSAGE_UNWRITABLE',
      'MESSAGE_UNWRITABLE',
      'MESSAGE_UNWRITABLE',
      'ok',
      'ok',
    ]);
    const [, returned, nacked, missing] = results as PromiseRejectedResult[];
    t.match(returned!.reason.message, /no queue takes the message for exchange '' with routing key 'nobody': 312 NO_ROUTE/);
    t.match(nacked!.reason.message, /a queue refused the message for exchange '' with routing key '\w+'/);
    t.match(missing!.reason.message, /no exchange 'no such exchange'/);
    t.equal(await broker.countReady('fine'), 3);
  });

  t.test('a text that is too long is named, with its limit and its length', async (t) => {
    await broker.declareQueue({ name: 'short' });
    const long = `ü\n${'x'.repeat(300)}`;
    const rows: readonly (readonly [what: string, exchange: string, routingKey: string, properties: Partial<MessageProperties>])[] = [
      ['the routing key', '', long, {}],
      ['the name of the exchange', long, 'x', {}],
      ['the task id (correlation_id)', '', 'short', { correlationId: long }],
      ['the queue for the reply (reply_to)', '', 'short', { replyTo: long }],
      ['the content type', '', 'short', { contentType: long }],
      ['message_id', '', 'short', { extra: { message_id: long } }],
    ];
    for (const [what, exchange, routingKey, properties] of rows)
      for (const headers of [null, { a: 1 }])
        await t.rejects(
          broker.publish({ ...textMessage('x', properties), headers }, { exchange, routingKey }),
          {
            code: 'MESSAGE_UNWRITABLE',
            message: `the message cannot be written in AMQP: ${what} must have at most 255 bytes, got 303 ('ü\\n${'x'.repeat(18)}…')`,
          },
          what,
        );
    await send('as before', 'short');
    t.equal(await broker.countReady('short'), 1);
  });
});
