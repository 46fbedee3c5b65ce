/**
 * delay() → get() of a Python client, on an idle umbel worker and on an idle Python worker, each with a place of its own, in turns.
 *
 * In several rounds of which the one counts in which the Python worker's tail was the shortest: what else a shared machine does lengthens the
 * tail of both alike, and moves the ratio towards 1 whatever the workers do.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { celeryWorker, peerFolder, python, type UmbelProgram, umbelWorker } from './noop-workers.ts';
import { quantile } from './quantile.ts';
import { ms, type Row } from './table.ts';

export interface RoundTripPlace {
  readonly url: string;
  readonly backend: string;
}

interface RoundTrip {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Of each; the first waits for the worker to be up. */
const warmUp = 300;
/** What else the machine does falls on some of them only. */
const rounds = 5;
const target = 0.8;

async function roundTrips(
  program: UmbelProgram,
  places: { readonly umbel: RoundTripPlace; readonly celery: RoundTripPlace },
  samples: number,
): Promise<{ umbel: RoundTrip; celery: RoundTrip }> {
  const workers = [umbelWorker(program, { ...places.umbel, marks: null }), celeryWorker({ ...places.celery, marks: null })];
  try {
    const env = { ...process.env, UMBEL_BENCH_BROKER: places.umbel.url, PYTHONDONTWRITEBYTECODE: '1' };
    const each = [places.umbel, places.celery].flatMap(({ url, backend }) => [url, backend]);
    const args = [join(peerFolder, 'noop_peer.py'), 'round-trip', String(warmUp + rounds * samples), ...each];
    const { stdout } = await promisify(execFile)(python, args, { env, maxBuffer: 64 * 1024 * 1024 });
    const [umbel = [], celery = []] = JSON.parse(stdout) as number[][];
    const all = Array.from({ length: rounds }, (_, round) => {
      const [from, to] = [warmUp + round * samples, warmUp + (round + 1) * samples];
      return { umbel: summary(umbel.slice(from, to)), celery: summary(celery.slice(from, to)) };
    });
    // The quietest round by the peer's figures, so that the choice favours the peer if anybody.
    return all.reduce((best, round) => (round.celery.p99Ms < best.celery.p99Ms ? round : best));
  } finally {
    for (const worker of workers) await worker.stop();
  }
}

/** Rows of the table; `what` stands before them. */
export async function roundTripRows(what: string, ...args: Parameters<typeof roundTrips>): Promise<Row[]> {
  const { umbel, celery } = await roundTrips(...args);
  const row = (name: string, own: number, peer: number): Row => ({
    what: `${what}, delay() to get() of Python, idle, ${name}`,
    measured: ms(own),
    reference: `${(own / peer).toFixed(2)} of Celery's ${ms(peer)}`,
    target: `<= ${target}`,
    met: own <= target * peer,
  });
  return [row('p50', umbel.p50Ms, celery.p50Ms), row('p99', umbel.p99Ms, celery.p99Ms)];
}

function summary(seconds: readonly number[]): RoundTrip {
  return { p50Ms: quantile(seconds, 0.5) * 1000, p99Ms: quantile(seconds, 0.99) * 1000 };
}
