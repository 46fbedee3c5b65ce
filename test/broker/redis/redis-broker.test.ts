/** What is particular to Redis: the layout of keys, losses, waking up. */

import t from 'tap';
import { signOfLifeScript } from '../../../src/broker/redis/lease-scripts.ts';
import type { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { decodeEnvelope, encodeEnvelope } from '../../../src/protocol/virtual-envelope.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { loadVectors, messagesOf, type RedisMessage, type TaskVector } from '../../protocol/vectors.ts';
import { monitor } from '../../redis-monitor.ts';
import { RedisServer } from '../../redis-server.ts';
import { Arrivals, openInbox, textMessage, textOf } from '../inbox.ts';
import { startedBroker } from './redis-place.ts';

const step = (queue: string, priority: number): string => `${queue}\x06\x16${priority}`;
const send = (broker: RedisBroker, queue: string, text: string, properties: Partial<Message['properties']> = {}): Promise<void> =>
  broker.publish(textMessage(text, properties), { exchange: '', routingKey: queue });

t.test('keys are where kombu has them', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  await broker.declareQueue({ name: 'celery' });
  await broker.declareQueue({ name: 't', exchange: 'topics', exchangeType: 'topic', routingKey: 'a.*.c-d.#' });
  await broker.declareQueue({ name: 'f', exchange: 'fan', exchangeType: 'fanout', routingKey: '' });
  t.equal(server.cli('SMEMBERS', '_kombu.binding.celery'), 'celery\x06\x16\x06\x16celery');
  t.equal(server.cli('SMEMBERS', '_kombu.binding.topics'), 'a.*.c-d.#\x06\x16^a\\..*?[^\\.]\\.c\\-d\\..*?$\x06\x16t');
  t.equal(server.cli('SMEMBERS', '_kombu.binding.fan'), '\x06\x16\x06\x16f');
  for (const [priority, list] of [
    [undefined, 'celery'],
    [0, 'celery'],
    [2, 'celery'],
    [3, step('celery', 3)],
    [5, step('celery', 3)],
    [8, step('celery', 6)],
    [9, step('celery', 9)],
    [200, step('celery', 9)],
  ] as const) {
    await send(broker, 'celery', 'x', priority === undefined ? {} : { priority });
    t.equal(server.cli('LLEN', list), '1', `priority ${priority} goes to ${JSON.stringify(list)}`);
    await broker.purgeQueue('celery');
  }
  for (const priority of [0, 4, 9, 9]) await send(broker, 'celery', 'x', { priority });
  t.equal(await broker.purgeQueue('celery'), 4, 'of every step');
  server.cli('SET', 'somebody', 'else');
  await t.rejects(broker.purgeQueue('somebody'), { code: 'BROKER_REFUSED', message: /somebody/ });
  t.equal(server.cli('GET', 'somebody'), 'else');
  await t.rejects(broker.purgeQueue('unacked'), { code: 'BROKER_REFUSED', message: /unacked/ }, 'what is held is no queue');
  await send(broker, 'celery', 'held', { priority: 6 });
  const serverSeconds = (): number => Number(server.cli('TIME').split('\n')[0]);
  const beforeSeconds = serverSeconds();
  const inbox = await openInbox(broker, ['celery']);
  const delivery = await inbox.deliveries.next();
  const tag = String(delivery.tag);
  t.equal(server.cli('HKEYS', 'unacked'), tag);
  const [envelope, exchange, routingKey] = JSON.parse(server.cli('HGET', 'unacked', tag));
  t.equal(decodeEnvelope(JSON.stringify(envelope)).message.headers?.id, 'held');
  t.strictSame([exchange, routingKey], ['', 'celery']);
  const score = Number(server.cli('ZSCORE', 'unacked_index', tag));
  // Rounded up to whole ones.
  t.ok(score >= beforeSeconds && score <= serverSeconds() + 1, 'the age is in seconds of the server');
  await inbox.subscription.ack(delivery);
  t.equal(server.cli('EXISTS', 'unacked', 'unacked_index'), '0');
  await broker.stop();
  t.equal(server.cli('EXISTS', '_umbel.workers'), '0', 'it signs off');
});

