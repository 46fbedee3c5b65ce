/**
 * delay() → get() of a Python client, on an idle umbel worker, an idle Python worker and a bare loop that only answers, each with a place of its own, in turns.
 *
 * In several rounds, of which each of the three has its shortest: what else a shared machine does lengthens the tail of all alike, and moves the ratio
 * towards 1 whatever the workers do. The ratio over all rounds stands beside it. The bare loop is what client and server take.
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

/** In milliseconds. */
interface Figure {
  /** The least that it was in one of the rounds. */
  readonly shortest: number;
  readonly all: number;
}

interface RoundTrip {
  readonly p50: Figure;
  readonly p99: Figure;
}

/** Of each; the first waits for the worker to be up. */
const warmUp = 300;
/** What else the machine does falls on some of them only; and a p99 with ten values beyond it is a matter of chance. */
const rounds = 10;
/** Of each in a round. */
const samples = 1000;
const target = 0.8;

async function roundTrips(program: UmbelProgram, places: RoundTripPlaces): Promise<Record<keyof RoundTripPlaces, RoundTrip>> {
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
    return { umbel: figures(umbel), celery: figures(celery), bare: figures(bare) };
  } finally {
    for (const worker of workers) await worker.stop();
  }
}

/** Rows of the table; `what` stands before them. */
export async function roundTripRows(what: string, ...args: Parameters<typeof roundTrips>): Promise<Row[]> {
  const { umbel, celery, bare } = await roundTrips(...args);
  const rows = (name: string, own: Figure, peer: Figure, least: Figure): Row[] => [
    {
      what: `${what}, delay() to get() of Python, idle, ${name}`,
      measured: ms(own.shortest),
      reference: `${ofCelerys(own, peer)}, ${ms(peer.shortest)}`,
      target: `<= ${target}`,
      met: own.shortest <= target * peer.shortest,
    },
    {
      what: '  a bare loop that only answers',
      measured: ms(least.shortest),
      reference: ofCelerys(least, peer),
      target: '',
      met: null,
    },
  ];
  return [...rows('p50', umbel.p50, celery.p50, bare.p50), ...rows('p99', umbel.p99, celery.p99, bare.p99)];
}

function ofCelerys(own: Figure, peer: Figure): string {
  return `${(own.shortest / peer.shortest).toFixed(2)} (of all rounds ${(own.all / peer.all).toFixed(2)}) of Celery's`;
}

function bareAnswers({ folder }: UmbelProgram, { url }: RoundTripPlace): WorkerProcess {
  return new WorkerProcess({ command: process.execPath, args: [join(peerFolder, 'bare-answers.ts'), url], cwd: folder, isReady: null });
}

/** Of the seconds of all samples, warm-up first. */
function figures(seconds: readonly number[]): RoundTrip {
  const counted = seconds.slice(warmUp);
  const each = Array.from({ length: rounds }, (_, round) => counted.slice(round * samples, (round + 1) * samples));
  const figure = (q: number): Figure => ({
    shortest: 1000 * Math.min(...each.map((round) => quantile(round, q))),
    all: 1000 * quantile(counted, q),
  });
  return { p50: figure(0.5), p99: figure(0.99) };
}
