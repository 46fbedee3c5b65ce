import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RedisFailure } from '../../src/driver/redis-failure.ts';
import { evalCommand, type RedisCommand, redisScript } from '../../src/driver/redis-script.ts';
import { monitor } from '../redis-monitor.ts';
import { RedisServer, redisVersion } from '../redis-server.ts';
import { freePort } from '../test-server.ts';
import { link } from './redis-link.ts';

const failure = (kind: string) => ({ name: 'RedisFailure', kind });

t.test('one turn is one MULTI, in order; each gets its own reply', async (t) => {
  const server = await RedisServer.start(t);
  const { connection } = link(t, server.url(3));
  await connection.acquire();
  t.match(connection.server, { version: /^\d/, maxmemoryPolicy: 'noeviction' });
  const script = redisScript("return redis.call('APPEND', KEYS[1], ARGV[1])");
  await connection.run(script, ['warm'], ['x']);
  const seen = await monitor(t, server);
  const replies = await Promise.all([
    connection.commit([['SET', 'a', '1']], { keep: true }),
    connection.call('GET', 'a'),
    connection.commit(
      [
        ['INCR', 'a'],
        ['INCR', 'a'],
      ],
      { keep: false },
    ),
    connection.run(script, ['b'], ['xy']),
  ]);
  t.strictSame(replies, [['OK'], '3', [2, 3], 2], 'what need not be atomic comes behind the MULTI');
  const lines = await seen.until((line) => line.startsWith('"EVALSHA"'));
  t.strictSame(
    lines.map((line) => line.split(' ')[0]),
    ['"MULTI"', '"SET"', '"INCR"', '"INCR"', '"EXEC"', '"GET"', '"EVALSHA"'],
  );
  server.cli('SCRIPT', 'FLUSH');
  t.strictSame(
    await Promise.all([connection.run(script, ['b'], ['z']), connection.commit([['GET', 'a']], { keep: true })]),
    [3, ['3']],
    'a forgotten script is loaded again',
  );
  t.equal(connection.db, 3);
  await connection.release();
  t.equal(connection.state, 'stopped');
  await t.rejects(connection.call('GET', 'a'), failure('stopped'));
});

const pushing = redisScript("return redis.call('LPUSH', KEYS[1], 'y')");

t.test('a failing command harms no other, and is named', async (t) => {
  const server = await RedisServer.start(t);
  const { connection } = link(t, server.url());
  await connection.acquire();
  const results = await Promise.allSettled([
    connection.commit([['SET', 'text', 'x']], { keep: true }),
    connection.commit([['LPUSH', 'text', 'y']], { keep: true }),
    connection.commit([['NOSUCH']], { keep: false }),
    connection.commit([['SET', 'other', 'z']], { keep: true }),
    connection.commit([evalCommand(pushing, ['text', 'a', 'b', 'c'], [])], { keep: true }),
  ]);
  t.strictSame(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled', 'rejected'],
  );
  const [, wrongType, unknown, , script] = results;
  t.match(wrongType, { reason: { kind: 'command', message: /^Redis refused LPUSH text: WRONGTYPE/ } });
  t.match(unknown, { reason: { kind: 'command', message: /^Redis refused NOSUCH: .*unknown command/ } });
  t.match(script, { reason: { kind: 'command', message: /^Redis refused a script on text, a, b, …: .*WRONGTYPE/ } });
  t.equal(server.cli('GET', 'other'), 'z');
});

t.test('a server that goes away: kept operations wait in order, others fail at once', async (t) => {
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const { connection, state, log } = link(t, server.url());
  await connection.acquire();
  await connection.commit([['SET', 'n', '1']], { keep: false });
  const { epoch } = connection;
  const lost = state('lost');
  await server.stop();
  await lost;
  const kept = [connection.commit([['INCRBY', 'n', '2']], { keep: true }), connection.commit([['INCRBY', 'n', '10']], { keep: true })];
  t.equal(connection.waiting, 2);
  await t.rejects(connection.call('GET', 'n'), failure('lost'));
  await server.start();
  t.strictSame(await Promise.all(kept), [[3], [13]]);
  t.equal(connection.epoch, epoch + 1);
  await log.event('redis.connected');
  t.equal(await connection.call('GET', 'n'), '13');
  await connection.release();
});

