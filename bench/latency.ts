/** Publish to start on an idle worker: one task at a time, at irregular moments, timed with the clock all processes share. */
import { setTimeout as delay } from 'node:timers/promises';
import { App, taskHandle } from '../src/client/umbel.ts';
import { quantile } from './quantile.ts';
import { startWorker } from './start-worker.ts';

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LatencyParams {
  readonly umbel: string;
  readonly folder: string;
  readonly url: string;
  /** The worker takes from all of them. */
  readonly queues: readonly string[];
  /** Each message has one of these, in turn. */
  readonly priorities: readonly number[];
  readonly samples: number;
}

const inFlight = 1_000;

/** So many tasks that are due tomorrow. */
export async function schedule(url: string, count: number): Promise<void> {
  const app = new App({ broker: url, backend: url });
  await app.start();
  const noop = taskHandle<[number], void>('noop.noop');
  for (let from = 0; from < count; from += inFlight)
    await Promise.all(
      Array.from({ length: Math.min(inFlight, count - from) }, (_, at) => noop.applyAsync({ args: [from + at], countdown: 86_400 })),
    );
  await app.stop();
}

export async function measureLatency({ umbel, folder, url, queues, priorities, samples }: LatencyParams): Promise<Latency> {
  const worker = startWorker(umbel, folder, url, 2, ['-Q', queues.join(',')]);
  await worker.ready;
  const app = new App({ broker: url, backend: url });
  await app.start();
  const startedAt = taskHandle<[], string>('noop.startedAt');
  const times: number[] = [];
  try {
    for (let sample = -20; sample < samples; sample += 1) {
      // Irregular, so that no poll of anybody's could happen to be in step.
      await delay(10 + Math.random() * 40);
      const queue = queues[(sample + 20) % queues.length] ?? '';
      const priority = priorities[Math.floor((sample + 20) / queues.length) % priorities.length] ?? 0;
      const sentAtNs = process.hrtime.bigint();
      const result = await startedAt.applyAsync({ args: [], queue, priority });
      const tookMs = Number(BigInt(await result.get({ timeoutMs: 10_000 })) - sentAtNs) / 1e6;
      // The first ones warm up both sides.
      if (sample >= 0) times.push(tookMs);
    }
  } finally {
    await app.stop();
    await worker.stop();
  }
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}
