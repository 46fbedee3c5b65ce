import { existsSync, renameSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { BrokerState } from '../../../src/broker/broker.ts';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import type { Message } from '../../../src/protocol/message.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

interface Bench {
  readonly path: string;
  readonly log: RecordingLog;
  readonly broker: SqliteBroker;
  readonly folder: ReturnType<typeof temporaryFolder>;
}

async function startBroker(t: Test): Promise<Bench> {
  const folder = temporaryFolder();
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const broker = new SqliteBroker({ store: storeAt(path, log), leaseMs: 60_000, log });
  t.teardown(async () => {
    await broker.stop();
    folder.remove();
  });
  await broker.start();
  return { path, log, broker, folder };
}

function state(broker: SqliteBroker, wanted: BrokerState): Promise<void> {
  return new Promise((resolve) => {
    broker.onStateChange((now) => {
      if (now === wanted) resolve();
    });
  });
}

t.test('a file that cannot be opened', async (t) => {
  const broker = new SqliteBroker({ store: storeAt('/nowhere/at/all/b.db'), leaseMs: 1000, log: new RecordingLog() });
  await t.rejects(broker.start(), {
    code: 'BROKER_UNAVAILABLE',
    message: /the folder of the SQLite database must exist: \/nowhere\/at\/all/,
  });
  t.equal(broker.state, 'stopped');
  await broker.stop();
});

t.test('what cannot be decoded is set aside, said, and kept for a week', async (t) => {
  const { path, log, broker } = await startBroker(t);
  await broker.declareQueue({ name: 'q' });
  const database = new DatabaseSync(path, { timeout: 5000 });
  t.teardown(() => database.close());
  database.exec("INSERT INTO kombu_message (visible, payload, version, queue_id) VALUES (1, 'garbage', 1, 1)");
  const inbox = await openInbox(broker, ['q'], 1);
  t.match(await log.event('broker.undecodable'), { level: 'error', message: /Row 1 of queue q was set aside/ });
  await broker.publish(textMessage('good'), { exchange: '', routingKey: 'q' });
  await inbox.subscription.ack(await inbox.deliveries.next());
  t.match(database.prepare('SELECT visible, payload, umbel_owner FROM kombu_message').all(), [
    { visible: 0, payload: 'garbage', umbel_owner: 0 },
  ]);
});

t.test('a priority no number can hold does not keep everything else from being delivered', async (t) => {
  const { path, broker } = await startBroker(t);
  const text = textMessage('first');
  await broker.publish({ ...text, properties: { ...text.properties, priority: 2 ** 60 } }, { exchange: '', routingKey: 'q' });
  const database = new DatabaseSync(path, { timeout: 5000 });
  t.teardown(() => database.close());
  // As a Python client would have left it.
  database.exec(`UPDATE kombu_message SET umbel_priority = NULL, payload = json_set(payload, '$.properties.priority', 1 << 60)`);
  await broker.publish(textMessage('second'), { exchange: '', routingKey: 'q' });
  await broker.publish({ ...text, properties: { ...text.properties, priority: 2 ** 60 } }, { exchange: '', routingKey: 'q' });
  const inbox = await openInbox(broker, ['q'], 10);
  t.same(
    [textOf(await inbox.deliveries.next()), textOf(await inbox.deliveries.next()), textOf(await inbox.deliveries.next())],
    ['first', 'first', 'second'],
  );
});

t.test('a claim that fails is said, and tried again with the next message', async (t) => {
  const { path, broker, log } = await startBroker(t);
  await broker.declareQueue({ name: 'q' });
  const inbox = await openInbox(broker, ['q'], 1);
  const database = new DatabaseSync(path, { timeout: 5000 });
  t.teardown(() => database.close());
  database.exec("CREATE TRIGGER broken BEFORE UPDATE OF umbel_owner ON kombu_message BEGIN SELECT RAISE(ABORT, 'not now'); END");
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'q' });
  t.match(await log.event('broker.claim-failed'), { level: 'error', message: /No message could be taken from q: .*not now/ });
  database.exec('DROP TRIGGER broken');
  await broker.publish(textMessage('two'), { exchange: '', routingKey: 'q' });
  t.equal(textOf(await inbox.deliveries.next()), 'one');
});

t.test('a message that came back is marked for Python too', async (t) => {
  const { path, broker } = await startBroker(t);
  await broker.publish(textMessage('again'), { exchange: '', routingKey: 'q' });
  const inbox = await openInbox(broker, ['q'], 1);
  await inbox.subscription.reject(await inbox.deliveries.next(), { requeue: true });
  const delivery = await inbox.deliveries.next();
  t.equal(delivery.deliveryCount, 1);
  t.equal(textOf(delivery), 'again');
  await inbox.subscription.release();
  const database = new DatabaseSync(path, { readOnly: true });
  const [row] = database.prepare('SELECT visible, payload, umbel_delivered FROM kombu_message').all();
  database.close();
  t.match(row, { visible: 1, umbel_delivered: 2 });
  t.match(JSON.parse(String(row!.payload)), { properties: { delivery_info: { exchange: '', routing_key: 'q', redelivered: true } } });
});

