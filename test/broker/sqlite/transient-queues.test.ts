/** Queues that go with their last consumer, however it goes. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { ended } from '../../child-end.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

const broadcast = { exchange: 'reload', exchangeType: 'fanout', autoDelete: true } as const;
const toAll = { exchange: 'reload', routingKey: '' };

t.test('with the last of its consumers, not before', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const open = async (): Promise<SqliteBroker> => {
    const broker = new SqliteBroker({ store: storeAt(folder.path('a.db')), leaseMs: 60_000, log: new RecordingLog() });
    await broker.start();
    t.teardown(() => broker.stop());
    return broker;
  };
  const [first, second, sender] = [await open(), await open(), await open()];
  for (const broker of [first, second]) await broker.declareQueue({ name: 'mine', ...broadcast });
  await first.declareQueue({ name: 'kept', exchange: 'reload', exchangeType: 'fanout' });
  const one = await openInbox(first, ['mine', 'kept']);
  const other = await openInbox(second, ['mine']);
  await first.stop();
  t.equal(one.deliveries.size, 0);
  await sender.publish(textMessage('still there'), toAll);
  const delivery = await other.deliveries.next();
  t.equal(textOf(delivery), 'still there');
  // Held at the end: given back, and gone with the queue.
  await second.stop();
  await sender.publish(textMessage('nobody hears it'), toAll);
  t.equal(await sender.countReady('mine'), 0);
  t.equal(await sender.countReady('kept'), 2, 'a queue that is not transient stays');
});

t.test('when its consumer was killed', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = folder.path('a.db');
  const broker = new SqliteBroker({ store: storeAt(path), leaseMs: 60_000, log: new RecordingLog() });
  await broker.start();
  t.teardown(() => broker.stop());
  await openInbox(broker, ['something']);
  const script = new URL('./holding-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, path, 'bcast.1', '1', '60000', 'reload'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await eventually(t, 'it is bound', async () => {
    await broker.publish(textMessage('x'), toAll);
    return (await broker.countReady('bcast.1')) > 0;
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await ended(child);
  await eventually(t, 'nothing is kept for it any more', async () => {
    await broker.publish(textMessage('x'), toAll);
    return (await broker.countReady('bcast.1')) === 0;
  });
});
