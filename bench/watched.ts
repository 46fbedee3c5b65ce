/**
 * What it costs to be watched: throughput with events of tasks and a probe that reads the metrics every second, beside the same worker without, and
 * with a monitor that hears every event, which works on the same processors. In rounds, because the machine has other load; the best of each counts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
  readonly monitoredPerSecond: number;
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
  let monitoredPerSecond = 0;
  const watch = ['-E'];
  const env = { UMBEL_WORKER_HEALTH_LISTEN: socket };
  for (let round = 0; round < rounds; round += 1) {
    withoutPerSecond = Math.max(withoutPerSecond, await workOff({ ...base, name: `unwatched-${round}` }));
    const probe = setInterval(() => read(socket), everyMs);
    watchedPerSecond = Math.max(watchedPerSecond, await workOff({ ...base, name: `watched-${round}`, more: watch, env }));
    const name = `monitored-${round}`;
    const monitored = await workOff({ ...base, name, more: watch, env, beside: (url) => monitor(umbel, url) });
    monitoredPerSecond = Math.max(monitoredPerSecond, monitored);
    clearInterval(probe);
  }
  return { withoutPerSecond, watchedPerSecond, monitoredPerSecond };
}

/** `umbel events --dump`, listening. Returns how to end it. */
async function monitor(umbel: string, url: string): Promise<() => Promise<void>> {
  const child = spawn(umbel, ['events', '--dump', '-b', url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => {
      throw new Error('the monitor ended before it listened');
    }),
  ]);
  child.stdout.resume();
  return async () => {
    child.kill('SIGTERM');
    await ended;
  };
}

function read(socketPath: string): void {
  get({ socketPath, path: '/metrics' }, (response) => response.resume()).on('error', () => {});
}
