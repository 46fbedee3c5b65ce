/** All ages are judged by the clock of the Redis server, which may be set, or have slept with its machine. */
import t from 'tap';
import { RedisServer } from '../../redis-server.ts';
import { openInbox, textMessage } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

t.test('the clock of the server is set forward: nobody takes what others hold', async (t) => {
  const server = await RedisServer.start(t);
  const options = { broker: { workerLeaseMs: 1500, visibilityTimeoutMs: 60_000, sweepIntervalMs: 200 } };
  const [one, two] = [redisBroker(server.url(), options), redisBroker(server.url(), options)];
  for (const broker of [one, two]) {
    await broker.start();
    t.teardown(() => broker.stop());
  }
  const send = (text: string): Promise<void> => one.publish(textMessage(text), { exchange: '', routingKey: 'celery' });
  await send('runs');
  await send('scheduled');
  const inbox = await openInbox(one, ['celery'], 2);
  const [runs, scheduled] = await inbox.deliveries.take(2);
  await inbox.subscription.defer(scheduled!, Date.now() + 3_600_000);
  // What comes now is for the rival.
  inbox.subscription.setPrefetch(1);
  const rival = await openInbox(two, ['celery'], 1);
  await send('python');
  const python = await rival.deliveries.next();
  // Held by nobody who would renew it.
  server.cli('HSET', 'unacked', 'python', server.cli('HGET', 'unacked', String(python.tag)));
  server.cli('ZADD', 'unacked_index', server.cli('TIME').split('\n')[0] ?? '', 'python');
  t.equal(await rival.subscription.ack(python), 'done');
  // As the server sees it: all that it has been told was two hours ago.
  server.cli(
    'EVAL',
    `for _, key in ipairs(KEYS) do
       for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -7200, member) end
     end`,
    '2',
    '_umbel.workers',
    'unacked_index',
  );
  const came = await rival.deliveries.next();
  t.match(came, { redelivered: true, headers: { id: 'python' } });
  t.strictSame([rival.deliveries.size, inbox.deliveries.size, inbox.lost.size], [0, 0, 0]);
  t.equal(await inbox.subscription.ack(runs!), 'done');
});
