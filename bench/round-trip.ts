/**
 * delay() → get() of a Python client, on an idle umbel worker, an idle Python worker and a bare loop that only answers, each with a place of its own, in turns.
 *
 * In several rounds, of which each of the three has its shortest: what else a shared machine does lengthens the tail of all alike, and moves the ratio
 * towards 1 whatever the workers do. The bare loop is what client and server take; the ratio cannot be better than its.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WorkerProcess } from '../scripts/worker-process.ts';
import { celeryWorker, peerFolder, python, type UmbelProgram, umbelWorker } from './noop-workers.ts';
import { quantile } from './quantile.ts';
import { ms, type Row } from './table.ts';

export interface RoundTripPlace {
  readonly url: string;
  readonly backend: string;
}

export interface RoundTripPlaces {
  readonly umbel: RoundTripPlace;
  readonly celery: RoundTripPlace;
  readonly bare: RoundTripPlace;
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
  places: RoundTripPlaces,
  samples: number,
): Promise<Record<keyof RoundTripPlaces, RoundTrip>> {
  const workers = [
    umbelWorker(program, { ...places.umbel, marks: null }),
    celeryWorker({ ...places.celery, marks: null }),
    bareAnswers(program, places.bare),
  ];
  try {
    const env = { ...process.env, UMBEL_BENCH_BROKER: places.umbel.url, PYTHONDONTWRITEBYTECODE: '1' };
    const each = [places.umbel, places.celery, places.bare].flatMap(({ url, backend }) => [url, backend]);
    const args = [join(peerFolder, 'noop_peer.py'), 'round-trip', String(warmUp + rounds * samples), ...each];
    const { stdout } = await promisify(execFile)(python, args, { env, maxBuffer: 64 * 1024 * 1024 });
    const [umbel = [], celery = [], bare = []] = JSON.parse(stdout) as number[][];
    return { umbel: shortest(umbel, samples), celery: shortest(celery, samples), bare: shortest(bare, samples) };
  } finally {
    for (const worker of workers) await worker.stop();
  }
}

/** Rows of the table; `what` stands before them. */
export async function roundTripRows(what: string, ...args: Parameters<typeof roundTrips>): Promise<Row[]> {
  const { umbel, celery, bare } = await roundTrips(...args);
  const rows = (name: string, own: number, peer: number, least: number): Row[] => [
    {
      what: `${what}, delay() to get() of Python, idle, ${name}`,
      measured: ms(own),
      reference: `${(own / peer).toFixed(2)} of Celery's ${ms(peer)}`,
      target: `<= ${target}`,
      met: own <= target * peer,
    },
    {
      what: '  a bare loop that only answers',
      measured: ms(least),
      reference: `${(least / peer).toFixed(2)} of Celery's`,
      target: '',
      met: null,
    },
  ];
  return [...rows('p50', umbel.p50Ms, celery.p50Ms, bare.p50Ms), ...rows('p99', umbel.p99Ms, celery.p99Ms, bare.p99Ms)];
}

function bareAnswers({ folder }: UmbelProgram, { url }: RoundTripPlace): WorkerProcess {
  return new WorkerProcess({ command: process.execPath, args: [join(peerFolder, 'bare-answers.ts'), url], cwd: folder, isReady: null });
}

/** Seconds of all samples, warm-up first; the least that each of the figures was in one of the rounds. */
function shortest(seconds: readonly number[], samples: number): RoundTrip {
  const least = (q: number): number =>
    1000 *
    Math.min(
      ...Array.from({ length: rounds }, (_, round) => quantile(seconds.slice(warmUp + round * samples, warmUp + (round + 1) * samples), q)),
    );
  return { p50Ms: least(0.5), p99Ms: least(0.99) };
}
