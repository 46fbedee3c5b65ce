/**
 * What it costs to be watched: throughput with events of tasks and a probe that reads the metrics every second, beside the same worker without. In
 * rounds, because the machine has other load; the best of each counts.
 */
import { get } from 'node:http';
import { join } from 'node:path';
import { fill, workOff } from './throughput.ts';

export interface WatchedParams {
  readonly umbel: string;
  readonly folder: string;
  readonly tasks: number;
  readonly rounds: number;
}

export interface Watched {
  readonly withoutPerSecond: number;
  readonly watchedPerSecond: number;
}

const everyMs = 1000;

/** Tasks per second on the embedded broker, results off. */
export async function measureWatched({ umbel, folder, tasks, rounds }: WatchedParams): Promise<Watched> {
  const filled = join(folder, 'watched-filled.db');
  await fill(filled, tasks);
  const base = { umbel, folder, tasks, filled, results: false };
  const socket = join(folder, 'health.sock');
  let withoutPerSecond = 0;
  let watchedPerSecond = 0;
  for (let round = 0; round < rounds; round += 1) {
    withoutPerSecond = Math.max(withoutPerSecond, await workOff({ ...base, name: `unwatched-${round}` }));
    const probe = setInterval(() => read(socket), everyMs);
    const env = { UMBEL_WORKER_HEALTH_LISTEN: socket };
    watchedPerSecond = Math.max(watchedPerSecond, await workOff({ ...base, name: `watched-${round}`, more: ['-E'], env }));
    clearInterval(probe);
  }
  return { withoutPerSecond, watchedPerSecond };
}

function read(socketPath: string): void {
  get({ socketPath, path: '/metrics' }, (response) => response.resume()).on('error', () => {});
}
