/** What the Redis backend does beyond the contract: Celery's bytes, bounds, and a server that goes away. */
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RedisBackend, type RedisBackendParams } from '../../../src/backend/redis/redis-backend.ts';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import type { RedisConnection, RedisConnectionParams } from '../../../src/driver/redis.ts';
import { encodeResultDocument } from '../../../src/protocol/result.ts';
import { loadVectors } from '../../protocol/vectors.ts';
import { monitor } from '../../redis-monitor.ts';
import { RedisServer } from '../../redis-server.ts';
import { record } from '../conformance.ts';
import { connectionTo } from './redis-place.ts';

const shared = await RedisServer.start(t);

interface Opened {
  readonly backend: RedisBackend;
  readonly connection: RedisConnection;
}

async function open(
  t: Test,
  server: RedisServer,
  params: Partial<RedisBackendParams> = {},
  connect: Partial<RedisConnectionParams> = {},
): Promise<Opened> {
  const connection = connectionTo(server, connect);
  const backend = new RedisBackend({ connection, resultExpiresMs: 86_400_000, ...params });
  await backend.start();
  t.teardown(() => backend.stop());
  return { backend, connection };
}

/** Resolves when the connection is in this state. */
function becomes(connection: RedisConnection, state: string): Promise<void> {
  if (connection.state === state) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = connection.onStateChange((now) => {
      if (now !== state) return;
      stop();
      resolve();
    });
  });
}

t.test('key, value, time to live and announcement are those of Celery', async (t) => {
  shared.cli('FLUSHALL');
  const { backend, connection } = await open(t, shared);
  const announced = Promise.withResolvers<string | readonly string[]>();
  await connection.subscriber.subscribe('celery-task-meta-a', announced.resolve);
  const one = record('a', 'SUCCESS', { list: [1, 'ü'] });
  await backend.store(one);
  t.equal(await connection.call('GET', 'celery-task-meta-a'), encodeResultDocument(one));
  t.equal(await announced.promise, encodeResultDocument(one));
  const ttl = Number(shared.cli('TTL', 'celery-task-meta-a'));
  t.ok(ttl > 86_300 && ttl <= 86_400, `time to live ${ttl}`);
  t.equal(shared.cli('KEYS', '*'), 'celery-task-meta-a', 'and nothing else');
  const { backend: eternal } = await open(t, shared, { resultExpiresMs: null });
  await eternal.store(record('b', 'SUCCESS', 1));
  t.equal(shared.cli('TTL', 'celery-task-meta-b'), '-1');
});

t.test('global_keyprefix as in Celery 5.5', async (t) => {
  for (const [prefix, key] of [
    ['app1', 'app1_celery-task-meta-k'],
    ['app1:', 'app1:celery-task-meta-k'],
    ['app1_', 'app1_celery-task-meta-k'],
    ['app1-', 'app1-celery-task-meta-k'],
    ['app1.', 'app1.celery-task-meta-k'],
  ] as const) {
    shared.cli('FLUSHALL');
    const { backend } = await open(t, shared, { globalKeyPrefix: prefix });
    const waiting = backend.wait('k', { timeoutMs: 10_000 });
    await backend.store(record('k', 'SUCCESS', 1));
    t.equal((await waiting).result, 1, 'the channel has it as well');
    t.equal(shared.cli('KEYS', '*'), key);
    t.equal((await backend.get('k'))?.status, 'SUCCESS');
  }
});

t.test('a SUCCESS is protected whoever wrote it and however', async (t) => {
  const { backend } = await open(t, shared);
  const kept = {
    python: '{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], "date_done": null, "task_id": "p"}',
    'another order': '{"task_id": "p", "result": {"status": "FAILURE"}, "status": "SUCCESS"}',
    'much before it': `{"result": "${'x'.repeat(300)}", "status": "SUCCESS", "task_id": "p"}`,
  };
  for (const [name, text] of Object.entries(kept)) {
    shared.cli('SET', 'celery-task-meta-p', text);
    await backend.store(record('p', 'FAILURE', 1));
    t.equal(shared.cli('GET', 'celery-task-meta-p'), text, name);
  }
  const replaced = {
    'another state': '{"status": "RETRY", "result": {"status": "SUCCESS"}, "task_id": "p"}',
    'another order': '{"result": {"status": "SUCCESS"}, "status": "STARTED", "task_id": "p"}',
    'not JSON': 'status SUCCESS',
    'no object': '["SUCCESS"]',
  };
  for (const [name, text] of Object.entries(replaced)) {
    shared.cli('SET', 'celery-task-meta-p', text);
    await backend.store(record('p', 'FAILURE', 1));
    t.equal((await backend.get('p'))?.status, 'FAILURE', name);
  }
});

