import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import t from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

function startHolder(path: string, count: number, leaseMs: number): { child: ChildProcess; line(): Promise<string> } {
  const script = new URL('./holding-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, path, 'celery', String(count), String(leaseMs)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
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
  holder.child.kill('SIGKILL');
  await once(holder.child, 'exit');
  for (const delivery of free) await inbox.subscription.ack(delivery);
  inbox.subscription.setPrefetch(0);
  const back = await inbox.deliveries.take(3);
  t.ok(performance.now() - killedAtMs < 2000, `after ${Math.round(performance.now() - killedAtMs)} ms`);
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
  await once(holder.child, 'exit');
  await broker.stop();
});

t.test('a lease is renewed while its holder lives', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const holder = new SqliteBroker({ store: storeAt(path, log), leaseMs: 900, log });
  const other = new SqliteBroker({ store: storeAt(path, log), leaseMs: 900, log });
  await holder.start();
  await other.start();
  await holder.publish(textMessage('mine'), { exchange: '', routingKey: 'celery' });
  const inbox = await openInbox(holder, ['celery'], 1);
  const delivery = await inbox.deliveries.next();
  const rival = await openInbox(other, ['celery'], 1);
  // Time passes here because it is what is tested: twice the lease.
  await new Promise((resolve) => setTimeout(resolve, 1800));
  t.equal(rival.deliveries.size, 0);
  t.equal(inbox.lost.size, 0);
  t.equal(await inbox.subscription.ack(delivery), 'done');
  await holder.stop();
  await other.stop();
});
