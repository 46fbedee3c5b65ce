/** How much is given back in one look for what was held too long, and who else may look meanwhile. What is given back, and where to: redis-recovery.test.ts. */
import t from 'tap';
import { RecordingLog } from '../../driver/recording-log.ts';
import { monitor } from '../../redis-monitor.ts';
import { RedisServer } from '../../redis-server.ts';
import { openInbox } from '../inbox.ts';
import { redisBroker } from './redis-place.ts';

t.test('a look gives back so many, alone for so long', async (t) => {
  const server = await RedisServer.start(t);
  const now = Number(server.cli('TIME').split('\n')[0]);
  for (const id of ['one', 'two', 'three']) {
    const properties = { delivery_info: { exchange: '', routing_key: 'jobs' }, priority: 0, body_encoding: 'base64', delivery_tag: id };
    const envelope = { body: 'e30=', 'content-type': 'application/json', 'content-encoding': 'utf-8', headers: { id }, properties };
    server.cli('HSET', 'unacked', id, JSON.stringify([envelope, '', 'jobs']));
    server.cli('ZADD', 'unacked_index', String(now - 60), id);
  }
  const told = await monitor(t, server);
  const log = new RecordingLog();
  const limits = { unackedRestoreLimit: 2, unackedMutexExpireMs: 7654 };
  const broker = redisBroker(server.url(), { log, broker: { visibilityTimeoutMs: 5000, sweepIntervalMs: 300, ...limits } });
  t.teardown(() => broker.stop());
  await broker.start();
  const { deliveries } = await openInbox(broker, ['jobs'], 3);
  await deliveries.take(3);
  const said = log.lines.filter(({ event }) => event === 'broker.restored').map(({ message }) => /^Restored \d+/.exec(message)?.[0]);
  t.equal(said[0], 'Restored 2');
  const lines = await told.until((line) => /"SET" "unacked_mutex"/i.test(line));
  t.match(lines.at(-1), /"PX" "7654"$/);
});
