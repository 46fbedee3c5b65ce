/** A user of Redis who may not do everything: what can be done without is done without, the rest is named. */
import t, { type Test } from 'tap';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import { record } from '../../backend/conformance.ts';
import type { RecordingLog } from '../../driver/recording-log.ts';
import { link } from '../../driver/redis-link.ts';
import { everyRight, RedisServer, redisVersion, withoutRights } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';

const server = await RedisServer.start(t);
let users = 0;

interface Opened {
  readonly broker: RedisBroker;
  readonly backend: RedisBackend;
  readonly log: RecordingLog;
  readonly name: string;
}

/** Parts for a user with all rights but these. */
function as(t: Test, ...rules: readonly string[]): Opened {
  const name = `user${users++}`;
  server.cli('ACL', 'SETUSER', name, ...everyRight(), ...rules);
  const { connection, log } = link(t, `redis://${name}:secret@${server.host}:${server.port}/0`);
  return { name, log, broker: new RedisBroker({ connection, log }), backend: new RedisBackend({ connection, resultExpiresMs: null }) };
}

t.beforeEach(() => void server.cli('FLUSHALL'));

t.test('not to be told of new messages: idle queues are polled, and it is said once', { skip: withoutRights() }, async (t) => {
  const { major, minor } = redisVersion();
  // Rights to subcommands are since 7, rights to channels since 6.2.
  const subcommands = major >= 7 ? [['-client|caching'], ['-client|tracking'], ['-client|id']] : [];
  const channels = major > 6 || minor >= 2 ? [['resetchannels']] : [];
  const missing = [['-exists'], ...subcommands, ['-client'], ['-subscribe'], ...channels, ['-info', '-client']];
  for (const rules of missing) {
    const { broker, log } = as(t, ...rules);
    await broker.start();
    const { deliveries, subscription } = await openInbox(broker, ['celery', 'other']);
    await log.event('redis.polling');
    // Asleep and awake again, several times.
    for (const text of ['1', '2', '3']) {
      await broker.publish(textMessage(text), { exchange: '', routingKey: 'other' });
      const delivery = await deliveries.next();
      t.equal(textOf(delivery), text, rules.join(' '));
      t.equal(await subscription.ack(delivery), 'done');
    }
    await broker.stop();
    t.equal(log.lines.filter(({ event }) => event === 'redis.polling').length, 1, 'one line');
    t.match(
      log.lines.filter(({ level, event }) => event !== 'redis.polling' && (level === 'warning' || level === 'error')),
      [],
      'and no other',
    );
  }
});

t.test('without SCRIPT LOAD scripts go as text', { skip: withoutRights() }, async (t) => {
  const { broker, backend, log } = as(t, '-script');
  await broker.start();
  await backend.start();
  server.cli('SCRIPT', 'FLUSH');
  const { deliveries, subscription } = await openInbox(broker, ['celery']);
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'celery' });
  const one = await deliveries.next();
  await backend.storeAndSettle([record('one', 'SUCCESS', 1)], () => subscription.ack(one));
  t.equal((await backend.get('one'))?.result, 1);
  t.equal(server.cli('EXISTS', 'unacked'), '0');
  await backend.stop();
  await broker.stop();
  t.strictSame(
    log.lines.filter(({ level }) => level === 'warning' || level === 'error'),
    [],
  );
});

t.test('what is indispensable is named before a message leaves its queue', { skip: withoutRights() }, async (t) => {
  const commands = 'multi exec evalsha zscore time hdel hget hmget hset zrem zadd zrangebyscore zrevrangebyscore zscan';
  for (const command of `${commands} srem sadd smembers sismember lpush rpush rpop ltrim get`.split(' ')) {
    const { broker, name } = as(t, `-${command}`);
    server.cli('DEL', 'celery');
    server.cli('RPUSH', 'celery', 'a message');
    const refused = broker.start().then(() => openInbox(broker, ['celery']));
    await t.rejects(refused, { code: 'BROKER_UNAVAILABLE', message: new RegExp(`\\b${command}\\b`, 'i') }, command);
    t.equal(server.cli('LLEN', 'celery'), '1', command);
    await broker.stop();
    server.cli('ACL', 'DELUSER', name);
  }
  const keys = as(t, 'resetkeys', '~celery*', '~_umbel*', '~_kombu*', '~unacked_index');
  await keys.broker.start();
  await t.rejects(openInbox(keys.broker, ['celery']), { message: /the right to HDEL unacked, which the user of the URL lacks/ });
  const queues = as(t, 'resetkeys', '~good*', '~_umbel*', '~unacked*');
  await queues.broker.start();
  await t.rejects(openInbox(queues.broker, ['good', 'bad']), { message: /the right to LTRIM bad, which the user of the URL lacks/ });
});

t.test('a key of another type is named', { skip: withoutRights() }, async (t) => {
  for (const key of ['unacked', 'unacked_index']) {
    server.cli('FLUSHALL');
    server.cli('SET', key, 'x');
    const { broker, log } = as(t);
    await broker.start();
    const { deliveries } = await openInbox(broker, ['good']);
    t.match(await log.event('broker.reserve'), { message: new RegExp(`WRONGTYPE.*\\(key ${key}\\)`) });
    await broker.publish(textMessage('1'), { exchange: '', routingKey: 'good' });
    server.cli('DEL', key);
    t.equal(textOf(await deliveries.next()), '1', 'and nothing was lost');
    await broker.stop();
  }
});

t.test('a queue that is no list does not keep the others from being read', { skip: withoutRights() }, async (t) => {
  const { broker, log } = as(t);
  server.cli('SET', 'bad', 'no list');
  await broker.start();
  const { deliveries } = await openInbox(broker, ['bad', 'good']);
  t.match(await log.event('broker.reserve'), { message: /WRONGTYPE.*\(key bad\)/ });
  for (const text of ['1', '2']) {
    await broker.publish(textMessage(text), { exchange: '', routingKey: 'good' });
    t.equal(textOf(await deliveries.next()), text);
  }
});
