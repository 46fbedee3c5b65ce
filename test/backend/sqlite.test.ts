import t from 'tap';
import { SqliteBackend } from '../../src/backend/sqlite.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { SqliteBroker } from '../../src/broker/sqlite/sqlite-broker.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { openInbox, textMessage } from '../broker/inbox.ts';
import { storeAt, temporaryFolder } from '../broker/sqlite/temporary-store.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { type BackendConformanceParams, backendConformance, record } from './conformance.ts';
import { groupsConformance } from './groups-conformance.ts';

const params: BackendConformanceParams = {
  name: 'sqlite',
  open: async () => {
    const folder = temporaryFolder();
    return {
      shared: true,
      create: async (resultExpiresMs) => new SqliteBackend({ store: storeAt(folder.path('results.db')), resultExpiresMs }),
      close: async () => folder.remove(),
    };
  },
};
backendConformance(t, params);
groupsConformance(t, params);

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

t.test(
  'result, count and acknowledgement of a part are one transaction; the part that completes its chord keeps its message',
  async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const path = folder.path('chord.db');
    const store = storeAt(path);
    const broker = new SqliteBroker({ store, leaseMs: 60_000, log: new RecordingLog() });
    const backend = new SqliteBackend({ store, resultExpiresMs: null });
    await broker.start();
    await backend.start();
    for (const name of ['first', 'last']) await broker.publish(textMessage(name), { exchange: '', routingKey: 'celery' });
    const inbox = await openInbox(broker, ['celery'], 2);
    const [first, last] = [await inbox.deliveries.next(), await inbox.deliveries.next()];
    await backend.groups.setChordSize('g', 2);

    // Seen from outside, no state of the file has one of the three without the others.
    const outside = storeAt(path);
    const schema = (): void => {};
    await outside.acquire(schema);
    const seen = (): Promise<unknown> =>
      outside.read((database) => [
        database.prepare('SELECT count(*) FROM umbel_result').get()?.[0],
        database.prepare("SELECT coalesce(max(counted), 0) FROM umbel_chord WHERE group_id = 'g'").get()?.[0],
        database.prepare('SELECT count(*) FROM kombu_message').get()?.[0],
      ]);
    const states = new Set<string>();
    let watching = true;
    const watch = (async () => {
      while (watching) {
        states.add(JSON.stringify(await seen()));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const part = (index: number) => ({ groupId: 'g', groupIndex: index, chordSize: null, ignoreResult: false });
    let settled: unknown;
    const ack = (delivery: typeof first) => async (): Promise<void> => {
      settled = await inbox.subscription.ack(delivery);
    };
    t.strictSame(await backend.groups.storeChordPart(record('first', 'SUCCESS', 1), part(0), ack(first)), { kind: 'counted' });
    t.equal(settled, 'done');
    const complete = { kind: 'complete', resultsJson: '[1, 2]' };
    t.strictSame(await backend.groups.storeChordPart(record('last', 'SUCCESS', 2), part(1), ack(last)), complete);
    t.equal(settled, 'kept');
    t.strictSame(await seen(), [2, 2, 1]);
    t.strictSame(await backend.groups.storeChordPart(record('last', 'SUCCESS', 2), part(1), ack(last)), complete, 'and so again');
    t.strictSame(await Promise.all([backend.groups.endChord('g'), inbox.subscription.ack(last)]), [undefined, 'done']);
    watching = false;
    await watch;
    for (const state of states) t.ok(['[0,0,2]', '[1,1,1]', '[2,2,1]', '[2,0,0]'].includes(state), state);

    // Whose message is gone counts nothing.
    await broker.publish(textMessage('taken'), { exchange: '', routingKey: 'celery' });
    const taken = await inbox.deliveries.next();
    await backend.groups.setChordSize('h', 1);
    await outside.write((database) => database.prepare('UPDATE kombu_message SET umbel_owner = 12345 WHERE id = ?').run(Number(taken.tag)));
    const other = { ...part(0), groupId: 'h' };
    t.strictSame(await backend.groups.storeChordPart(record('taken', 'SUCCESS', 1), other, ack(taken)), { kind: 'counted' });
    t.equal(settled, 'stale');
    t.equal(await backend.get('taken'), null);
    await outside.release(schema);
    await backend.stop();
    await broker.stop();
  },
);

t.test('cleanup deletes groups and chords that have expired', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const clock = new FakeClock();
  const store = storeAt(folder.path('g.db'));
  const backend = new SqliteBackend({ store, resultExpiresMs: 1000, clock });
  await backend.start();
  const { groups } = backend;
  for (const groupId of ['old', 'new']) {
    await groups.setChordSize(groupId, 2);
    await groups.saveGroup(groupId, [[groupId, null], []]);
    await groups.storeChordPart(record(groupId, 'SUCCESS', 1), { groupId, groupIndex: 0, chordSize: null, ignoreResult: false });
    clock.advance(600);
  }
  t.equal(await backend.cleanup(), 3, 'a chord, a group and a result');
  t.equal(await groups.restoreGroup('old'), null);
  t.not(await groups.restoreGroup('new'), null);
  const left = await store.read((database) => database.prepare('SELECT group_id FROM umbel_chord_part').all());
  t.strictSame(
    left.map(([groupId]) => groupId),
    ['new'],
  );
  await backend.stop();
});