t.test('documents of real Celery are read', async (t) => {
  const { backend, connection } = await open(t, shared);
  let checked = 0;
  for (const [file, groups] of [
    ['results-redis.json', ['results', 'results_extended']],
    ['results-redis-5.6.3.json', ['results']],
  ] as const) {
    const vectors = loadVectors(t, file) as Record<
      string,
      { readonly name: string; readonly key?: string; readonly raw?: string | null }[]
    > | null;
    if (vectors === null) return;
    for (const group of groups) {
      for (const { name, key, raw } of vectors[group] ?? []) {
        if (typeof raw !== 'string' || key?.startsWith('celery-task-meta-') !== true) continue;
        checked += 1;
        await connection.call('SET', key, raw);
        t.strictSame(await backend.get(key.slice('celery-task-meta-'.length)), JSON.parse(raw), name);
      }
    }
  }
  t.ok(checked > 60, `${checked} documents`);
});

t.test('a result and what follows it in the same turn are one MULTI', async (t) => {
  const { backend, connection } = await open(t, shared);
  t.equal(backend.commitsWith(Object.assign(new MemoryBroker(), { connection })), true, 'a broker on the same connection');
  t.equal(backend.commitsWith(new MemoryBroker()), false);
  t.equal(
    backend.commitsWith(Object.assign(new MemoryBroker(), { connection: connectionTo(shared) })),
    false,
    'another connection to the same server',
  );
  // A first one, so that the script is loaded.
  await backend.store(record('first', 'SUCCESS', 1));
  const seen = await monitor(t, shared);
  await Promise.all([
    backend.store(record('m', 'SUCCESS', 1)),
    connection.commit(
      [
        ['ZREM', 'unacked_index', 'tag'],
        ['HDEL', 'unacked', 'tag'],
      ],
      { keep: true },
    ),
  ]);
  t.match(await seen.transaction('SETRANGE'), ['MULTI', 'SETRANGE', 'EVALSHA', 'GETRANGE', 'SET', 'PUBLISH', 'ZREM', 'HDEL', 'EXEC']);
});

