/** What waits for its time: by how old it is when it may be started, not by how long it has waited, others judge. */
import t from 'tap';
import { RedisServer } from '../../redis-server.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

t.test('a message that becomes due is renewed when it is fetched', async (t) => {
  const server = await RedisServer.start(t);
  const broker = redisBroker(server.url());
  t.teardown(() => broker.stop());
  await broker.start();
  await broker.publish(textMessage('later'), { exchange: '', routingKey: 'celery' });
  const inbox = await openInbox(broker, ['celery'], 1);
  const first = await inbox.deliveries.next();
  // As if no renewal had come to it for an hour.
  server.cli('ZADD', 'unacked_index', 'XX', '1000', String(first.tag));
  const beforeSeconds = Number(server.cli('TIME').split('\n')[0]);
  await inbox.subscription.defer(first, Date.now() + 20);
  const due = await inbox.deliveries.next();
  t.equal(textOf(due), 'later');
  t.ok(Number(server.cli('ZSCORE', 'unacked_index', String(due.tag))) >= beforeSeconds, 'nobody can take it for its age');
  t.equal(await inbox.subscription.ack(due), 'done');
});