t.test('a prefix, steps and a separator of one’s own', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server, {
    broker: { globalKeyprefix: 'app:', prioritySteps: [0, 5], sep: '-', unackedKey: 'held' },
  });
  await broker.declareQueue({ name: 'q' });
  await send(broker, 'q', 'low', { priority: 4 });
  await send(broker, 'q', 'high', { priority: 7 });
  t.strictSame(server.cli('KEYS', '*').split('\n').sort(), ['app:_kombu.binding.q', 'app:q', 'app:q-5']);
  t.equal(server.cli('SMEMBERS', 'app:_kombu.binding.q'), 'q--q', 'what is in it has no prefix');
  const inbox = await openInbox(broker, ['q']);
  t.strictSame((await inbox.deliveries.take(2)).map(textOf), ['low', 'high'], 'the lower number first');
  t.strictSame(server.cli('KEYS', '*').split('\n').sort(), ['app:_kombu.binding.q', 'app:_umbel.workers', 'app:held', 'app:unacked_index']);
  const heard = new Arrivals<string>();
  await broker.listen({ exchange: 'x', exchangeType: 'fanout', routingKey: '', onMessage: (message) => heard.push(textOf(message)) });
  t.match(server.cli('PUBSUB', 'CHANNELS'), /^app:\/0\.x$/m);
});

t.test('channels of broadcasts', async (t) => {
  const server = await RedisServer.start(t);
  const rows = [
    [{}, '/0.celeryev', '/0.celeryev/*'],
    [{ fanoutPrefix: false, fanoutPatterns: false }, 'celeryev', null],
    [{ fanoutPrefix: 'db{db}:' }, 'db0:celeryev', 'db0:celeryev/*'],
  ] as const;
  for (const [options, channel, below] of rows) {
    const broker = await startedBroker(t, server, { broker: options });
    const heard = new Arrivals<string>();
    await broker.listen({
      exchange: 'celeryev',
      exchangeType: 'topic',
      routingKey: '#',
      onMessage: (message, routingKey) => heard.push(`${routingKey}=${textOf(message)}`),
    });
    t.match(server.cli('PUBSUB', 'CHANNELS').split('\n'), [channel]);
    t.equal(server.cli('PUBSUB', 'NUMPAT'), below === null ? '0' : '1');
    await broker.publish(textMessage('1'), { exchange: 'celeryev', routingKey: 'worker.heartbeat' });
    t.equal(await heard.next(), 'worker.heartbeat=1');
    await broker.stop();
  }
});

t.test('every message that Celery has put into Redis can be read', async (t) => {
  const vectors = loadVectors(t, 'tasks-redis.json') as (TaskVector<RedisMessage & { key: string }> & { queue: string })[] | null;
  if (vectors === null) return;
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  let count = 0;
  for (const vector of vectors) {
    for (const { raw, key, envelope } of messagesOf(vector)) {
      if (key.includes('/')) continue;
      server.cli('LPUSH', key, raw);
      const queue = key.split('\x06\x16')[0]!;
      const inbox = await openInbox(broker, [queue], 1);
      const delivery = await inbox.deliveries.next();
      t.strictSame(delivery.headers, envelope.headers, vector.name);
      t.equal(delivery.queue, queue);
      t.equal(delivery.redelivered, false);
      // Through unacked and back, and the same for a Python worker.
      await inbox.subscription.release();
      const back = JSON.parse(server.cli('RPOP', key));
      const { redelivered, ...headers } = back.headers;
      t.equal(redelivered, true);
      t.strictSame(headers, JSON.parse(raw).headers);
      t.equal(
        Buffer.from(back.body, 'base64').toString('base64'),
        Buffer.from(String(envelope.body), envelope.properties ? 'base64' : 'utf8').toString('base64'),
      );
      t.match(back.properties, { body_encoding: 'base64', delivery_info: { redelivered: true } });
      count++;
    }
  }
  t.ok(count > 50, `${count} messages`);
});