t.test('out of memory, neither the result nor what follows it is written', async (t) => {
  const server = await RedisServer.start(t);
  const { backend, connection } = await open(t, server);
  await connection.call('HSET', 'unacked', 'tag', 'message');
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const both = Promise.all([backend.store(record('o', 'SUCCESS', 1)), connection.commit([['HDEL', 'unacked', 'tag']], { keep: true })]);
  while (connection.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(server.cli('HEXISTS', 'unacked', 'tag'), '1', 'the message is not acknowledged without its result');
  t.equal(server.cli('EXISTS', 'celery-task-meta-o'), '0');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  await both;
  t.equal(server.cli('HEXISTS', 'unacked', 'tag'), '0');
  t.equal((await backend.get('o'))?.result, 1);
});

t.test('many in one turn keep their order', async (t) => {
  const { backend } = await open(t, shared);
  const ids = Array.from({ length: 700 }, (_, index) => `turn${index}`);
  await Promise.all([
    ...ids.map((id) => backend.store(record(id, 'STARTED', 1))),
    ...ids.map((id) => backend.store(record(id, 'SUCCESS', id))),
    backend.store(record('again', 'SUCCESS', 1)),
    backend.forget('again'),
    backend.store(record('again', 'SUCCESS', 2)),
  ]);
  const documents = await Promise.all(ids.map((id) => backend.get(id)));
  t.ok(documents.every((document, index) => document?.result === ids[index]));
  t.equal((await backend.get('again'))?.result, 2);
});

t.test('results wait for a server that is away', async (t) => {
  const server = await RedisServer.start(t);
  const { backend, connection } = await open(t, server);
  await server.kill();
  await becomes(connection, 'lost');
  let settled = 0;
  const stores = Array.from({ length: 50 }, (_, index) => backend.store(record(`w${index}`, 'SUCCESS', index)).then(() => settled++));
  t.equal(connection.waiting, 50);
  t.equal(settled, 0);
  await server.start();
  await Promise.all(stores);
  for (const index of [0, 49]) t.equal((await backend.get(`w${index}`))?.result, index);
});

t.test('a result whose reply was lost is stored again', async (t) => {
  const { backend, connection } = await open(t, shared);
  for (let round = 0; round < 20; round++) {
    const stored = backend.store(record(`r${round}`, 'SUCCESS', round));
    // After the turn in which it was sent, before its reply.
    await new Promise((resolve) => setImmediate(resolve));
    connection.reconnect('test');
    await stored;
    t.equal((await backend.get(`r${round}`))?.result, round);
  }
});

t.test('no more waits than is allowed', async (t) => {
  const server = await RedisServer.start(t);
  const { backend, connection } = await open(t, server, {}, { maxWaiting: 3 });
  const { backend: small } = await open(t, server, {}, { maxWaitingBytes: 2000 });
  await server.kill();
  await becomes(connection, 'lost');
  const kept = [1, 2, 3].map((index) => backend.store(record(`b${index}`, 'SUCCESS', index)));
  await t.rejects(backend.store(record('b4', 'SUCCESS', 4)), {
    code: 'BACKEND_UNAVAILABLE',
    message: /too much waits for Redis already: 3 operations/,
  });
  await t.rejects(small.store(record('b5', 'SUCCESS', 'x'.repeat(2000))), { code: 'BACKEND_UNAVAILABLE', message: /too much waits/ });
  await server.start();
  await Promise.all(kept);
  t.equal((await backend.get('b3'))?.result, 3);
  t.equal(await backend.get('b4'), null);
});

t.test('a server that takes no writes: out of memory, no disk, read only', async (t) => {
  const server = await RedisServer.start(t, { config: { save: '3600 1' } });
  const { backend, connection } = await open(t, server);
  const saved = (status: string): void => {
    server.cli('BGSAVE');
    while (!server.cli('INFO', 'persistence').includes(`rdb_last_bgsave_status:${status}`));
  };
  // A folder in the place of the file: saving fails.
  const inTheWay = join(server.folder, 'dump.rdb');
  const refuse = {
    MISCONF: [
      () => {
        mkdirSync(inTheWay);
        saved('err');
      },
      () => {
        rmdirSync(inTheWay);
        saved('ok');
      },
    ],
    OOM: [() => server.cli('CONFIG', 'SET', 'maxmemory', '1'), () => server.cli('CONFIG', 'SET', 'maxmemory', '0')],
    READONLY: [() => server.cli('REPLICAOF', '127.0.0.1', '1'), () => server.cli('REPLICAOF', 'NO', 'ONE')],
  } as const;
  for (const [name, [begin, end]] of Object.entries(refuse)) {
    begin();
    const stored = backend.store(record(name, 'SUCCESS', name));
    while (connection.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    end();
    await stored;
    t.equal((await backend.get(name))?.result, name, name);
  }
});

t.test('reading is tried again as the retry policy says', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const { backend: patient, connection } = await open(t, server);
  const { backend: hasty, connection: other } = await open(t, server, { retryPolicy: { maxRetries: 0 } });
  const { backend: quick } = await open(t, server, { retryPolicy: { maxRetries: 3, intervalMaxMs: 1 } });
  await patient.store(record('read', 'SUCCESS', 1));
  await server.kill();
  await Promise.all([becomes(connection, 'lost'), becomes(other, 'lost')]);
  await t.rejects(hasty.get('read'), { code: 'BACKEND_UNAVAILABLE' });
  await t.rejects(quick.get('read'), { code: 'BACKEND_UNAVAILABLE' });
  const reading = patient.get('read');
  await server.start();
  t.equal((await reading)?.result, 1);
});

t.test('waiting survives a restart of the server', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const { backend: reader } = await open(t, server);
  const { backend: writer } = await open(t, server);
  const waits = ['x', 'y', 'z'].map((taskId) => reader.wait(taskId, { timeoutMs: 60_000 }));
  await writer.store(record('x', 'SUCCESS', 'before'));
  t.equal((await waits[0])?.result, 'before');
  await server.kill();
  const stored = writer.store(record('y', 'SUCCESS', 'meanwhile'));
  await server.start();
  await stored;
  t.equal((await waits[1])?.result, 'meanwhile');
  await writer.store(record('z', 'FAILURE', 'after'));
  t.equal((await waits[2])?.status, 'FAILURE');
});

