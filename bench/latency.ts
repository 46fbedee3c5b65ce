/** Publish to start on an idle worker: one task at a time, at irregular moments, timed with the clock all processes share. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { App, taskHandle } from '../src/client/umbel.ts';
import { quantile } from './quantile.ts';
import { startWorker } from './start-worker.ts';

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function measureLatency(umbel: string, folder: string, samples: number): Promise<Latency> {
  const url = `sqlite:///${join(folder, 'latency.db')}`;
  const worker = startWorker(umbel, folder, url, 2);
  await worker.ready;
  const app = new App({ broker: url });
  await app.start();
  const startedAt = taskHandle<[], string>('noop.startedAt');
  const times: number[] = [];
  try {
    for (let sample = -5; sample < samples; sample += 1) {
      // Irregular, so that no poll of anybody's could happen to be in step.
      await delay(10 + Math.random() * 40);
      const sentAtNs = process.hrtime.bigint();
      const result = await startedAt.delay();
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
