/**
 * A server that has nothing of what came after Redis 5: broker and results do without.
 *
 * It is a newer one that says it were 5.0.14 and refuses every command that came later. Newer forms of older commands it would take: they are looked for
 * in what it was told.
 */
import t from 'tap';
import { RedisBackend } from '../../../src/backend/redis/redis-backend.ts';
import { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import { RedisConnection } from '../../../src/driver/redis.ts';
import { redisPlaceFromUrl } from '../../../src/driver/redis-url.ts';
import { record } from '../../backend/conformance.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { monitor } from '../../redis-monitor.ts';
import { RedisProxy } from '../../redis-proxy.ts';
import { everyRight, RedisServer, redisVersion } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';

const { name, major } = redisVersion();
const skip = name === 'redis' && major === 7 ? false : 'COMMAND DOCS says since when there is a command, but elsewhere in words of its own';
const pretended = 'redis_version:5.0.14\r\nredis_mode:standalone\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n';

/** Rules that take away every command, and every form of one with a name of its own, that came after Redis 5. */
function newerThan5(server: RedisServer): string[] {
  const docs = JSON.parse(server.cli('--json', 'COMMAND', 'DOCS')) as Record<
    string,
    { since: string; subcommands?: Record<string, { since: string }> }
  >;
  const isNewer = (since: string): boolean => Number(since.split('.')[0]) > 5;
  return Object.entries(docs).flatMap(([command, { since, subcommands = {} }]) => {
    if (isNewer(since)) return [`-${command}`];
    return Object.entries(subcommands).flatMap(([subcommand, its]) => (isNewer(its.since) ? [`-${subcommand}`] : []));
  });
}

/** Options of these commands that Redis 5 does not know, as MONITOR shows them. */
const newerForms = [
  /^"[LR]POP" "[^"]*" /i,
  /^"SET" .* "(KEEPTTL|GET|EXAT|PXAT)"/i,
  /^"ZADD" .* "(GT|LT)"/i,
  /^"ZRANGE" .* "(BYSCORE|BYLEX|REV|LIMIT)"/i,
  /^"P?EXPIRE(AT)?" .* "(NX|XX|GT|LT)"/i,
  /^"SCRIPT" "FLUSH" /i,
  /^"(FLUSHALL|FLUSHDB)" "SYNC"/i,
];

t.test('broker and results on what Redis 5 has', { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const newer = newerThan5(server);
  for (const rule of ['-getdel', '-lmove', '-hello', '-client|tracking']) t.ok(newer.includes(rule), `${rule} is among what is taken away`);
  server.cli('ACL', 'SETUSER', 'five', ...everyRight(), ...newer);
  const proxy = await RedisProxy.start(t, server);
  proxy.rewrite = (words) => (words[0]?.toUpperCase() === 'INFO' ? ['ECHO', pretended] : words);
  const place = redisPlaceFromUrl(proxy.url().replace('//', '//five:secret@'));
  if ('problem' in place) throw new Error(place.problem);
  const log = new RecordingLog();
  const connection = new RedisConnection({ place, log });
  const broker = new RedisBroker({ connection, log, options: { workerLeaseMs: 1500 } });
  const backend = new RedisBackend({ connection, resultExpiresMs: 60_000 });
  t.teardown(() => connection.abandon());
  const told = await monitor(t, server);

  await broker.start();
  await backend.start();
  t.match(connection.server, { version: '5.0.14' });
  const { deliveries, subscription } = await openInbox(broker, ['celery', 'other'], 10);
  await log.event('redis.polling');
  const send = (text: string, queue = 'celery'): Promise<void> => broker.publish(textMessage(text), { exchange: '', routingKey: queue });
  const heard: string[] = [];
  await broker.listen({ exchange: 'fan', exchangeType: 'fanout', routingKey: '', onMessage: (message) => heard.push(textOf(message)) });
  await broker.publish(textMessage('to all'), { exchange: 'fan', routingKey: '' });
  await eventually(t, 'the broadcast has come', () => heard.length > 0);
  for (const text of ['one', 'two', 'three']) await send(text);
  await send('four', 'other');
  const held = (await deliveries.take(4)).sort((a, b) => textOf(a).localeCompare(textOf(b)));
  t.strictSame(held.map(textOf), ['four', 'one', 'three', 'two']);
  const [four, one, three, two] = held;
  await backend.storeAndSettle([record('one', 'SUCCESS', 1)], async () => void (await subscription.ack(one!)));
  t.match(await backend.wait('one', { timeoutMs: 5000 }), { status: 'SUCCESS' });
  await subscription.reject(two!, { requeue: true });
  const again = await deliveries.next();
  t.equal(textOf(again), 'two');
  t.equal(again.redelivered, true);
  await subscription.defer(three!, Date.now() + 50);
  t.equal(textOf(await deliveries.next()), 'three', 'fetched when it is due');
  t.ok(Number(server.cli('ZSCORE', 'unacked_index', String(four!.tag))) > 0, 'it is still held');
  await subscription.cancel();
  await broker.purgeQueue('other');
  await backend.forget('one');
  await backend.stop();
  await broker.stop();

  server.cli('ECHO', 'the end');
  const lines = await told.until((line) => line.includes('the end'));
  t.ok(
    lines.some((line) => /^"RPOP" "celery"$/i.test(line)),
    'messages leave their list one by one',
  );
  t.strictSame(
    lines.filter((line) => newerForms.some((form) => form.test(line))),
    [],
  );
  t.strictSame(
    log.lines.filter(({ level }) => level === 'error'),
    [],
    'and nothing was refused',
  );
});
