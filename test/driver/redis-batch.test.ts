/** Commands of one write, against a real server: order and form of the replies, and what becomes of those without one. */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { type BatchReplies, sendBatch } from '../../src/driver/redis-batch.ts';
import type { RedisCommand } from '../../src/driver/redis-script.ts';
import { RedisServer } from '../redis-server.ts';

async function connected(t: Test): Promise<Redis> {
  const server = await RedisServer.start(t);
  const client = new Redis({
    port: server.port,
    host: server.host,
    protocol: 2,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  client.on('error', () => {});
  t.teardown(() => client.disconnect());
  await client.connect();
  return client;
}

function replies(client: Redis, commands: readonly RedisCommand[]): Promise<BatchReplies> {
  return new Promise((resolve) => sendBatch(client, commands, resolve));
}

t.test('replies in order: texts, numbers, lists, nothing, and errors in their place', async (t) => {
  const client = await connected(t);
  const bytes = Buffer.from([0xff, 0x0d, 0x0a, 0x00]);
  const [set, wrong, pushed, list, none, raw, length] = await replies(client, [
    ['SET', 'tëxt', 'välue €'],
    ['LPUSH', 'tëxt', 'x'],
    ['RPUSH', 'list', 'a', 7, bytes],
    ['LRANGE', 'list', 0, 1],
    ['GET', 'missing'],
    ['SET', 'raw', bytes, 'EX', 60],
    ['STRLEN', 'raw'],
  ]);
  t.strictSame([set, pushed, list, none, raw, length], ['OK', 3, ['a', '7'], null, 'OK', 4]);
  t.match(wrong, { name: 'ReplyError', message: /^WRONGTYPE/ });
  t.equal(await client.get('tëxt'), 'välue €');
  t.strictSame(await client.getBuffer('raw'), bytes, 'bytes go as they are');
  t.strictSame(await replies(client, [['MULTI'], ['INCR', 'n'], ['EXEC']]), ['OK', 'QUEUED', [1]]);
});

t.test('no commands have no replies, and are answered', async (t) => {
  const client = await connected(t);
  t.strictSame(await replies(client, []), []);
});

t.test('batches and ordinary calls share the connection without mixing their replies', async (t) => {
  const client = await connected(t);
  const [first, between, second] = await Promise.all([
    replies(client, [
      ['INCR', 'n'],
      ['INCR', 'n'],
    ]),
    client.incr('n'),
    replies(client, [['INCR', 'n']]),
  ]);
  t.strictSame([first, between, second], [[1, 2], 3, [4]]);
});

t.test('a connection that breaks gives an error to each command without a reply', async (t) => {
  const client = await connected(t);
  const ended = once(client, 'end');
  const [set, ...others] = await replies(client, [
    ['SET', 'a', '1'],
    ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no'],
    ['GET', 'a'],
    ['GET', 'a'],
  ]);
  t.equal(set, 'OK');
  t.equal(others.length, 3);
  t.ok(others.slice(1).every((reply) => reply instanceof Error && reply.name !== 'ReplyError'));
  await ended;
});

t.test('on a connection that has ended nothing is written, and the caller hears of it afterwards', async (t) => {
  const client = await connected(t);
  const ended = once(client, 'end');
  client.disconnect();
  await ended;
  let heard: BatchReplies | null = null;
  sendBatch(
    client,
    [
      ['SET', 'a', '1'],
      ['GET', 'a'],
    ],
    (all) => {
      heard = all;
    },
  );
  t.equal(heard, null, 'not before it returns');
  await Promise.resolve();
  t.match(heard, [{ message: /closed/ }, { message: /closed/ }]);
});
