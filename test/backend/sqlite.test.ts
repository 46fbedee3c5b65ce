import t from 'tap';
import { SqliteBackend } from '../../src/backend/sqlite.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { SqliteBroker } from '../../src/broker/sqlite/sqlite-broker.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { openInbox, textMessage } from '../broker/inbox.ts';
import { storeAt, temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { backendConformance, record } from './conformance.ts';

backendConformance(t, {
  name: 'sqlite',
  open: async () => {
    const folder = temporaryFolder();
    return {
      shared: true,
      create: async (resultExpiresMs) => new SqliteBackend({ store: storeAt(folder.path('results.db')), resultExpiresMs }),
      close: async () => folder.remove(),
    };
  },
});

t.test('cleanup deletes what has expired and nothing else, however much', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const clock = new FakeClock();
  const backend = new SqliteBackend({ store: storeAt(folder.path('r.db')), resultExpiresMs: 1000, clock });
  await backend.start();
  await Promise.all(Array.from({ length: 1200 }, (_, index) => backend.store(record(`old ${index}`, 'SUCCESS', index))));
  clock.advance(600);
  await backend.store(record('new', 'SUCCESS', 2));
  clock.advance(500);
  t.equal(await backend.get('old 1'), null);
  t.equal(await backend.cleanup(), 1200);
  t.equal((await backend.get('new'))?.result, 2);
  await backend.stop();
});

t.test('a result and its acknowledgement are one transaction', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('both.db');
  const store = storeAt(path);
  const broker = new SqliteBroker({ store, leaseMs: 60_000, log: new RecordingLog() });
  const backend = new SqliteBackend({ store, resultExpiresMs: null });
  t.equal(backend.commitsWith(broker), true);
  t.equal(backend.commitsWith(new MemoryBroker()), false);
  t.equal(
    new SqliteBackend({ store: storeAt(path), resultExpiresMs: null }).commitsWith(broker),
    false,
    'the same file on another connection',
  );
  await broker.start();
  await backend.start();
  await broker.publish(textMessage('task'), { exchange: '', routingKey: 'celery' });
  const inbox = await openInbox(broker, ['celery'], 1);
  const delivery = await inbox.deliveries.next();

  // Seen from outside, no state of the file has the one without the other.
  const outside = storeAt(path);
  await outside.acquire(() => {});
  const states = new Set<string>();
  const look = () =>
    states.add(
      outside.peek(
        (database) =>
          database.prepare('SELECT (SELECT count(*) FROM umbel_result) || (SELECT count(*) FROM kombu_message)').get()?.[0] as string,
        'no answer',
      ),
    );
  look();
  const stop = outside.onChange(look);
  const [, outcome] = await Promise.all([backend.store(record('task', 'SUCCESS', 1)), inbox.subscription.ack(delivery)]);
  t.equal(outcome, 'done');
  look();
  stop();
  t.strictSame([...states], ['01', '10']);
  await outside.release(() => {});
  await backend.stop();
  await broker.stop();
});

t.test('errors', async (t) => {
  const backend = new SqliteBackend({ store: storeAt('/nowhere/at/all/r.db'), resultExpiresMs: null });
  await t.rejects(backend.start(), { code: 'BACKEND_UNAVAILABLE', message: /folder.*\/nowhere\/at\/all/ });
  await t.rejects(backend.get('x'), { code: 'BACKEND_UNAVAILABLE' });
  await t.rejects(backend.store(record('x', 'SUCCESS', 1)), { code: 'BACKEND_UNAVAILABLE' });
  await backend.stop();
});