t.test('elements that are no messages are set aside, not lost', async (t) => {
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const broker = await startedBroker(t, server, { log });
  const bad = [
    'not json',
    '[1]',
    '"text"',
    '7',
    '{"body":"x"}',
    '{"body":"eA==","properties":{"delivery_info":{}}}',
    '{"body":1,"headers":{},"properties":{"delivery_info":{},"delivery_tag":"a"}}',
  ];
  for (const text of bad) server.cli('LPUSH', 'celery', text);
  await send(broker, 'celery', 'good');
  const inbox = await openInbox(broker, ['celery'], 2);
  t.equal(textOf(await inbox.deliveries.next()), 'good');
  await inbox.subscription.release();
  t.equal(server.cli('LLEN', '_umbel.rejected.celery'), String(bad.length));
  t.strictSame(server.cli('LRANGE', '_umbel.rejected.celery', '0', '-1').split('\n').sort(), [...bad].sort(), 'as they were');
  t.equal(log.lines.filter(({ event, level }) => event === 'broker.undecodable' && level === 'error').length, bad.length);
  t.equal(server.cli('EXISTS', 'unacked'), '0');
  server.cli('EVAL', "for n = 1, 9999 do redis.call('RPUSH', KEYS[1], n) end", '1', '_umbel.rejected.celery');
  server.cli('LPUSH', 'celery', 'the newest');
  await send(broker, 'celery', 'good again');
  const more = await openInbox(broker, ['celery'], 2);
  t.strictSame((await more.deliveries.take(2)).map(textOf), ['good', 'good again']);
  await more.subscription.release();
  t.equal(server.cli('LLEN', '_umbel.rejected.celery'), '10000', 'the last so many are kept');
  t.equal(server.cli('LINDEX', '_umbel.rejected.celery', '0'), 'the newest');
});

const idOf = (message: Message): string => String(message.headers?.id);

t.test('a tag that somebody took is told', async (t) => {
  const server = await RedisServer.start(t);
  // Renewed after a quarter of it; a process that stands still for as long as this may lose what it holds.
  const broker = await startedBroker(t, server, { broker: { visibilityTimeoutMs: 6000 } });
  await send(broker, 'celery', 'a');
  await send(broker, 'celery', 'b');
  const inbox = await openInbox(broker, ['celery'], 2);
  const [a, b] = await inbox.deliveries.take(2);
  // As a Python worker's sweep would.
  server.cli('HDEL', 'unacked', String(a!.tag));
  server.cli('ZREM', 'unacked_index', String(a!.tag));
  t.strictSame(await inbox.lost.next(), [a]);
  t.equal(await inbox.subscription.ack(a!), 'stale');
  t.equal(await inbox.subscription.ack(b!), 'done');
  await send(broker, 'celery', 'c');
  await send(broker, 'celery', 'd');
  const [c] = await inbox.deliveries.take(2);
  server.cli('HDEL', 'unacked', String(c!.tag));
  t.equal(await inbox.subscription.ack(c!), 'stale', 'an acknowledgement that finds nothing says so');
});

t.test('the server restarts: deliveries stay valid, acknowledgements are kept, consuming goes on', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const log = new RecordingLog();
  const broker = await startedBroker(t, server, { log });
  const lost = new Promise<void>((resolve) => broker.onStateChange((state) => state === 'lost' && resolve()));
  await send(broker, 'celery', 'one');
  await send(broker, 'celery', 'two');
  const inbox = await openInbox(broker, ['celery'], 2);
  const [one, two] = await inbox.deliveries.take(2);
  await server.kill();
  await lost;
  t.equal(broker.state, 'lost');
  const acked = inbox.subscription.ack(one!);
  await t.rejects(send(broker, 'celery', 'too late'), { code: 'BROKER_LOST' });
  await server.start();
  const backAtMs = performance.now();
  t.equal(await acked, 'done');
  const ackedMs = performance.now() - backAtMs;
  server.cli(
    'LPUSH',
    'celery',
    server
      .cli('HGET', 'unacked', String(two!.tag))
      .replace(/^\[/, '')
      .replace(/,"","celery"\]$/, ''),
  );
  const sentAtMs = performance.now();
  const third = await inbox.deliveries.next();
  const cameMs = performance.now() - sentAtMs;
  // Without the processes of redis-cli in between, which a busy machine is slow to start.
  t.ok(ackedMs < 5000 && cameMs < 5000, `after ${Math.round(ackedMs)} and ${Math.round(cameMs)} ms`);
  t.equal(await inbox.subscription.ack(two!), 'done');
  t.equal(await inbox.subscription.ack(third), 'done');
  t.equal(inbox.lost.size, 0);
});

t.test('the server restarts empty: what was held is lost and said so; bindings are made again', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  await broker.declareQueue({ name: 'jobs', exchange: 'work', routingKey: 'key' });
  await send(broker, 'jobs', 'one');
  const inbox = await openInbox(broker, ['jobs'], 1);
  const one = await inbox.deliveries.next();
  await server.kill();
  await server.start();
  t.strictSame(await inbox.lost.next(), [one]);
  t.equal(await inbox.subscription.ack(one), 'stale');
  await broker.publish(textMessage('two'), { exchange: 'work', routingKey: 'key' });
  t.equal(textOf(await inbox.deliveries.next()), 'two');
});

