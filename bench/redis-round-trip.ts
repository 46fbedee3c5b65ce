/** delay() → get() of a Python client, on an idle umbel worker and on an idle Python worker, each on a database of its own, in turns. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { quantile } from './quantile.ts';
import { peerFolder, python } from './redis-messages.ts';
import { celeryWorker, type RedisBench, umbelWorker } from './redis-throughput.ts';

export interface RoundTrip {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Of each; the first waits for the worker to be up. */
const warmUp = 300;

export async function roundTrips(bench: RedisBench, samples: number): Promise<{ umbel: RoundTrip; celery: RoundTrip }> {
  const { place } = bench;
  await place.client.flushall();
  const workers = [umbelWorker(bench, place.url(0), true, null), celeryWorker(place.url(1), true, null)];
  try {
    const env = { ...process.env, UMBEL_BENCH_BROKER: place.url(0), PYTHONDONTWRITEBYTECODE: '1' };
    const args = [join(peerFolder, 'redis_peer.py'), 'round-trip', String(warmUp + samples), place.url(0), place.url(1)];
    const { stdout } = await promisify(execFile)(python, args, { env, maxBuffer: 64 * 1024 * 1024 });
    const [umbel = [], celery = []] = JSON.parse(stdout) as number[][];
    return { umbel: summary(umbel.slice(warmUp)), celery: summary(celery.slice(warmUp)) };
  } finally {
    for (const worker of workers) await worker.stop();
  }
}

function summary(seconds: readonly number[]): RoundTrip {
  return { p50Ms: quantile(seconds, 0.5) * 1000, p99Ms: quantile(seconds, 0.99) * 1000 };
}
