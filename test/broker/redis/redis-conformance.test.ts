import t from 'tap';
import { RedisServer } from '../../redis-server.ts';
import { brokerConformance } from '../conformance.ts';
import { redisBroker } from './redis-place.ts';

/** Short, so that a dead consumer is found out soon; a living one says so three times as often. */
const broker = { workerLeaseMs: 1500, visibilityTimeoutMs: 60_000 };

t.test('redis', async (t) => {
  const server = await RedisServer.start(t);
  brokerConformance(t, {
    name: 'redis',
    open: async () => ({
      create: async () => redisBroker(server.url(5), { broker }),
      createDoomed: async () => {
        const doomed = redisBroker(server.url(5), { broker });
        await doomed.start();
        return { broker: doomed, crash: async () => doomed.connection.abandon() };
      },
      putGarbage: async (queue) => {
        for (const text of ['', 'not json', '{"body":"x"}', '[]', '{"body":"","properties":{"delivery_tag":"x"}}']) {
          server.cli('-n', '5', 'LPUSH', queue, text);
        }
        return true;
      },
      close: async () => {},
    }),
  });
});