t.test('what waits is bounded', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url(), {}, { maxWaiting: 3, maxWaitingBytes: 2000 });
  await connection.acquire();
  const lost = state('lost');
  await server.stop();
  await lost;
  const kept = [1, 2].map(() => connection.commit([['INCR', 'n']], { keep: true }));
  await t.rejects(connection.commit([['SET', 'big', 'x'.repeat(3000)]], { keep: true }), failure('full'), 'by bytes');
  kept.push(connection.commit([['INCR', 'n']], { keep: true }));
  await t.rejects(connection.commit([['INCR', 'n']], { keep: true }), failure('full'), 'by number');
  await server.start();
  t.strictSame(await Promise.all(kept), [[1], [2], [3]]);
});

t.test('what waits is bounded by 20,000 operations and 64 MiB unless told otherwise', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url());
  await connection.acquire();
  const lost = state('lost');
  await server.stop();
  await lost;
  const mebibytes = (count: number): Buffer => Buffer.alloc(count * 1024 * 1024);
  const refused: unknown[] = [];
  const keep = (...command: RedisCommand): void => void connection.commit([command], { keep: true }).catch((error) => refused.push(error));
  keep('SET', 'large', mebibytes(60));
  await t.rejects(connection.commit([['SET', 'too much', mebibytes(5)]], { keep: true }), failure('full'), 'by bytes');
  for (let count = 1; count < 20_000; count++) keep('INCR', 'n');
  await t.rejects(connection.commit([['INCR', 'n']], { keep: true }), failure('full'), 'by number');
  t.strictSame(refused, []);
});

t.test('stop while it is lost: nothing hangs', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url());
  await connection.acquire();
  const lost = state('lost');
  await server.stop();
  await lost;
  const kept = connection.commit([['INCR', 'n']], { keep: true });
  const rejected = t.rejects(kept, failure('stopped'));
  await connection.release();
  await rejected;
  t.equal(connection.state, 'stopped');
});

t.test('CLIENT KILL: a reply that got lost is uncertain; kept ones are sent again', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url());
  await connection.acquire();
  // The server is busy with this one while the others are on their way.
  const slow = connection.call('EVAL', "local t = redis.call('TIME')[1]; while redis.call('TIME')[1] - t < 1 do end", 0);
  const kept = connection.commit([['SET', 'kept', 'yes']], { keep: true });
  const lost = state('lost');
  connection.reconnect('a test');
  await t.rejects(slow, failure('lost'));
  await lost;
  t.strictSame(await kept, ['OK']);
  const again = state('lost');
  server.cli('CLIENT', 'KILL', 'TYPE', 'normal');
  await again;
  await state('connected');
  t.equal(await connection.call('GET', 'kept'), 'yes');
});

t.test('a server that stands still: the connection is given up after the socket timeout', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url(), { socketTimeoutMs: 300, connectTimeoutMs: 300, startRetries: null });
  await connection.acquire();
  server.pause();
  const lost = state('lost');
  const kept = connection.commit([['SET', 'kept', 'yes']], { keep: true });
  await t.rejects(connection.call('GET', 'x'), failure('lost'));
  await lost;
  server.resume();
  t.strictSame(await kept, ['OK']);
});

t.test('an idle connection is looked after', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url(), { socketTimeoutMs: 1000, healthCheckIntervalMs: 100 });
  await connection.acquire();
  const lost = state('lost');
  server.pause();
  await lost;
  server.resume();
  await state('connected');
  t.equal(await connection.call('PING'), 'PONG');
});