t.test('what was announced while nobody listened is found', async (t) => {
  const { backend, connection } = await open(t, shared);
  const waiting = backend.wait('unheard', { timeoutMs: 60_000 });
  // The subscription is there when the backend has looked for the document.
  await backend.wait('unheard', { timeoutMs: 1 }).catch(() => {});
  while (shared.cli('PUBSUB', 'CHANNELS', '*unheard') === '') await new Promise((resolve) => setImmediate(resolve));
  const document = encodeResultDocument(record('unheard', 'SUCCESS', 'there'));
  await connection.call('SET', 'celery-task-meta-unheard', document);
  shared.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
  t.equal((await waiting).result, 'there');
});

t.test('who waits no longer costs nothing', async (t) => {
  const { backend } = await open(t, shared);
  const controller = new AbortController();
  const options = { timeoutMs: null, signal: controller.signal };
  const waits = Array.from({ length: 500 }, (_, index) => t.rejects(backend.wait(`gone${index}`, options), { message: 'enough' }));
  const answered = backend.wait('answered', { timeoutMs: 60_000 });
  const timedOut = t.rejects(backend.wait('timed out', { timeoutMs: 5 }), { code: 'RESULT_TIMEOUT' });
  t.equal(backend.waiters, 502);
  await backend.store(record('answered', 'SUCCESS', 1));
  await answered;
  await timedOut;
  controller.abort(new Error('enough'));
  await Promise.all(waits);
  t.equal(backend.waiters, 0);
  await backend.get('x');
  while (shared.cli('PUBSUB', 'CHANNELS', 'celery-task-meta-*') !== '') await new Promise((resolve) => setImmediate(resolve));
  t.pass('nothing is subscribed');
});

t.test('only a ready state ends a wait; what cannot be read ends it with an error', async (t) => {
  const { backend } = await open(t, shared);
  const waiting = backend.wait('steps', { timeoutMs: 60_000 });
  for (const state of ['STARTED', 'PROGRESS', 'RETRY']) await backend.store(record('steps', state, state));
  shared.cli('PUBLISH', 'celery-task-meta-steps', '{"status": "PROGRESS", "result": null, "task_id": "steps"}');
  await backend.store(record('steps', 'REVOKED', 'end'));
  t.equal((await waiting).status, 'REVOKED');
  const broken = () => t.rejects(backend.wait('broken', { timeoutMs: 60_000 }), { code: 'MESSAGE_UNDECODABLE' });
  const first = broken();
  shared.cli('SET', 'celery-task-meta-broken', '{"status": "SUCCESS"}');
  await Promise.all([first, broken()]);
  shared.cli('DEL', 'celery-task-meta-broken');
  shared.cli('HSET', 'celery-task-meta-hash', 'a', 'b');
  await t.rejects(backend.store(record('hash', 'SUCCESS', 1)), { code: 'BACKEND_UNAVAILABLE', message: /WRONGTYPE/ });
  await t.rejects(backend.get('hash'), { code: 'BACKEND_UNAVAILABLE', message: /WRONGTYPE/ });
});

t.test('errors', async (t) => {
  const server = await RedisServer.start(t, { config: { requirepass: 'geheim' } });
  const refused = new RedisBackend({ connection: connectionTo(server), resultExpiresMs: null });
  await t.rejects(refused.start(), { code: 'BACKEND_UNAVAILABLE', message: /password/ });
  await server.kill();
  await t.rejects(refused.start(), { code: 'BACKEND_UNAVAILABLE', message: /127\.0\.0\.1/ });
  await t.rejects(refused.get('x'), { code: 'BACKEND_UNAVAILABLE', message: /not started/ });
  await t.rejects(refused.store(record('x', 'SUCCESS', 1)), { code: 'BACKEND_UNAVAILABLE' });
  await t.rejects(refused.wait('x', { timeoutMs: null }), { code: 'BACKEND_UNAVAILABLE' });
  await refused.stop();
  const { backend } = await open(t, shared);
  const waiting = backend.wait('x', { timeoutMs: null });
  const ended = t.rejects(waiting, { code: 'BACKEND_UNAVAILABLE', message: /stopped/ });
  await backend.stop();
  await ended;
});
