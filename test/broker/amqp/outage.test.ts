/** What losing RabbitMQ costs: deliveries of the connection, and nothing else. */
import t, { type Test } from 'tap';
import { AmqpBroker } from '../../../src/broker/amqp/amqp-broker.ts';
import type { BrokerState } from '../../../src/broker/broker.ts';
import { type Clock, systemClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { RabbitmqServer } from '../../rabbitmq-server.ts';
import { TcpProxy } from '../../tcp-proxy.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { amqpBroker, amqpPlace, channelsOf, eagerClock, type PlaceOptions } from './amqp-place.ts';

// A server takes its time to start on a busy machine.
t.setTimeout(300_000);

const publish = (broker: AmqpBroker, queue: string, text: string) => broker.publish(textMessage(text), { exchange: '', routingKey: queue });

async function started(
  t: Test,
  url: string,
  options: PlaceOptions = {},
): Promise<{ broker: AmqpBroker; log: RecordingLog; states: BrokerState[] }> {
  const log = new RecordingLog();
  const broker = amqpBroker(url, { log, ...options });
  const states: BrokerState[] = [];
  broker.onStateChange((state) => states.push(state));
  t.teardown(() => broker.stop());
  await broker.start();
  return { broker, log, states };
}

t.test('outages', async (t) => {
  const server = await RabbitmqServer.start(t);

  t.test('connections closed by an operator: what was held comes again, what was held before is stale', async (t) => {
    const { broker, log, states } = await started(t, server.url());
    await broker.declareQueue({ name: 'closed' });
    for (const text of ['0', '1', '2']) await publish(broker, 'closed', text);
    const inbox = await openInbox(broker, ['closed'], 2);
    const [first, second] = await inbox.deliveries.take(2);
    t.equal(await inbox.subscription.ack(first!), 'done');
    const third = await inbox.deliveries.next();
    await server.control.closeAllConnections('test');
    t.strictSame((await inbox.lost.next()).map(textOf), ['1', '2']);
    t.equal(await inbox.subscription.ack(second!), 'stale');
    const again = await inbox.deliveries.take(2);
    t.strictSame(again.map(textOf).sort(), ['1', '2']);
    t.ok(again.every(({ redelivered, epoch }) => redelivered && epoch > second!.epoch));
    t.equal(await inbox.subscription.reject(third, { requeue: true }), 'stale', 'the same message, the delivery of before');
    for (const delivery of again) t.equal(await inbox.subscription.ack(delivery), 'done');
    t.equal(await broker.countReady('closed'), 0);
    await publish(broker, 'closed', '3');
    t.equal(textOf(await inbox.deliveries.next()), '3', 'both connections are there again');
    t.strictSame(states, ['connecting', 'connected', 'lost', 'connected']);
    t.match((await log.event('amqp.lost')).message, /closed/i);
  });

  t.test('what is begun by whoever hears of the new connection is begun once', async (t) => {
    const { broker } = await started(t, server.url());
    await broker.declareQueue({ name: 'begun' });
    const begun = new Promise<unknown>((resolve) => {
      broker.onStateChange((state) => {
        if (state !== 'connected') return;
        const listening = broker.listen({ exchange: 'begun.x', exchangeType: 'fanout', routingKey: '', onMessage: () => {} });
        resolve(Promise.all([listening, openInbox(broker, ['begun'])]));
      });
    });
    await server.control.closeAllConnections('test');
    await t.resolves(begun);
    t.equal((await broker.topology.look('begun'))?.consumers, 1);
  });

  t.test('a pause outlives its connection, and nothing else is said', async (t) => {
    const { broker, log } = await started(t, server.url());
    await broker.declareQueue({ name: 'paused' });
    const inbox = await openInbox(broker, ['paused']);
    inbox.subscription.pause();
    await server.control.closeAllConnections('test');
    t.match((await log.event('broker.consuming')).message, /^Nothing is taken from paused for now/);
    await publish(broker, 'paused', 'x');
    t.equal(await broker.countReady('paused'), 1);
    inbox.subscription.resume();
    t.equal(textOf(await inbox.deliveries.next()), 'x');
  });

  t.test('an acknowledgement under way when the connection goes is not called done', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const { broker } = await started(t, `amqp://127.0.0.1:${proxy.port}//`);
    await broker.declareQueue({ name: 'under way' });
    await publish(broker, 'under way', 'x');
    const inbox = await openInbox(broker, ['under way']);
    const delivery = await inbox.deliveries.next();
    proxy.freeze();
    const outcome = inbox.subscription.ack(delivery);
    proxy.thaw();
    t.equal(await outcome, 'stale');
    const again = await inbox.deliveries.next();
    t.equal(again.redelivered, true);
    t.equal(await inbox.subscription.ack(again), 'done');
  });

  t.test('the end of a consumption whose connection goes: what it has not heard of is not called done', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const { broker } = await started(t, `amqp://127.0.0.1:${proxy.port}//`);
    await broker.declareQueue({ name: 'release' });
    for (const text of ['0', '1']) await publish(broker, 'release', text);
    const inbox = await openInbox(broker, ['release']);
    const [first, second] = await inbox.deliveries.take(2);
    proxy.freeze();
    const outcome = inbox.subscription.ack(first!);
    const released = inbox.subscription.release();
    proxy.thaw();
    t.equal(await outcome, 'stale');
    await released;
    t.equal(await inbox.subscription.ack(second!), 'stale');
    const { broker: other } = await started(t, server.url());
    await eventually(t, 'both are back', async () => (await other.countReady('release')) === 2);
  });

  t.test('stopping does not wait for a server that answers nothing, though no heartbeat finds it out', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const log = new RecordingLog();
    // Twenty times faster once the server is silent, that the test need not wait for it. Before that it may take its time.
    let speed = 1;
    const fast: Clock = { ...systemClock, setTimer: (fire, ms, options) => systemClock.setTimer(fire, ms / speed, options) };
    const broker = new AmqpBroker({
      place: amqpPlace(`amqp://127.0.0.1:${proxy.port}//?heartbeat=0`),
      log,
      clock: fast,
      options: { publishPatienceMs: null },
    });
    await broker.start();
    await broker.declareQueue({ name: 'silent' });
    await publish(broker, 'silent', 'x');
    const inbox = await openInbox(broker, ['silent']);
    await inbox.deliveries.next();
    proxy.freeze();
    speed = 20;
    await broker.stop();
    t.equal(broker.state, 'stopped');
    t.match(await log.event('broker.stop'), { message: /did not stop cleanly: no answer within 7 s/ });
    proxy.thaw();
  });

  t.test('a queue that cannot be declared after a loss does not keep the others from being consumed', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const { broker, log } = await started(t, `amqp://127.0.0.1:${proxy.port}//`, {
      connection: { connectTimeoutMs: 500, startRetries: null },
    });
    const { broker: other } = await started(t, server.url());
    await other.declareQueue({ name: 'given' });
    await broker.declareQueue({ name: 'given', noDeclare: true });
    await broker.declareQueue({ name: 'mine' });
    const inbox = await openInbox(broker, ['given', 'mine']);
    proxy.freeze();
    broker.reconnect('a test');
    await log.event('amqp.unreachable');
    await other.deleteQueue('given');
    proxy.thaw();
    await publish(other, 'mine', 'goes on');
    t.equal(textOf(await inbox.deliveries.next()), 'goes on');
    t.match(await log.event('broker.consume-failed'), {
      message: /Queue given cannot be consumed from: queue given must exist.*Trying again/,
    });
    await other.declareQueue({ name: 'given' });
    await publish(other, 'given', 'there again');
    t.equal(textOf(await inbox.deliveries.next()), 'there again');
  });

  t.test('no answer as consuming begins, on a connection that looks well: another one, also at the start', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const basicConsume = Buffer.from([0, 60, 0, 20]);
    const standStillAtConsume = (): void => {
      proxy.cutsAt = (chunk) => {
        if (chunk.includes(basicConsume)) proxy.freeze();
        return false;
      };
    };
    const goOn = (): void => {
      proxy.cutsAt = () => false;
      proxy.thaw();
    };
    // Without heartbeats nobody else would ever notice.
    const url = `amqp://127.0.0.1:${proxy.port}//?heartbeat=0`;
    const { broker, log, states } = await started(t, url, { connection: { connectTimeoutMs: 2000 } });
    const { broker: other } = await started(t, server.url());
    await broker.declareQueue({ name: 'silence' });
    standStillAtConsume();
    await t.rejects(openInbox(broker, ['silence']), {
      code: 'BROKER_LOST',
      message: /no answer within 2 s while consuming from silence was begun/,
    });
    t.match(await log.event('broker.unanswered'), { level: 'error', message: /^RabbitMQ: no answer within 2 s .* Connecting anew$/ });
    goOn();
    await eventually(t, 'there is another connection', () => broker.state === 'connected');
    const inbox = await openInbox(broker, ['silence']);
    standStillAtConsume();
    const before = states.length;
    broker.reconnect('a test');
    await eventually(t, 'it is noticed', () => log.lines.filter(({ event }) => event === 'broker.unanswered').length === 2);
    goOn();
    await publish(other, 'silence', 'after all');
    t.equal(textOf(await inbox.deliveries.next()), 'after all');
    t.strictSame(states.slice(before), ['lost', 'connected', 'lost', 'connected']);
  });

  t.test('a message that is larger than the server takes fails alone', async (t) => {
    // RabbitMQ 4 looks at what it has read at its start.
    const limit = (bytes: number) =>
      server.control.evaluate(`application:set_env(rabbit, max_message_size, ${bytes}), persistent_term:put(max_message_size, ${bytes})`);
    await limit(100_000);
    const { broker } = await started(t, server.url());
    await broker.declareQueue({ name: 'size' });
    const results = await Promise.allSettled([
      publish(broker, 'size', 'before'),
      broker.publish({ ...textMessage('large'), body: Buffer.alloc(100_001) }, { exchange: '', routingKey: 'size' }),
      publish(broker, 'size', 'after'),
    ]);
    await limit(16_777_216);
    t.match(results, [
      { status: 'fulfilled' },
      { reason: { code: 'MESSAGE_UNWRITABLE', message: /does not take messages of this size: .*larger than/ } },
      { status: 'fulfilled' },
    ]);
    const inbox = await openInbox(broker, ['size']);
    const texts = new Set<string>();
    // One whose confirmation went with the channel is there twice.
    while (texts.size < 2) texts.add(textOf(await inbox.deliveries.next()));
    t.strictSame([...texts].sort(), ['after', 'before']);
  });

  t.test('a connection to publish over that is refused: it says why, and is made when it can be', async (t) => {
    await server.control.addUser('publisher', 'right');
    await server.control.allow('publisher');
    const { broker } = await started(t, `amqp://publisher:right@127.0.0.1:${server.port}//`);
    await broker.declareQueue({ name: 'refused' });
    await server.control.setPassword('publisher', 'other');
    await t.rejects(publish(broker, 'refused', 'x'), { code: 'BROKER_UNAVAILABLE', message: /user and password of the URL: 403/ });
    await server.control.setPassword('publisher', 'right');
    await publish(broker, 'refused', 'y');
    t.equal(await broker.countReady('refused'), 1);
  });

  t.test('another connection to publish over: a queue that is not there any more is declared before anything is sent', async (t) => {
    const { broker, log } = await started(t, server.url(), {
      connection: { connectionName: 'again' },
      options: { publishPatienceMs: null },
    });
    const { broker: other } = await started(t, server.url());
    await broker.declareQueue({ name: 'again' });
    await publish(broker, 'again', 'x');
    await other.deleteQueue('again');
    await server.control.closePublishingConnections('test');
    await log.event('amqp.publisher-lost');
    await publish(broker, 'again', 'y');
    t.equal(await other.countReady('again'), 1, 'it was confirmed, and would be nowhere');
  });

  t.test('a user who may not declare uses the queues that are there, and is told why others must be', async (t) => {
    const { broker: owner } = await started(t, server.url());
    await owner.declareQueue({ name: 'theirs' });
    await server.control.addUser('tenant', 'right');
    await server.control.allow('tenant', '/', '^$');
    const { broker, log } = await started(t, `amqp://tenant:right@127.0.0.1:${server.port}//`);
    await broker.declareQueue({ name: 'theirs' });
    t.match((await log.event('broker.denied')).message, /theirs could not be declared and is used if it is there/);
    await publish(broker, 'theirs', 'x');
    t.equal(await broker.countReady('theirs'), 1);
    await t.rejects(broker.declareQueue({ name: 'nobodys' }), {
      code: 'BROKER_REFUSED',
      message: /^queue nobodys must exist on the server, because the user of the URL may not declare it; there is none/,
    });
    await t.rejects(broker.declareQueue({ name: 'nobodys', noDeclare: true }), {
      message: /because it is not declared here; there is none/,
    });
  });

  t.test('a queue that may not be read is refused before the channel would end for it', async (t) => {
    await server.control.addUser('reader', 'right');
    await server.control.allow('reader', '/', '.*', '^readable');
    const { broker, log } = await started(t, `amqp://reader:right@127.0.0.1:${server.port}//`);
    const { broker: owner } = await started(t, server.url());
    for (const name of ['readable', 'readable-too', 'secret']) await owner.declareQueue({ name });
    for (const text of ['held', 'next']) await publish(owner, 'readable', text);
    await publish(owner, 'readable-too', 'there');
    const inbox = await openInbox(broker, ['readable'], 1);
    const held = await inbox.deliveries.next();
    t.equal(textOf(held), 'held');
    await t.rejects(inbox.subscription.addQueue('secret'), {
      code: 'BROKER_UNAVAILABLE',
      message: /lacks a right that is needed: 403 .*'secret'/,
    });
    t.strictSame(inbox.subscription.queues, ['readable']);
    await inbox.subscription.addQueue('readable-too');
    t.equal(await inbox.subscription.ack(held), 'done', 'the channel is the same');
    const rest = [await inbox.deliveries.next()];
    await inbox.subscription.ack(rest[0]!);
    rest.push(await inbox.deliveries.next());
    t.same(rest.map((delivery) => [textOf(delivery), delivery.redelivered]).sort(), [
      ['next', false],
      ['there', false],
    ]);
    t.strictSame(
      log.lines.filter(({ event }) => event === 'broker.consume-failed' || event === 'broker.channel-lost'),
      [],
    );
  });

  t.test('a right that is missing at a reconnect: the queue is consumed from when it is back, at no cost to what is held', async (t) => {
    await server.control.addUser('shop', 'right');
    await server.control.allow('shop');
    const { broker, log } = await started(t, `amqp://shop:right@127.0.0.1:${server.port}//`, { clock: eagerClock });
    const { broker: other } = await started(t, server.url());
    for (const name of ['shop', 'barred']) await broker.declareQueue({ name });
    const { subscription, deliveries } = await openInbox(broker, ['shop', 'barred'], 4);
    await server.control.allow('shop', '/', '.*', '^shop');
    broker.reconnect('a test');
    t.match(await log.event('broker.consume-failed'), { message: /^Queue barred cannot be consumed from: .* 403 .*\. Trying again$/ });
    await publish(other, 'shop', 'held');
    await publish(other, 'barred', 'there');
    const held = await deliveries.next();
    t.equal(held.queue, 'shop');
    const channels = channelsOf(broker);
    await eventually(t, 'it is asked for again and again', () => channels() > 3);
    t.strictSame(subscription.refusedQueues, ['barred']);
    await server.control.allow('shop');
    t.match(await deliveries.next(), { queue: 'barred', redelivered: false });
    t.equal(await subscription.ack(held), 'done', 'the channel is the same');
    const said = log.lines.filter(({ event }) => /consum|channel/.test(event)).map(({ message }) => message);
    t.match(said.slice(-2), ['Consuming again from shop', 'Consuming again from barred']);
    t.equal(said.filter((text) => text.startsWith('Queue barred')).length, 1, 'said once');
  });

  t.test('a server restart: durable messages, listeners and consuming come back, transient messages do not', async (t) => {
    const { broker } = await started(t, server.url(), { options: { publishPatienceMs: null } });
    for (const name of ['restart', 'mixed']) await broker.declareQueue({ name });
    await publish(broker, 'restart', 'before');
    for (const deliveryMode of [1, 2] as const)
      await broker.publish(textMessage(`${deliveryMode}`, { deliveryMode }), { exchange: '', routingKey: 'mixed' });
    t.equal(await broker.countReady('mixed'), 2);
    const heard: string[] = [];
    const hear = async (): Promise<void> =>
      void (await broker.publish(textMessage('heard'), { exchange: 'restart.pidbox', routingKey: '' }));
    await broker.listen({
      exchange: 'restart.pidbox',
      exchangeType: 'fanout',
      routingKey: '',
      onMessage: (message) => heard.push(textOf(message)),
    });
    const inbox = await openInbox(broker, ['restart'], 1);
    t.equal(textOf(await inbox.deliveries.next()), 'before');
    await server.stop();
    t.equal((await inbox.lost.next()).length, 1);
    const during = publish(broker, 'restart', 'during');
    await server.start();
    const upAtMs = performance.now();
    // One that has just started takes its time to let anybody in, on a busy machine.
    const letIn = started(t, server.url()).then(() => performance.now() - upAtMs);
    const again = await inbox.deliveries.next();
    const consumingMs = performance.now() - upAtMs;
    t.ok(consumingMs < 5000 + (await letIn), 'consuming within 5 s of the server being back');
    t.equal(textOf(again), 'before');
    t.equal(again.redelivered, true);
    await inbox.subscription.ack(again);
    await during;
    t.equal(textOf(await inbox.deliveries.next()), 'during', 'what waited for the server');
    await eventually(t, 'the listener is back', async () => {
      await hear();
      return heard.length > 0;
    });
    const mixed = await openInbox(broker, ['mixed']);
    t.equal(textOf(await mixed.deliveries.next()), '2', 'what was persistent is kept');
    t.equal(await broker.countReady('mixed'), 0, 'and nothing else');
  });

  t.test('without patience publishing fails while the server is away', async (t) => {
    const { broker } = await started(t, server.url(), { options: { publishPatienceMs: 50 } });
    await broker.declareQueue({ name: 'impatient' });
    // Its connection may take longer than the patience lasts; what was given up is not sent.
    const sent = (): Promise<boolean> =>
      publish(broker, 'impatient', 'x').then(
        () => true,
        () => false,
      );
    await eventually(t, 'there is a connection to publish over', sent);
    await server.stop();
    await t.rejects(publish(broker, 'impatient', 'y'), { code: 'BROKER_LOST' });
    await t.rejects(broker.publish(textMessage('z'), { exchange: '', routingKey: 'impatient', impatient: true }), { code: 'BROKER_LOST' });
    await t.rejects(broker.declareQueue({ name: 'impatient' }), { code: 'BROKER_LOST' });
    await server.start();
    await eventually(t, 'connected again', () => broker.state === 'connected');
    t.equal(await broker.countReady('impatient'), 1);
  });

  t.test('a server that stands still is found out by its missing heartbeats', async (t) => {
    const { broker, log } = await started(t, server.url(), {
      connection: { heartbeatSeconds: 1, connectTimeoutMs: 500, startRetries: null },
    });
    t.equal(broker.connection.heartbeatSeconds, 1);
    await broker.declareQueue({ name: 'still' });
    await publish(broker, 'still', 'x');
    const inbox = await openInbox(broker, ['still']);
    await inbox.deliveries.next();
    server.pause();
    t.equal((await inbox.lost.next()).length, 1);
    t.match((await log.event('amqp.lost')).message, /no sign of life within two heartbeats/);
    await log.event('amqp.unreachable');
    server.resume();
    const again = await inbox.deliveries.next();
    t.equal(again.redelivered, true);
    t.equal(await inbox.subscription.ack(again), 'done');
  });

  t.test('until when what is held is certainly ours: two heartbeats after the server answered, and on', async (t) => {
    const { broker } = await started(t, server.url(), { connection: { heartbeatSeconds: 1, connectTimeoutMs: 500, startRetries: null } });
    await broker.declareQueue({ name: 'until' });
    let held = 0;
    const lost: number[] = [];
    const subscription = await broker.consume({
      queues: ['until'],
      prefetch: 1,
      onDelivery: () => {},
      onLost: (gone) => lost.push(gone.length),
      onHeld: () => held++,
    });
    const first = subscription.heldUntilMs;
    t.ok(first > systemClock.monotonic() && first <= systemClock.monotonic() + 2000);
    await publish(broker, 'until', 'x');
    await eventually(t, 'it moves on', () => subscription.heldUntilMs > first);
    server.pause();
    await eventually(t, 'it passes', () => systemClock.monotonic() > subscription.heldUntilMs);
    const before = held;
    server.resume();
    // Together: between one look and the next a busy machine may stand still until it has passed once more.
    await eventually(t, 'said again, and so it is', () => held > before && subscription.heldUntilMs > systemClock.monotonic());
  });

  t.test('a half-open connection is found out as well, and the other end gets its messages back', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const { broker } = await started(t, `amqp://127.0.0.1:${proxy.port}//?heartbeat=1`, {
      connection: { connectTimeoutMs: 500, startRetries: null },
    });
    await broker.declareQueue({ name: 'half-open' });
    await publish(broker, 'half-open', 'x');
    const inbox = await openInbox(broker, ['half-open']);
    await inbox.deliveries.next();
    proxy.freeze();
    t.equal((await inbox.lost.next()).length, 1);
    proxy.thaw();
    const again = await inbox.deliveries.next();
    t.equal(again.redelivered, true);
    t.equal(await inbox.subscription.ack(again), 'done');
  });

  t.test('a half-open connection that is published over is found out without heartbeats: what was on its way is sent again', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    const log = new RecordingLog();
    // Forty times faster once the connection is silent, that the test need not wait for it.
    let speed = 1;
    const fast: Clock = { ...systemClock, setTimer: (fire, ms, options) => systemClock.setTimer(fire, ms / speed, options) };
    const broker = new AmqpBroker({
      place: amqpPlace(`amqp://127.0.0.1:${proxy.port}//?heartbeat=0`),
      log,
      clock: fast,
      options: { publishPatienceMs: null },
    });
    t.teardown(() => broker.stop());
    await broker.start();
    await broker.declareQueue({ name: 'published' });
    await publish(broker, 'published', 'before');
    proxy.silence();
    speed = 40;
    // Each over a channel of its own, one of which is still to be opened.
    const sent = [
      publish(broker, 'published', 'meanwhile'),
      broker.publish(textMessage('with others'), { exchange: '', routingKey: 'published', confirm: 'soon' }),
    ];
    await Promise.all(sent);
    t.match(await log.event('amqp.publisher-silent'), { level: 'error', message: /has not answered for 30 s/ });
    t.notOk(
      log.lines.some(({ event }) => event === 'amqp.lost'),
      'the other connection is another matter',
    );
    const { broker: other } = await started(t, server.url());
    t.equal(await other.countReady('published'), 3);
  });

  t.test('whoever does not wait for a server that is away does wait while a far one is being connected with', async (t) => {
    const proxy = await TcpProxy.start(t, server.port);
    proxy.delayMs = 60;
    const { broker } = await started(t, `amqp://127.0.0.1:${proxy.port}//`);
    await broker.declareQueue({ name: 'far' });
    const sent = () => broker.publish(textMessage('x'), { exchange: '', routingKey: 'far', impatient: true });
    await sent();
    proxy.cut();
    await eventually(t, 'the loss is known', () => broker.state === 'lost');
    await t.resolves(sent());
  });

  t.test('a queue that is deleted is declared and consumed from again', async (t) => {
    const { broker, log } = await started(t, server.url());
    const { broker: other } = await started(t, server.url());
    for (const name of ['deleted', 'untouched']) await broker.declareQueue({ name });
    const inbox = await openInbox(broker, ['deleted', 'untouched']);
    await publish(broker, 'untouched', 'held');
    const held = await inbox.deliveries.next();
    await other.deleteQueue('deleted');
    t.match((await log.event('broker.consumer-cancelled')).message, /deleted/);
    await eventually(t, 'it is there again', async () => (await other.topology.look('deleted'))?.consumers === 1);
    await publish(other, 'deleted', 'again');
    t.equal(textOf(await inbox.deliveries.next()), 'again');
    t.equal(await inbox.subscription.ack(held), 'done', 'the channel has not ended');
    t.equal((await log.event('broker.consuming')).message, 'Consuming again from deleted');
  });

  t.test('a memory alarm: publishing waits, consuming goes on, and it is said once', async (t) => {
    const { broker, log } = await started(t, server.url());
    await broker.declareQueue({ name: 'alarm' });
    for (const text of ['0', '1']) await publish(broker, 'alarm', text);
    await server.control.setMemoryLimit({ bytes: 1 });
    const texts = ['0', '1'];
    let confirmed = 0;
    const sending: Promise<void>[] = [];
    const send = (): Promise<void> => {
      texts.push(String(texts.length));
      const sent = publish(broker, 'alarm', texts.at(-1)!).then(() => void confirmed++);
      sending.push(sent);
      return sent;
    };
    const blockedNow: (string | null)[] = [];
    t.teardown(broker.onBlocked(() => blockedNow.push(broker.blocked)));
    // The connection hears of the alarm a moment after it was raised, and of what it sends then.
    const blocked = log.event('amqp.blocked').then(() => true);
    while ((await Promise.race([blocked, send()])) !== true);
    const before = confirmed;
    void send();
    const inbox = await openInbox(broker, ['alarm'], 1);
    for (const text of ['0', '1']) {
      const delivery = await inbox.deliveries.next();
      t.equal(textOf(delivery), text);
      t.equal(await inbox.subscription.ack(delivery), 'done');
    }
    t.equal(confirmed, before);
    await server.control.setMemoryLimit({ fraction: 0.4 });
    await Promise.all(sending);
    const rest: string[] = [];
    while (rest.length < texts.length - 2) {
      const delivery = await inbox.deliveries.next();
      rest.push(textOf(delivery));
      await inbox.subscription.ack(delivery);
    }
    t.strictSame(rest, texts.slice(2));
    await log.event('amqp.unblocked');
    t.equal(log.lines.filter(({ event }) => event === 'amqp.blocked').length, 1);
    t.strictSame(blockedNow, ['low on memory', null], 'and whoever wants to know is told');
  });
});