t.test('passwords: right, wrong and missing, never shown', async (t) => {
  const server = await RedisServer.start(t, { config: { requirepass: 'geheim' } });
  const url = (userInfo: string): string => `redis://${userInfo}${server.host}:${server.port}/1`;
  const { connection } = link(t, url(':geheim@'));
  await connection.acquire();
  t.equal(connection.displayUrl, url(':**@'));
  t.equal(await connection.call('PING'), 'PONG');
  // Redis 5 has no users.
  const unknownUser = redisVersion().major < 6 ? [] : ['nobody:geheim@'];
  for (const userInfo of [':falsch@', '', ...unknownUser]) {
    const { connection, log } = link(t, url(userInfo));
    try {
      await connection.acquire();
      t.fail('accepted');
    } catch (error) {
      t.match(error, { kind: 'auth', message: /does not accept the user and password/ });
      t.notMatch(`${error} ${JSON.stringify(log.lines)}`, /geheim|falsch/);
    }
    t.equal(connection.state, 'stopped');
  }
});

t.test('a password that the server does not want is an error, as in Python', async (t) => {
  const server = await RedisServer.start(t);
  const { connection } = link(t, `redis://:surplus@${server.host}:${server.port}`);
  await t.rejects(connection.acquire(), failure('auth'));
});

t.test('several servers are tried in turn; the next one takes over', async (t) => {
  const first = await RedisServer.start(t);
  const second = await RedisServer.start(t);
  await second.stop();
  const { connection, state, log } = link(t, `${second.url()};${first.url()}`);
  await connection.acquire();
  t.equal(connection.where, first.url());
  t.match(log.lines, [{ level: 'warning', event: 'redis.skipped', message: /^Cannot connect to .*ECONNREFUSED.*\. Taking .* instead$/ }]);
  await connection.call('SET', 'where', 'first');
  t.equal(first.cli('GET', 'where'), 'first');
  await second.start();
  const lost = state('lost');
  await first.stop();
  await lost;
  await state('connected');
  await connection.call('SET', 'where', 'second');
  t.equal(second.cli('GET', 'where'), 'second');
  t.equal(connection.where, second.url());
});

t.test('nobody there', async (t) => {
  const server = await RedisServer.start(t);
  await server.stop();
  const { connection } = link(t, server.url());
  await t.rejects(connection.acquire(), { kind: 'lost', message: /ECONNREFUSED.*redis:\/\/127/ });
  const patient = link(t, server.url(), { startRetries: null });
  const acquired = patient.connection.acquire();
  await patient.log.event('redis.unreachable');
  await server.start();
  await acquired;
  t.equal(patient.connection.state, 'connected');
});

t.test('a maximum of attempts after a loss', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, state } = link(t, server.url(), { reconnectRetries: 2 });
  await connection.acquire();
  const stopped = state('stopped');
  await server.stop();
  await stopped;
  await t.rejects(connection.call('PING'), failure('stopped'));
});

t.test('a socket, and a client name', async (t) => {
  const server = await RedisServer.start(t);
  const { connection } = link(t, `redis+socket://${server.socketPath}?virtual_host=2`, { clientName: 'umbel-test' });
  await connection.acquire();
  await connection.call('SET', 'x', '1');
  t.equal(server.cli('-n', '2', 'GET', 'x'), '1');
  t.match(server.cli('CLIENT', 'LIST'), /name=umbel-test/);
});

