/** delay() → get() of a Python client, on an idle umbel worker and on an idle Python worker, in turns. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { WorkerProcess } from '../scripts/worker-process.ts';
import { quantile } from './quantile.ts';
import { peerFolder, python } from './redis-messages.ts';
import { celeryWorker, type RedisBench, umbelWorker } from './redis-throughput.ts';

export interface RoundTrip {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const warmUp = 50;

export async function roundTrips(bench: RedisBench, samples: number, turns: number): Promise<{ umbel: RoundTrip; celery: RoundTrip }> {
  await bench.place.client.flushall();
  const umbel: number[] = [];
  const celery: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    umbel.push(...(await measure(bench, umbelWorker(bench, true, null, 0), samples)));
    celery.push(...(await measure(bench, celeryWorker(bench, true, null, 0), samples)));
  }
  return { umbel: summary(umbel), celery: summary(celery) };
}

/** The first round trip waits for the worker to be up. */
async function measure({ place }: RedisBench, worker: WorkerProcess, samples: number): Promise<number[]> {
  const env = { ...process.env, UMBEL_BENCH_BROKER: place.url(), UMBEL_BENCH_BACKEND: place.url(), PYTHONDONTWRITEBYTECODE: '1' };
  const args = [join(peerFolder, 'redis_peer.py'), 'round-trip', String(warmUp + samples)];
  const { stdout } = await promisify(execFile)(python, args, { env, maxBuffer: 64 * 1024 * 1024 });
  await worker.stop();
  return (JSON.parse(stdout) as number[]).slice(warmUp).map((seconds) => seconds * 1000);
}

function summary(times: readonly number[]): RoundTrip {
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}
