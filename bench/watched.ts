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
  const env = { UMBEL_WORKER_HEALTH_LISTEN: socket };
  const watched = { ...base, more: ['-E'], env };
  const ways = [
    { what: 'unwatched', params: base },
    { what: 'watched', params: watched },
    { what: 'monitored', params: { ...watched, beside: (url: string) => monitor(umbel, url) } },
  ];
  const best = new Map<string, number>();
  for (let round = 0; round < rounds; round += 1) {
    // There and back: whoever comes first, after a pause, is a few hundredths faster.
    for (const { what, params } of round % 2 === 0 ? ways : ways.toReversed()) {
      const probe = params === base ? undefined : setInterval(() => read(socket), everyMs);
      const perSecond = await workOff({ ...params, name: `${what}-${round}` });
      clearInterval(probe);
      best.set(what, Math.max(best.get(what) ?? 0, perSecond));
    }
  }
  const [withoutPerSecond = 0, watchedPerSecond = 0, monitoredPerSecond = 0] = ways.map(({ what }) => best.get(what));
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