t.test('a reservation whose reply got lost is found again', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  const inbox = await openInbox(broker, ['celery', 'other'], 10);
  inbox.subscription.pause();
  for (let n = 0; n < 5; n++)
    server.cli(
      'LPUSH',
      n < 3 ? 'celery' : step('other', 3),
      `{"body":"","headers":{"id":"${n}"},"properties":{"delivery_info":{"exchange":"","routing_key":"x"},"priority":${n < 3 ? 0 : 3},"body_encoding":"base64","delivery_tag":"${n}"}}`,
    );
  // The server takes it out of the queue while nobody is there to hear of it.
  server.pause();
  inbox.subscription.resume();
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  broker.connection.reconnect('a test');
  server.resume();
  const found = await inbox.deliveries.take(5);
  t.strictSame(found.map(idOf).sort(), ['0', '1', '2', '3', '4']);
  t.ok(
    found.every(({ redelivered }) => !redelivered),
    'nobody had seen them',
  );
  t.strictSame(found.map(({ queue }) => queue).sort(), ['celery', 'celery', 'celery', 'other', 'other']);
  t.match(server.cli('INFO', 'commandstats'), /cmdstat_hmget/, 'they were looked up');
  await inbox.subscription.release();
  t.equal(server.cli('LLEN', step('other', 3)), '2', 'back in the list they came from');
  t.equal(server.cli('LLEN', 'celery'), '3');
});

/** What a busy machine makes of a round trip it makes of a wake-up as well, if both are measured at the same time. */
async function roundTripMs(broker: RedisBroker): Promise<number> {
  const askedAtMs = performance.now();
  await broker.countReady('queue0');
  return performance.now() - askedAtMs;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

t.test('16 queues of 4 priorities: two connections, woken within milliseconds', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  const producer = await startedBroker(t, server);
  const queues = Array.from({ length: 16 }, (_, n) => `queue${n}`);
  const inbox = await openInbox(broker, queues, 4);
  await producer.countReady('queue0');
  t.equal(server.cli('CLIENT', 'LIST').split('\n').length, 2 + 1 + 1, 'two here, one of the producer, and redis-cli');
  const waits: number[] = [];
  const trips: number[] = [];
  for (let n = 0; n < 200; n++) {
    const sentAtMs = performance.now();
    await producer.publish(textMessage(String(n), { priority: n % 10 }), { exchange: '', routingKey: queues[n % 16]! });
    const delivery = await inbox.deliveries.next();
    waits.push(performance.now() - sentAtMs);
    t.equal(textOf(delivery), String(n));
    await inbox.subscription.ack(delivery);
    trips.push(await roundTripMs(producer));
  }
  t.comment(`publish to delivery: p50 ${median(waits).toFixed(2)} ms, p99 ${waits.toSorted((a, b) => a - b)[197]?.toFixed(2)} ms`);
  t.ok(median(waits) < Math.max(20, 10 * median(trips)), 'far below the look once a second that a lost wake-up would wait for');
});

t.test('a server without client tracking is polled', async (t) => {
  const server = await RedisServer.start(t, { config: { 'rename-command': 'CLIENT ""' } });
  const log = new RecordingLog();
  const broker = await startedBroker(t, server, { log });
  const inbox = await openInbox(broker, ['celery'], 4);
  await log.event('redis.polling');
  const waits: number[] = [];
  const trips: number[] = [];
  for (let n = 0; n < 25; n++) {
    const sentAtMs = performance.now();
    await send(broker, 'celery', String(n));
    const delivery = await inbox.deliveries.next();
    waits.push(performance.now() - sentAtMs);
    t.equal(textOf(delivery), String(n));
    await inbox.subscription.ack(delivery);
    trips.push(await roundTripMs(broker));
  }
  t.ok(median(waits) < Math.max(10, 10 * median(trips)), `it looks more often while messages come, got ${median(waits)} ms`);
});

t.test('the subscriber’s connection dies while it is idle', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  const producer = await startedBroker(t, server);
  const inbox = await openInbox(broker, ['celery'], 1);
  for (let n = 0; n < 3; n++) {
    server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await send(producer, 'celery', String(n));
    const delivery = await inbox.deliveries.next();
    t.equal(textOf(delivery), String(n));
    await inbox.subscription.ack(delivery);
  }
});

