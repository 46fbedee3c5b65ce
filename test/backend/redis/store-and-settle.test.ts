/** A result and the acknowledgement of its task: neither without the other, whatever the server does in between. */
import t from 'tap';
import type { Delivery, SettleOutcome } from '../../../src/broker/broker.ts';
import { textOf } from '../../broker/inbox.ts';
import { link } from '../../driver/redis-link.ts';
import { monitor } from '../../redis-monitor.ts';
import { everyRight, RedisServer, redisVersion, withoutRights } from '../../redis-server.ts';
import { record } from '../conformance.ts';
import { lossy } from './lossy-relay.ts';
import { balance, journalOf } from './redis-journal.ts';
import { idOf, journaled, names, nextTurn, publish, work } from './settling-worker.ts';

t.test('one MULTI', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await publish(worker, ['warm', 'one']);
  await worker.settle(await worker.deliveries.next());
  const one = await worker.deliveries.next();
  const seen = await monitor(t, server);
  t.equal(await worker.settle(one), 'done');
  t.match(await seen.transaction('SETRANGE'), [
    'MULTI',
    'SETRANGE',
    'EVALSHA',
    'TYPE',
    'TYPE',
    'GETRANGE',
    'SET',
    'PUBLISH',
    'HDEL',
    'ZREM',
    'EXEC',
  ]);
});

t.test('2,500 that wait through an outage', async (t) => {
  t.setTimeout(240_000);
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  const ids = names(2500);
  await publish(worker, ids);
  const deliveries = await worker.deliveries.take(ids.length);
  const lost = worker.state('lost');
  await server.kill();
  await lost;
  const outcomes: Promise<SettleOutcome>[] = [];
  for (const [index, delivery] of deliveries.entries()) {
    outcomes.push(worker.settle(delivery));
    // Some turns have one task, some have many, one has more than a MULTI takes.
    if (index < 300 || (index < 1000 && index % 50 === 0)) await nextTurn();
  }
  await server.start();
  t.ok((await Promise.all(outcomes)).every((outcome) => outcome === 'done'));
  const { together, alone } = balance(journalOf(server), idOf);
  t.strictSame(alone, []);
  t.equal(together.size, ids.length);
  t.equal(server.cli('HLEN', 'unacked'), '0');
  t.equal(server.cli('ZCARD', 'unacked_index'), '0');
});

t.test('scripts are forgotten in mid-run', async (t) => {
  t.setTimeout(240_000);
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  const ids = names(2000);
  await publish(worker, ids);
  const other = link(t, server.url());
  await other.connection.acquire();
  const flushes: Promise<unknown>[] = [];
  const outcomes: Promise<SettleOutcome>[] = [];
  for (let index = 0; index < ids.length; index++) {
    const delivery = await worker.deliveries.next();
    // Both are on their way at the same time, over connections of their own.
    if (index % 10 === 0) flushes.push(other.connection.call('SCRIPT', 'FLUSH'));
    outcomes.push(worker.settle(delivery));
    if (index % 5 === 0) await nextTurn();
  }
  t.ok((await Promise.all(outcomes)).every((outcome) => outcome === 'done'));
  await Promise.all(flushes);
  // Counted since 6.2.
  const { major, minor } = redisVersion();
  if (major > 6 || (major === 6 && minor >= 2))
    t.match(server.cli('INFO', 'errorstats'), /errorstat_NOSCRIPT:count=[1-9]/, 'and were missed');
  t.match(server.cli('INFO', 'commandstats'), /cmdstat_eval:calls=[1-9]/, 'the second time they came as text');
  const { together, alone } = balance(journalOf(server), idOf);
  t.strictSame(alone, []);
  t.equal(together.size, ids.length);
});

