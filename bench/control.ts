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

export async function measureControl({ umbel, folder, tasks }: ControlParams): Promise<Row[]> {
  const teardowns: (() => unknown)[] = [];
  const owner = { teardown: (handler: () => unknown) => void teardowns.unshift(handler) };
  const rows: Row[] = [];
  const ping = async (name: string, url: string): Promise<void> => {
    say(`${name}: ping under full load …`);
    const row = await measureControlLatency({ umbel, folder, name, url, backlog: 2 * tasks, samples });
    say(`  ${row.measured}, ${row.reference}`);
    rows.push(row);
  };
  try {
    await ping('embedded', `sqlite:///${join(folder, 'control.db')}`);
    await ping('Redis', (await RedisServer.start(owner)).url());
    await ping('RabbitMQ', (await RabbitmqServer.start(owner)).url());
  } finally {
    for (const teardown of teardowns) await teardown();
  }
  say('throughput with and without events and metrics …');
  const { withoutPerSecond, watchedPerSecond } = await measureWatched({ umbel, folder, tasks, rounds: 3 });
  rows.push({
    what: 'no-op tasks, events (-E) and metrics on',
    measured: rate(watchedPerSecond),
    reference: `${(watchedPerSecond / withoutPerSecond).toFixed(2)} of ${rate(withoutPerSecond)} without`,
    target: '>= 0.95',
    met: watchedPerSecond >= 0.95 * withoutPerSecond,
  });
  return rows;
}
