/** What a worker holds stays its own while it lives, and is given back soon after it died: leases, visibility timeouts, standstills. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import type { RedisBroker } from '../../../src/broker/redis/redis-broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { systemClock } from '../../../src/std/clock.ts';
import { ended } from '../../child-end.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { RedisServer } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { startedBroker } from './redis-place.ts';

const send = (broker: RedisBroker, queue: string, text: string): Promise<void> =>
  broker.publish(textMessage(text), { exchange: '', routingKey: queue });

function startHolder(t: Test, url: string, count: number, leaseMs: number): { child: ChildProcess; line(): Promise<string> } {
  const script = new URL('./holding-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, url, 'celery', String(count), String(leaseMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
}

const idOf = (message: Message): string => String(message.headers?.id);

t.test('kill -9: others give back what it held, marked and in the old order', async (t) => {
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const broker = await startedBroker(t, server, { log, broker: { workerLeaseMs: 1200 } });
  for (let n = 0; n < 5; n++) await send(broker, 'celery', String(n));
  const holder = startHolder(t, server.url(), 3, 1200);
  t.equal(await holder.line(), 'holding');
  t.equal(await broker.countReady('celery'), 2);
  const inbox = await openInbox(broker, ['celery'], 2);
  const free = await inbox.deliveries.take(2);
  t.strictSame(free.map(textOf), ['3', '4']);
  holder.child.kill('SIGKILL');
  await ended(holder.child);
  // By its lease, long before the visibility timeout of an hour. Whoever stood still meanwhile judges nobody for a whole lease: of such a gap a tenth of a second counts.
  let waitedMs = 0;
  let lookedAtMs = performance.now();
  const { message } = await eventually(t, 'they are given back', () => {
    const sinceMs = performance.now() - lookedAtMs;
    lookedAtMs += sinceMs;
    waitedMs += Math.min(sinceMs, 100);
    return log.lines.find(({ event }) => event === 'broker.restored');
  });
  t.match(message, /^Restored 3 unacknowledged messages of a worker that died/);
  t.ok(waitedMs < 5000, `after ${Math.round(waitedMs)} ms`);
  for (const delivery of free) await inbox.subscription.ack(delivery);
  const back = await inbox.deliveries.take(2);
  inbox.subscription.setPrefetch(0);
  back.push(await inbox.deliveries.next());
  t.strictSame(back.map(textOf), ['0', '1', '2']);
  t.ok(back.every((delivery) => delivery.redelivered));
  for (const delivery of back) t.equal(await inbox.subscription.ack(delivery), 'done');
  t.equal(server.cli('EXISTS', 'unacked', 'unacked_index', '_umbel.dead-workers'), '0');
});

t.test('a process that stood still longer than its lease learns that it lost everything', async (t) => {
  const server = await RedisServer.start(t);
  const broker = await startedBroker(t, server, { broker: { workerLeaseMs: 1200 } });
  await send(broker, 'celery', 'one');
  await send(broker, 'celery', 'two');
  const holder = startHolder(t, server.url(), 2, 1200);
  t.equal(await holder.line(), 'holding');
  holder.child.kill('SIGSTOP');
  const inbox = await openInbox(broker, ['celery'], 1);
  const taken = await inbox.deliveries.next();
  t.equal(textOf(taken), 'one');
  t.equal(taken.redelivered, true);
  holder.child.kill('SIGCONT');
  t.equal(await holder.line(), 'lost 2 stale,stale', 'told once, and its settlements change nothing');
  t.equal(await holder.line(), 'again two true', 'it goes on');
  t.equal(await inbox.subscription.ack(taken), 'done');
  await ended(holder.child);
});

t.test('a server that stood still has no dead workers', async (t) => {
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const brokers = [
    await startedBroker(t, server, { log, broker: { workerLeaseMs: 900 } }),
    await startedBroker(t, server, { log, broker: { workerLeaseMs: 900 } }),
  ];
  const [one, two] = brokers as [RedisBroker, RedisBroker];
  await send(one, 'celery', 'mine');
  const inbox = await openInbox(one, ['celery'], 1);
  const delivery = await inbox.deliveries.next();
  const rival = await openInbox(two, ['celery'], 1);
  // In seconds of the server.
  const leaseEnds = (): number[] => {
    const ids = server.cli('ZRANGE', '_umbel.workers', '0', '-1').split('\n').sort();
    return ids.map((id) => Number(server.cli('ZSCORE', '_umbel.workers', id)));
  };
  const renewedFor = (seconds: number): Promise<unknown> => {
    const before = leaseEnds();
    t.equal(before.length, 2);
    return eventually(t, 'both give signs of life', () => leaseEnds().every((end, at) => end >= (before[at] as number) + seconds));
  };
  // Each has been there for long enough to judge the other.
  await renewedFor(1);
  server.pause();
  await eventually(t, 'their leases are over', () =>
    [inbox, rival].every(({ subscription }) => subscription.heldUntilMs + 900 < systemClock.monotonic()),
  );
  server.resume();
  await eventually(t, 'both have come back', () =>
    [inbox, rival].every(({ subscription }) => subscription.heldUntilMs > systemClock.monotonic()),
  );
  await renewedFor(1.8);
  t.equal(rival.deliveries.size, 0);
  t.equal(inbox.lost.size, 0);
  t.equal(await inbox.subscription.ack(delivery), 'done');
});

t.test('what is held is renewed in the index, deferred messages too', async (t) => {
  const server = await RedisServer.start(t);
  // A process that stands still for longer than this may lose what it holds.
  const visibilityTimeoutMs = 5000;
  const broker = await startedBroker(t, server, { broker: { visibilityTimeoutMs, sweepIntervalMs: 500 } });
  const other = await startedBroker(t, server, { broker: { visibilityTimeoutMs, sweepIntervalMs: 500 } });
  await send(broker, 'celery', 'running');
  await send(broker, 'celery', 'scheduled');
  const inbox = await openInbox(broker, ['celery'], 2);
  const [running, scheduled] = await inbox.deliveries.take(2);
  await inbox.subscription.defer(scheduled!, Date.now() + 3 * visibilityTimeoutMs);
  const rival = await openInbox(other, ['celery']);
  // The rival sweeps all the time.
  const again = await inbox.deliveries.next();
  t.equal(textOf(again), 'scheduled');
  t.equal(again.redelivered, false);
  t.equal(rival.deliveries.size, 0);
  t.equal(inbox.lost.size, 0);
  t.equal(await inbox.subscription.ack(running!), 'done');
  t.equal(await inbox.subscription.ack(again), 'done');
});

t.test('what a Python worker held for too long comes back', async (t) => {
  const server = await RedisServer.start(t);
  const log = new RecordingLog();
  const broker = await startedBroker(t, server, { log, broker: { visibilityTimeoutMs: 5000, sweepIntervalMs: 1000 } });
  await broker.declareQueue({ name: 'jobs', exchange: 'work', exchangeType: 'topic', routingKey: 'a.#' });
  const entry = (id: string, exchange: string, routingKey: string, priority = 0, eta?: string): string => {
    const envelope = {
      body: 'e30=',
      'content-type': 'application/json',
      'content-encoding': 'utf-8',
      headers: { id, eta },
      properties: { delivery_info: { exchange, routing_key: routingKey }, priority, body_encoding: 'base64', delivery_tag: id },
    };
    return `[${JSON.stringify(envelope)}, ${JSON.stringify(exchange)}, ${JSON.stringify(routingKey)}]`;
  };
  const now = Number(server.cli('TIME').split('\n')[0]);
  const rows = [
    ['older', now - 20, entry('older', '', 'jobs')],
    ['old', now - 10, entry('old', '', 'jobs')],
    ['topic', now - 8, entry('topic', 'work', 'a.b', 3)],
    ['young', now + 100, entry('young', '', 'jobs')],
    ['not due', now - 15, entry('not due', '', 'jobs', 0, new Date((now + 100) * 1000).toISOString())],
    ['broken', now - 9, 'nonsense'],
    ['pair', now - 9, '[1,2]'],
    ['empty', now - 9, '[{}, "work", "jobs"]'],
    ['nothing', now - 9, '[null, null, null]'],
  ] as const;
  for (const [tag, score, text] of rows) {
    server.cli('HSET', 'unacked', tag, text);
    server.cli('ZADD', 'unacked_index', String(score), tag);
  }
  server.cli('ZADD', 'unacked_index', String(now - 30), 'index-only');
  const inbox = await openInbox(broker, ['jobs'], 3);
  const back = await inbox.deliveries.take(3);
  t.strictSame(back.map(idOf), ['older', 'old', 'topic'], 'the oldest first');
  t.ok(back.every(({ redelivered }) => redelivered));
  t.strictSame(
    server
      .cli('HKEYS', 'unacked')
      .split('\n')
      .filter((tag) => !tag.startsWith('umbel-'))
      .sort(),
    ['not due', 'young'],
  );
  t.strictSame(server.cli('LRANGE', '_umbel.rejected.unknown', '0', '-1').split('\n').sort(), ['[1,2]', 'nonsense', 'null']);
  t.equal(server.cli('LRANGE', '_umbel.rejected.jobs', '0', '-1'), '{}', 'as it was, whatever stood around it');
  await log.event('broker.restored');
  t.equal(server.cli('EXISTS', 'unacked_mutex'), '0');
  t.equal(server.cli('ZSCORE', 'unacked_index', 'not due'), String(now + 100), 'what waits for its time ages from then on');
});
