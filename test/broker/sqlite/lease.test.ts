import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { ended } from '../../child-end.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

function startHolder(path: string, count: number, leaseMs: number): { child: ChildProcess; line(): Promise<string> } {
  const script = new URL('./holding-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, path, 'celery', String(count), String(leaseMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
}

/** For how long this process has stood still since: what is measured has stood still with it. */
function standstill(t: Test): () => number {
  const everyMs = 20;
  let lastMs = performance.now();
  let stoodMs = 0;
  const look = (): number => {
    const nowMs = performance.now();
    stoodMs += Math.max(0, nowMs - lastMs - everyMs);
    lastMs = nowMs;
    return stoodMs;
  };
  const timer = setInterval(look, everyMs);
  t.teardown(() => clearInterval(timer));
  return look;
}

t.test('kill -9: redelivered within two seconds, marked, in the old order', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 3_600_000, log });
  await broker.start();
  for (let n = 0; n < 5; n++) await broker.publish(textMessage(String(n)), { exchange: '', routingKey: 'celery' });
  // A lease of an hour: only the death of the process can give the messages back.
  const holder = startHolder(path, 3, 3_600_000);
  t.equal(await holder.line(), 'holding');
  t.equal(await broker.countReady('celery'), 2);
  const inbox = await openInbox(broker, ['celery'], 2);
  const free = await inbox.deliveries.take(2);
  t.strictSame(free.map(textOf), ['3', '4']);
  const killedAtMs = performance.now();
  const stoodStillMs = standstill(t);
  holder.child.kill('SIGKILL');
  await ended(holder.child);
  for (const delivery of free) await inbox.subscription.ack(delivery);
  inbox.subscription.setPrefetch(0);
  const back = await inbox.deliveries.take(3);
  const afterMs = performance.now() - killedAtMs - stoodStillMs();
  t.ok(afterMs < 2000, `after ${Math.round(afterMs)} ms`);
  t.strictSame(back.map(textOf), ['0', '1', '2']);
  t.ok(back.every((delivery) => delivery.redelivered && delivery.deliveryCount === 1));
  await log.event('broker.reclaimed');
  await broker.stop();
});

t.test('a process that stood still longer than its lease learns that it lost everything', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
  await broker.start();
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'celery' });
  await broker.publish(textMessage('two'), { exchange: '', routingKey: 'celery' });
  const holder = startHolder(path, 2, 600);
  t.equal(await holder.line(), 'holding');
  holder.child.kill('SIGSTOP');
  const inbox = await openInbox(broker, ['celery'], 1);
  const taken = await inbox.deliveries.next();
  t.equal(textOf(taken), 'one');
  t.equal(taken.redelivered, true);
  holder.child.kill('SIGCONT');
  t.equal(await holder.line(), 'lost 2 stale,stale', 'told once, and its settlements change nothing');
  t.equal(await holder.line(), 'again two true', 'it goes on with a new lease');
  t.equal(await inbox.subscription.ack(taken), 'done');
  await ended(holder.child);
  await broker.stop();
});

t.test('a lease is renewed while its holder lives', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  // A process that stands still for as long as this may lose what it holds: also to one that stood still beside it, and looks first.
  const leaseMs = 4000;
  const holder = new SqliteBroker({ store: storeAt(path, log), leaseMs, log });
  const other = new SqliteBroker({ store: storeAt(path, log), leaseMs, log });
  await holder.start();
  await other.start();
  await holder.publish(textMessage('mine'), { exchange: '', routingKey: 'celery' });
  const inbox = await openInbox(holder, ['celery'], 1);
  const delivery = await inbox.deliveries.next();
  const rival = await openInbox(other, ['celery'], 1);
  const database = new DatabaseSync(path, { timeout: 5000 });
  t.teardown(() => database.close());
  const leaseEnds = (): number[] =>
    database
      .prepare('SELECT lease_until FROM umbel_consumer ORDER BY id')
      .all()
      .map((row) => Number(row.lease_until));
  const before = leaseEnds();
  t.equal(before.length, 2);
  await eventually(t, 'both are renewed, over twice a lease', () =>
    leaseEnds().every((endsAtMs, at) => endsAtMs >= (before[at] as number) + 2 * leaseMs),
  );
  t.equal(rival.deliveries.size, 0);
  t.equal(inbox.lost.size, 0);
  t.equal(await inbox.subscription.ack(delivery), 'done');
  await holder.stop();
  await other.stop();
});

t.test('what is held is certain until a lease after the last renewal that was committed', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const clock = new FakeClock(Date.now());
  const store = storeAt(path, log);
  const broker = new SqliteBroker({ store, leaseMs: 600, log, clock });
  await broker.start();
  t.teardown(() => broker.stop());
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'celery' });
  const told: string[] = [];
  const delivered = Promise.withResolvers<void>();
  const subscription = await broker.consume({
    queues: ['celery'],
    prefetch: 1,
    onDelivery: () => delivered.resolve(),
    onLost: (deliveries) => told.push(`lost ${deliveries.map(textOf)} ${subscription.heldUntilMs}`),
    onHeld: () => told.push('held'),
  });
  await delivered.promise;
  t.equal(subscription.heldUntilMs, 540, 'a tenth is kept in reserve');
  clock.advance(200);
  await eventually(t, 'renewed', () => subscription.heldUntilMs === 740);
  t.same(told, [], 'in good time');

  clock.advance(1000);
  t.equal(subscription.heldUntilMs, 740, 'renewals that are not committed count for nothing');
  await eventually(t, 'renewed', () => subscription.heldUntilMs > clock.monotonic());
  t.same(told, ['held'], 'its row was still there, so nothing was taken');

  const database = new DatabaseSync(path, { timeout: 5000 });
  t.teardown(() => database.close());
  database.prepare('DELETE FROM umbel_consumer').run();
  clock.advance(200);
  await eventually(t, 'a new lease', () => told.length > 1 && subscription.heldUntilMs > clock.monotonic());
  t.same(told, ['held', 'lost one -Infinity', 'held'], 'the bad news first');
});

t.test('a clock that is set: nobody takes what others hold', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const clock = new FakeClock();
  const open = async () => {
    const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 30_000, log, clock });
    await broker.start();
    t.teardown(() => broker.stop());
    return { broker, inbox: await openInbox(broker, ['celery'], 1) };
  };
  /** What both have enqueued up to now is in the file, and both have looked at it. */
  const pass = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += 1000) {
      clock.advance(1000);
      for (const { broker } of [holder, rival]) await broker.purgeQueue('nothing');
    }
  };
  const holder = await open();
  await holder.broker.publish(textMessage('mine'), { exchange: '', routingKey: 'celery' });
  const delivery = await holder.inbox.deliveries.next();
  const rival = await open();
  await pass(10_000);
  for (const jumpMs of [3_600_000, -7_200_000, 7_200_000]) {
    clock.jumpTo(clock.now() + jumpMs);
    // It has seen no other time, so it cannot know that the clock was set.
    const newcomer = await open();
    await pass(90_000);
    t.strictSame([holder.inbox.lost.size, rival.inbox.deliveries.size, newcomer.inbox.deliveries.size], [0, 0, 0], `by ${jumpMs} ms`);
    await newcomer.broker.stop();
  }
  t.equal(await holder.inbox.subscription.ack(delivery), 'done');
});
