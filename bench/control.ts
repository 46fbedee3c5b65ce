/** The part `control` of `make bench`: how fast a full worker answers on each broker, and what it costs to watch one. */
import { join } from 'node:path';
import { RabbitmqServer } from '../test/rabbitmq-server.ts';
import { RedisServer } from '../test/redis-server.ts';
import { measureControlLatency } from './control-latency.ts';
import { type Row, rate, say } from './table.ts';
import { measureWatched } from './watched.ts';

export interface ControlParams {
  readonly umbel: string;
  readonly folder: string;
  readonly tasks: number;
}

const samples = 300;
const fewTasks = 2000;

export async function measureControl({ umbel, folder, tasks }: ControlParams): Promise<Row[]> {
  const teardowns: (() => unknown)[] = [];
  const owner = { teardown: (handler: () => unknown) => void teardowns.unshift(handler) };
  const rows: Row[] = [];
  const ping = async (name: string, url: (of: string) => string): Promise<void> => {
    for (const blocked of ['all', 'some'] as const) {
      say(`${name}: ping under full load …`);
      // Where every child is blocked nothing is worked off.
      const backlog = blocked === 'all' ? fewTasks : 4 * tasks;
      const row = await measureControlLatency({ umbel, folder, name, url: url(blocked), blocked, backlog, samples });
      say(`  ${row.measured}, ${row.reference}`);
      rows.push(row);
    }
  };
  try {
    await ping('embedded', (of) => `sqlite:///${join(folder, `control-${of}.db`)}`);
    const redis = await RedisServer.start(owner);
    await ping('Redis', (of) => redis.url(of === 'all' ? 0 : 1));
    const rabbitmq = await RabbitmqServer.start(owner);
    for (const vhost of ['all', 'some']) await rabbitmq.control.addVhost(vhost);
    await ping('RabbitMQ', (of) => rabbitmq.url(of));
  } finally {
    for (const teardown of teardowns) await teardown();
  }
  say('throughput with and without events and metrics …');
  const { withoutPerSecond, watchedPerSecond, monitoredPerSecond } = await measureWatched({ umbel, folder, tasks, rounds: 10 });
  rows.push({
    what: 'no-op tasks, events (-E) and metrics on',
    measured: rate(watchedPerSecond),
    reference: `${(watchedPerSecond / withoutPerSecond).toFixed(2)} of ${rate(withoutPerSecond)} without`,
    target: '>= 0.95',
    met: watchedPerSecond >= 0.95 * withoutPerSecond,
  });
  rows.push({
    what: '  and `umbel events --dump` hears them on the same processors',
    measured: rate(monitoredPerSecond),
    reference: `${(monitoredPerSecond / withoutPerSecond).toFixed(2)}`,
    target: '',
    met: null,
  });
  return rows;
}