t.test('a broadcast nobody listens to is not stored', async (t) => {
  const { path, broker } = await startBroker(t);
  const count = () => {
    const database = new DatabaseSync(path, { readOnly: true });
    const row = database.prepare('SELECT count(*) AS n FROM umbel_broadcast').get();
    database.close();
    return row?.n;
  };
  await broker.publish(textMessage('1'), { exchange: 'celery.pidbox', routingKey: '' });
  t.equal(count(), 0);
  const listener = await broker.listen({ exchange: 'celery.pidbox', exchangeType: 'fanout', routingKey: '', onMessage: () => {} });
  await broker.publish(textMessage('2'), { exchange: 'celery.pidbox', routingKey: '' });
  t.equal(count(), 1);
  await listener.stop();
  await broker.publish(textMessage('3'), { exchange: 'celery.pidbox', routingKey: '' });
  t.equal(count(), 1);
});

t.test('headers exchanges are refused', async (t) => {
  const { broker } = await startBroker(t);
  await t.rejects(broker.declareQueue({ name: 'q', exchange: 'x', exchangeType: 'headers' }), {
    code: 'NOT_SUPPORTED',
    message: /headers.*queue q/,
  });
  await t.rejects(broker.listen({ exchange: 'x', exchangeType: 'headers', routingKey: '', onMessage: () => {} }), {
    code: 'NOT_SUPPORTED',
  });
});

t.test('a locked file: lost, then connected, and the acknowledgement arrives', async (t) => {
  const folder = temporaryFolder();
  const path = folder.path('broker.db');
  const log = new RecordingLog();
  const { SqliteStore } = await import('../../../src/driver/sqlite-store.ts');
  const broker = new SqliteBroker({
    store: new SqliteStore({ path, synchronous: 'normal', busyTimeoutMs: 100, log }),
    leaseMs: 60_000,
    log,
  });
  await broker.start();
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'q' });
  const inbox = await openInbox(broker, ['q'], 1);
  const delivery = await inbox.deliveries.next();
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  const lost = state(broker, 'lost');
  const ack = inbox.subscription.ack(delivery);
  await t.rejects(broker.publish(textMessage('two'), { exchange: '', routingKey: 'q' }), {
    code: 'BROKER_UNAVAILABLE',
    message: /locked.*broker\.db/,
  });
  await lost;
  const connected = state(broker, 'connected');
  other.exec('COMMIT');
  other.close();
  await connected;
  t.equal(await ack, 'done');
  t.equal(inbox.lost.size, 0, 'a file that failed for a while takes nothing away');
  await broker.publish(textMessage('three'), { exchange: '', routingKey: 'q' });
  t.equal(textOf(await inbox.deliveries.next()), 'three');
  await broker.stop();
  folder.remove();
});

t.test('a file that was replaced: what was held is lost, and said so; work goes on', async (t) => {
  const { path, broker, folder } = await startBroker(t);
  await broker.publish(textMessage('old'), { exchange: '', routingKey: 'q' });
  const inbox = await openInbox(broker, ['q'], 1);
  const held = await inbox.deliveries.next();
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, folder.path(`moved.db${suffix}`));
  t.strictSame(await inbox.lost.next(), [held]);
  t.equal(await inbox.subscription.ack(held), 'stale');
  await broker.publish(textMessage('new'), { exchange: '', routingKey: 'q' });
  t.equal(textOf(await inbox.deliveries.next()), 'new');
});

t.test('an idle consumer does not wake itself', async (t) => {
  const { broker } = await startBroker(t);
  const inbox = await openInbox(broker, ['q'], 0);
  await broker.publish(textMessage('one'), { exchange: '', routingKey: 'q' });
  await inbox.subscription.ack(await inbox.deliveries.next());
  // A turn with nothing to write leaves nothing to write.
  let commits = 0;
  const enqueue = broker.store.enqueue.bind(broker.store);
  broker.store.enqueue = (operation) => {
    commits++;
    enqueue(operation);
  };
  await broker.store.write(() => {}, { topics: 1 });
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  t.equal(commits, 1, 'only the one write of this test');
});

t.test('what nobody takes is not written as text; what somebody takes is, once', async (t) => {
  const { broker } = await startBroker(t);
  let asked = 0;
  const event = (): Message => {
    const { properties, headers } = textMessage('');
    return {
      properties,
      headers,
      get body() {
        asked += 1;
        return Buffer.from('event');
      },
    };
  };
  const to = { exchange: 'events', routingKey: 'task.multi' };
  await broker.publish(event(), to);
  t.equal(asked, 0);
  for (const name of ['one', 'two']) await broker.declareQueue({ name, exchange: 'events', exchangeType: 'topic', routingKey: '#' });
  const heard = new Promise<Message>((resolve) => {
    void broker
      .listen({ exchange: 'events', exchangeType: 'topic', routingKey: 'task.#', onMessage: resolve })
      .then(() => broker.publish(event(), to));
  });
  t.equal(textOf(await heard), 'event');
  t.strictSame([await broker.countReady('one'), await broker.countReady('two'), asked], [1, 1, 1]);
  await t.rejects(
    broker.publish({ ...textMessage('x'), headers: { no: new Map() } }, to),
    TypeError,
    'a header that cannot be written is refused',
  );
});