t.test('what this server does not take ends the start, whatever the patience', async (t) => {
  const server = await RedisServer.start(t, { config: { databases: '4' } });
  const patient = { startRetries: null };
  await t.rejects(link(t, server.url(4), patient).connection.acquire(), {
    kind: 'config',
    message: /^the database of the URL must be one that the server has, got 4: ERR DB index is out of range \(redis:/,
  });
  await t.rejects(link(t, server.url(), { ...patient, clientName: 'a b' }).connection.acquire(), {
    kind: 'config',
    message: /^client_name must be printable ASCII without spaces, got 'a b': ERR Client names/,
  });
  const { connection } = link(t, server.url(3), { clientName: '!~' });
  await connection.acquire();
});

t.test('Redis Cluster and replicas are refused', async (t) => {
  const cluster = await RedisServer.start(t, { config: { 'cluster-enabled': 'yes' } });
  const patient = { startRetries: null };
  await t.rejects(link(t, cluster.url(), patient).connection.acquire(), { kind: 'cluster', message: /Redis Cluster is not supported/ });
  const master = await RedisServer.start(t);
  const replica = await RedisServer.start(t, { config: { replicaof: `${master.host} ${master.port}` } });
  await t.rejects(link(t, replica.url()).connection.acquire(), { name: 'RedisFailure', message: /replica|loading/ });
});

t.test('a master that becomes a replica is left for the other', async (t) => {
  const one = await RedisServer.start(t);
  const two = await RedisServer.start(t);
  const { connection, state } = link(t, `${one.url()};${two.url()}`);
  await connection.acquire();
  const lost = state('lost');
  one.cli('REPLICAOF', two.host, String(two.port));
  const kept = connection.commit([['SET', 'kept', 'yes']], { keep: true });
  await lost;
  t.strictSame(await kept, ['OK']);
  t.equal(two.cli('GET', 'kept'), 'yes');
});

t.test('out of memory: what adds fails, what is kept waits, what only removes goes on', async (t) => {
  const server = await RedisServer.start(t);
  const { connection, log } = link(t, server.url());
  await connection.acquire();
  await connection.call('SET', 'held', 'x');
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  await t.rejects(connection.commit([['SET', 'published', 'x']], { keep: false }), { kind: 'oom', message: /maxmemory/ });
  const kept = connection.commit([['SET', 'result', 'x']], { keep: true });
  await log.event('redis.refuses');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.strictSame(await kept, ['OK']);
  await log.event('redis.accepts');
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const [removed, added] = await Promise.allSettled([
    connection.commit([['DEL', 'held']], { keep: true }),
    connection.commit([['SET', 'published', 'x']], { keep: false }),
  ]);
  t.match(removed, { status: 'fulfilled' });
  t.match(added, { status: 'rejected' });
});

t.test('a disk that cannot be written', async (t) => {
  const server = await RedisServer.start(t, { config: { save: '3600 1', 'stop-writes-on-bgsave-error': 'yes' } });
  const { connection, log } = link(t, server.url());
  await connection.acquire();
  await connection.call('SET', 'x', '1');
  mkdirSync(join(server.folder, 'dump.rdb', 'in-the-way'), { recursive: true });
  server.cli('BGSAVE');
  while (!server.cli('INFO', 'persistence').includes('rdb_last_bgsave_status:err')) await new Promise((resolve) => setImmediate(resolve));
  await t.rejects(connection.commit([['SET', 'published', 'x']], { keep: false }), failure('misconf'));
  const kept = connection.commit([['SET', 'kept', 'yes']], { keep: true });
  t.match(await log.event('redis.refuses'), { message: /cannot save its data to disk/ });
  server.cli('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
  t.strictSame(await kept, ['OK']);
});

t.test('an eviction policy that drops tasks is warned of', async (t) => {
  const server = await RedisServer.start(t, { config: { 'maxmemory-policy': 'allkeys-lru' } });
  const { connection, log } = link(t, server.url());
  await connection.acquire();
  t.match(await log.event('redis.eviction'), { level: 'warning', message: /noeviction, got allkeys-lru/ });
});

t.test('subscriptions: channels, patterns, and again after a loss', async (t) => {
  const server = await RedisServer.start(t);
  const { connection } = link(t, server.url());
  await connection.acquire();
  const { subscriber } = connection;
  const heard: string[] = [];
  const hear = (payload: string | readonly string[], channel: string): void => {
    heard.push(`${channel}=${String(payload)}`);
  };
  const end = await subscriber.subscribe('c', hear);
  await subscriber.psubscribe('p.*', hear);
  t.type(subscriber.clientId, 'number');
  const ready = () => new Promise<void>((resolve) => void subscriber.onReady(() => resolve()));
  const publish = async (channel: string, text: string): Promise<void> => {
    await connection.call('PUBLISH', channel, text);
    // Its replies come over the same connection as the messages.
    await subscriber.subscribe(`after-${text}`, () => {});
  };
  await publish('c', '1');
  await publish('p.x', '2');
  const renewed = ready();
  server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await renewed;
  await publish('c', '3');
  await publish('p.x', '4');
  const both = ready();
  connection.reconnect('a test');
  await both;
  await publish('p.y', '5');
  await end();
  await publish('c', '6');
  t.strictSame(heard, ['c=1', 'p.x=2', 'c=3', 'p.x=4', 'p.y=5']);
  connection.abandon();
  await t.rejects(
    subscriber.subscribe('d', hear).then(() => 'subscribed'),
    RedisFailure,
  );
});

/** Servers of which there is none here: every command is answered by `answer`, unless it is INFO. */
async function fakeServer(t: Test, info: string, answer: (command: readonly string[]) => string = () => '+OK'): Promise<string> {
  const port = await freePort();
  const server = createServer((socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += String(chunk);
      for (;;) {
        const [head, count] = /^\*(\d+)\r\n/.exec(text) ?? [];
        if (head === undefined) return;
        const parts = text.slice(head.length).split('\r\n');
        // A length and a value each, and what comes behind the last line.
        if (parts.length <= 2 * Number(count)) return;
        const command = Array.from({ length: Number(count) }, (_, n) => parts[2 * n + 1] as string);
        text = parts.slice(2 * Number(count)).join('\r\n');
        socket.write(`${command[0]?.toUpperCase() === 'INFO' ? `$${info.length}\r\n${info}` : answer(command)}\r\n`);
      }
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return `127.0.0.1:${port}`;
}

t.test('a server that is too old is refused, whatever the patience', async (t) => {
  const host = await fakeServer(t, 'redis_version:4.0.9\r\nredis_mode:standalone\r\nrole:master\r\n');
  const { connection } = link(t, `redis://${host}`, { startRetries: null });
  await t.rejects(connection.acquire(), { name: 'RedisFailure', message: /version 5 or later, got 4\.0\.9/ });
});

t.test('Valkey 8 names its mode otherwise: a cluster is refused there, too', async (t) => {
  const info = 'redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\nserver_mode:cluster\r\nrole:master\r\n';
  const { connection } = link(t, `redis://${await fakeServer(t, info)}`, { startRetries: null });
  await t.rejects(connection.acquire(), { kind: 'cluster', message: /Redis Cluster is not supported/ });
});

t.test('Redis 5 has no users: the password counts', async (t) => {
  const seen: string[] = [];
  const host = await fakeServer(t, 'redis_version:5.0.14\r\nredis_mode:standalone\r\nrole:master\r\n', ([name, ...args]) => {
    if (name?.toUpperCase() !== 'AUTH') return '+OK';
    seen.push(args.join(' '));
    if (args.length !== 1) return "-ERR wrong number of arguments for 'auth' command";
    return args[0] === 'geheim' ? '+OK' : '-ERR invalid password';
  });
  await link(t, `redis://user:geheim@${host}`).connection.acquire();
  t.strictSame(seen, ['user geheim', 'geheim']);
  await t.rejects(link(t, `redis://user:falsch@${host}`).connection.acquire(), failure('auth'));
});

t.test('scripts that may not write are refused with the setting that is in the way', async (t) => {
  const host = await fakeServer(t, 'redis_version:6.0.20\r\nredis_mode:standalone\r\nrole:master\r\n', ([name]) =>
    name?.toUpperCase() === 'EVALSHA'
      ? '-ERR Error running script (call to f_0): @user_script:7: Write commands not allowed after non deterministic commands. Call redis.replicate_commands() at the start of your script'
      : '+OK',
  );
  const { connection } = link(t, `redis://${host}`);
  await connection.acquire();
  await t.rejects(connection.run(redisScript('return 1'), ['key'], []), {
    kind: 'version',
    message: /must have lua-replicate-commands yes/,
  });
});