t.test('out of memory for longer than the lease: it goes on afterwards', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server, { broker: { workerLeaseMs: 600 } });
  const inbox = await openInbox(broker, ['celery'], 1);
  const commands = await monitor(t, server);
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  // Its look of every second was told that it has no lease any more, and its attempt to get it back is refused.
  await commands.until((line) => line.includes(signOfLifeScript.sha) && / "0\.6" "1" "[01]"$/.test(line));
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  // Not through another broker, which might bury it, and it would notice that.
  server.cli('LPUSH', 'celery', encodeEnvelope(textMessage('after'), { exchange: '', routingKey: 'celery', deliveryTag: 'tag' }));
  t.equal(textOf(await inbox.deliveries.next()), 'after');
});

t.test('strategies of order', async (t) => {
  const server = await RedisServer.start(t);
  const order = async (queueOrderStrategy: 'round_robin' | 'priority' | 'sorted'): Promise<string> => {
    const broker = await startedBroker(t, server, { broker: { queueOrderStrategy } });
    for (const queue of ['b', 'a', 'c']) for (let n = 0; n < 2; n++) await send(broker, queue, `${queue}${n}`);
    const inbox = await openInbox(broker, ['b', 'a', 'c'], 1);
    const seen: string[] = [];
    for (let n = 0; n < 6; n++) {
      const delivery = await inbox.deliveries.next();
      seen.push(textOf(delivery));
      await inbox.subscription.ack(delivery);
    }
    await broker.stop();
    return seen.join(' ');
  };
  t.equal(await order('round_robin'), 'b0 a0 c0 b1 a1 c1');
  t.equal(await order('priority'), 'b0 b1 a0 a1 c0 c1');
  t.equal(await order('sorted'), 'a0 a1 b0 b1 c0 c1');
});

t.test('a broadcast queue', async (t) => {
  const server = await RedisServer.start(t);
  const one = await startedBroker(t, server);
  const two = await startedBroker(t, server);
  for (const [broker, name] of [
    [one, 'one'],
    [two, 'two'],
  ] as const)
    await broker.declareQueue({ name, exchange: 'all', exchangeType: 'fanout' });
  const inboxes = [await openInbox(one, ['one', 'celery'], 1), await openInbox(two, ['two'], 0)] as const;
  await one.publish(textMessage('x'), { exchange: 'all', routingKey: '' });
  await one.publish(textMessage('y'), { exchange: 'all', routingKey: 'any' });
  const first = await inboxes[0].deliveries.next();
  t.strictSame((await inboxes[1].deliveries.take(2)).map(textOf), ['x', 'y']);
  // Its reply comes behind both messages.
  await one.connection.subscriber.subscribe('round-trip', () => {});
  t.equal(inboxes[0].deliveries.size, 0, 'its prefetch is used up');
  t.equal(await inboxes[0].subscription.reject(first, { requeue: true }), 'done');
  const rest = await inboxes[0].deliveries.next();
  t.equal(textOf(rest), 'y');
  t.equal(await inboxes[0].subscription.defer(rest, Date.now() + 50), 'done');
  const again = await inboxes[0].deliveries.next();
  t.match([textOf(again), again.redelivered], ['x', true]);
  t.equal(await inboxes[0].subscription.ack(again), 'done');
  t.equal(await inboxes[0].subscription.ack(again), 'stale');
  t.equal(textOf(await inboxes[0].deliveries.next()), 'y');
  t.strictSame([...inboxes[0].subscription.queues].sort(), ['celery', 'one']);
  t.equal(server.cli('EXISTS', 'one', 'two'), '0', 'no list is filled that nobody reads');
});

t.test('what is deferred goes back when nobody is left to run it', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server);
  for (let n = 0; n < 1200; n++) void send(broker, 'celery', String(n), { priority: n % 2 === 0 ? 0 : 9 });
  const inbox = await openInbox(broker, ['celery']);
  for (const delivery of await inbox.deliveries.take(1200)) await inbox.subscription.defer(delivery, Date.now() + 3_600_000);
  t.equal(server.cli('HLEN', 'unacked'), '1200');
  await broker.stop();
  t.equal(server.cli('LLEN', 'celery'), '600');
  t.equal(server.cli('LLEN', step('celery', 9)), '600');
  t.equal(server.cli('EXISTS', 'unacked', 'unacked_index'), '0');
  t.match(server.cli('RPOP', 'celery'), /"id":"0"/, 'in the old order');
});