t.test('what is refused beyond the bound is not acknowledged, and comes again', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url(), { maxWaiting: 3 });
  await publish(worker, names(6));
  const deliveries = await worker.deliveries.take(6);
  const lost = worker.state('lost');
  await server.kill();
  await lost;
  const settled = deliveries.slice(0, 3).map((delivery) => worker.settle(delivery));
  for (const delivery of deliveries.slice(3, 5)) {
    await t.rejects(worker.settle(delivery), { code: 'BACKEND_UNAVAILABLE', message: /too much waits/ });
    await t.rejects(worker.subscription.reject(delivery, { requeue: true }), { code: 'BROKER_LOST', message: /too much waits/ });
  }
  const bare = worker.subscription.ack(deliveries[5] as Delivery);
  await server.start();
  t.strictSame(await Promise.all(settled), ['done', 'done', 'done']);
  t.equal(await bare, 'done', 'an acknowledgement alone is always kept');
  const again = await worker.deliveries.take(2);
  t.strictSame(
    again.map((delivery) => [textOf(delivery), delivery.redelivered]),
    [
      ['task3', true],
      ['task4', true],
    ],
  );
  for (const delivery of again) t.equal(await worker.settle(delivery), 'done');
  const { alone } = balance(journalOf(server), idOf);
  t.strictSame(alone, ['ack task5']);
});

t.test('a result that is refused for itself: its task alone is not acknowledged', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  await publish(worker, names(3));
  const [first, wrong, third] = (await worker.deliveries.take(3)) as [Delivery, Delivery, Delivery];
  server.cli('HSET', 'celery-task-meta-task1', 'no', 'document');
  const refused = t.rejects(worker.settle(wrong), { code: 'BACKEND_UNAVAILABLE', message: /celery-task-meta-task1: WRONGTYPE/ });
  t.strictSame(await Promise.all([worker.settle(first), worker.settle(third)]), ['done', 'done']);
  await refused;
  t.equal(server.cli('HLEN', 'unacked'), '1');
  // Several documents of one task: not acknowledged unless all are stored.
  await t.rejects(
    worker.backend.storeAndSettle([record('step', 'FAILURE', 1), record('task1', 'FAILURE', 1)], () => worker.subscription.ack(wrong)),
    { code: 'BACKEND_UNAVAILABLE' },
  );
  t.equal(server.cli('HLEN', 'unacked'), '1');
  await t.rejects(
    worker.backend.storeAndSettle([record('task1', 'FAILURE', 1), record('step', 'FAILURE', 1)], () => worker.subscription.ack(wrong)),
    { code: 'BACKEND_UNAVAILABLE' },
  );
  t.equal(server.cli('HLEN', 'unacked'), '1');
  server.cli('DEL', 'celery-task-meta-task1');
  t.equal(await worker.settle(wrong), 'done', 'it is still ours');
  const { together } = balance(journalOf(server), idOf);
  t.equal(together.size, 3);
});

t.test('unacked of another type: nothing is stored, nothing is acknowledged, no message leaves its queue', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await publish(worker, ['one']);
  const one = await worker.deliveries.next();
  server.cli('RENAME', 'unacked', 'saved');
  server.cli('SET', 'unacked', 'no hash');
  await t.rejects(worker.settle(one), { message: /WRONGTYPE/ });
  t.equal(server.cli('EXISTS', 'celery-task-meta-one'), '0');
  await publish(worker, ['two']);
  await worker.log.event('broker.reserve');
  t.equal(server.cli('LLEN', 'celery'), '1');
  server.cli('RENAME', 'saved', 'unacked');
  t.equal(textOf(await worker.deliveries.next()), 'two');
});

t.test('a message whose list cannot take it back stays where it is', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await publish(worker, ['one', 'two']);
  const [one, two] = (await worker.deliveries.take(2)) as [Delivery, Delivery];
  server.cli('SET', 'celery', 'no list');
  await t.rejects(worker.subscription.reject(one, { requeue: true }), { message: /WRONGTYPE/ });
  t.equal(server.cli('HLEN', 'unacked'), '2');
  const again = await worker.deliveries.next();
  t.strictSame([textOf(again), again.redelivered], ['one', true], 'it is delivered again from there');
  server.cli('DEL', 'celery');
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  t.equal(await worker.subscription.reject(two, { requeue: true }), 'done', 'giving back needs no memory');
  t.equal(textOf(await worker.deliveries.next()), 'two');
});

t.test('out of memory: neither, also when only the script says so', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const worker = await work(t, server.url());
  await publish(worker, ['one', 'two']);
  const [one, two] = (await worker.deliveries.take(2)) as [Delivery, Delivery];
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const settled = worker.settle(one);
  await worker.log.event('redis.refuses');
  t.equal(server.cli('HLEN', 'unacked'), '2');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.equal(await settled, 'done');
  // The script by itself, without the command before it that Redis refuses together with the MULTI.
  const script = await import('../../../src/backend/redis/store-script.ts');
  server.cli('CONFIG', 'SET', 'maxmemory', '1');
  const args = ['celery-task-meta-two', 'unacked', 'unacked_index', '', '1', '{}', String(two.tag)];
  t.throws(() => server.cli('EVAL', script.storeScript.lua, '3', ...args), /OOM/);
  t.equal(server.cli('HLEN', 'unacked'), '1');
  server.cli('CONFIG', 'SET', 'maxmemory', '0');
  t.strictSame(balance(journalOf(server), idOf).alone, []);
});

t.test('what cannot be stored at all is not acknowledged', async (t) => {
  const server = await RedisServer.start(t);
  const worker = await work(t, server.url());
  await publish(worker, ['one']);
  const one = await worker.deliveries.next();
  await worker.backend.stop();
  await t.rejects(worker.settle(one), { code: 'BACKEND_UNAVAILABLE', message: /not started/ });
  await worker.backend.start();
  t.equal(await worker.settle(one), 'done');
});

t.test('a MULTI whose reply got lost is sent again, and changes nothing', async (t) => {
  const server = await RedisServer.start(t, journaled);
  const { url, loseReplies, lost } = await lossy(t, server);
  const worker = await work(t, url);
  await publish(worker, ['one', 'two', 'three', 'four']);
  const [one, two, three, four] = (await worker.deliveries.take(4)) as [Delivery, Delivery, Delivery, Delivery];
  loseReplies(/QUEUED/);
  const outcomes = [worker.settle(one), worker.settle(two, 'FAILURE'), worker.subscription.ack(three)];
  t.strictSame(await Promise.all(outcomes), ['done', 'done', 'done'], 'gone the second time is done the first time');
  t.equal(lost(), 1);
  t.match(await worker.backend.get('one'), { status: 'SUCCESS', result: 1 });
  t.match(await worker.backend.get('two'), { status: 'FAILURE' });
  const first = journalOf(server);
  t.equal(
    first.filter((step) => step.some(([name, key, ...tags]) => name === 'HDEL' && key === 'unacked' && tags.includes(String(one.tag))))
      .length,
    1,
  );
  t.equal(
    first.filter((step) => step.some(([name, key]) => name === 'SET' && key === 'celery-task-meta-one')).length,
    1,
    'a SUCCESS is written once',
  );
  // A part of a chord.
  const { groups } = worker.backend;
  await groups.setChordSize('g', 2);
  const part = { groupId: 'g', groupIndex: 0, chordSize: null, ignoreResult: false };
  loseReplies(/^:0\r\n|\r\n:0\r\n/);
  t.strictSame(await groups.storeChordPart(record('part0', 'SUCCESS', 7), part), { kind: 'counted' });
  t.equal(lost(), 2);
  t.equal(server.cli('ZCARD', 'celery-taskset-meta-g.j'), '1');
  t.match(await groups.storeChordPart(record('part1', 'SUCCESS', 8), { ...part, groupIndex: 1 }), {
    kind: 'complete',
    resultsJson: '[7, 8]',
  });
  // Taken by somebody else: stale, as long as nothing was sent twice.
  server.cli('HDEL', 'unacked', String(four.tag));
  t.equal(await worker.settle(four), 'stale');
});

t.test('results that may not be written wait, and the command is named', { skip: withoutRights() }, async (t) => {
  for (const [command, named] of [
    ['set', /\bSET celery-task-meta-one\b/],
    ['publish', /\bPUBLISH celery-task-meta-one\b/],
    ['setrange', /setrange/],
  ] as const) {
    const server = await RedisServer.start(t);
    server.cli('ACL', 'SETUSER', 'limited', ...everyRight());
    const worker = await work(t, `redis://limited:secret@${server.host}:${server.port}/0`);
    await publish(worker, ['one']);
    const one = await worker.deliveries.next();
    server.cli('ACL', 'SETUSER', 'limited', `-${command}`);
    const settled = worker.settle(one);
    t.match(await worker.log.event('redis.refuses'), { message: named });
    t.equal(server.cli('HLEN', 'unacked'), '1', 'not acknowledged');
    server.cli('ACL', 'SETUSER', 'limited', `+${command}`);
    t.equal(await settled, 'done');
    t.match(await worker.backend.get('one'), { result: 1 });
  }
});
