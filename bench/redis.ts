/**
 * The Redis part of `make bench`: umbel beside Python Celery, BullMQ and a raw loop, all on one private server.
 *
 * Slow peers get fewer tasks, so that the whole ends in a few minutes. By environment: UMBEL_BENCH_BACKLOG (messages of the large backlog,
 * default 200000; the full measurement is 1000000).
 */

import { measureLatency } from './latency.ts';
import { rawRedisRate } from './raw-redis.ts';
import { MessageMould } from './redis-messages.ts';
import { describeCost, RedisPlace } from './redis-place.ts';
import { backlog, bullmq, celeryFormat, type RedisBench, type Run } from './redis-throughput.ts';
import { roundTripRows } from './round-trip.ts';
import { count, ms, type Row, rate, say } from './table.ts';

export interface RedisParams {
  /** Command line. */
  readonly umbel: readonly string[];
  readonly folder: string;
  readonly tasks: number;
}

const smallBacklog = 10_000;

export async function measureRedis(params: RedisParams): Promise<Row[]> {
  const place = await RedisPlace.open();
  try {
    const mould = await MessageMould.take(place.client, place.url());
    const bench: RedisBench = { ...params, place, mould };
    const throughput = await throughputRows(bench, params.tasks);
    say('Redis: round trips …');
    await place.client.flushall();
    const at = (db: number): { url: string; backend: string } => ({ url: place.url(db), backend: place.url(db) });
    const trips = await roundTripRows('Redis', params, { umbel: at(0), celery: at(1), bare: at(3) });
    const wakeUp = await wakeUpRows(params, place.url(2));
    return [...throughput, ...trips, ...wakeUp, ...(await backlogRows(bench))];
  } finally {
    await place.close();
  }
}

async function throughputRows(bench: RedisBench, tasks: number): Promise<Row[]> {
  const { place, mould } = bench;
  const few = Math.max(1, Math.round(tasks / 12));
  say(`Redis: umbel, ${count(tasks)} tasks …`);
  const without = await celeryFormat(bench, 'umbel', tasks, false);
  const withResults = await celeryFormat(bench, 'umbel', tasks, true);
  say(`Redis: BullMQ, ${count(tasks)} and ${count(few)} tasks …`);
  const inProcess = await bullmq(bench, 'in-process', tasks);
  const sandboxed = await bullmq(bench, 'sandboxed', few);
  say(`Redis: Celery, ${count(few)} tasks …`);
  const celery = await celeryFormat(bench, 'celery', few, false);
  const celeryResults = await celeryFormat(bench, 'celery', few, true);
  await place.client.flushall();
  await mould.fill(place.client, 'celery', 0, tasks);
  const raw = await rawRedisRate(place.client, tasks);
  const own = (what: string, run: Run): Row => ({
    what,
    measured: rate(run.perSecond),
    reference: describeCost(run.cost, run.tasks),
    target: '',
    met: null,
  });
  const against = (what: string, run: Run, peer: Run, factor: number): Row => ({
    what: `  against ${what}`,
    measured: `${(run.perSecond / peer.perSecond).toFixed(2)} x`,
    reference: `${rate(peer.perSecond)}; ${describeCost(peer.cost, peer.tasks)}`,
    target: `>= ${factor} x`,
    met: run.perSecond >= factor * peer.perSecond,
  });
  return [
    own('Redis, no-op tasks, results off', without),
    against('Celery -c 2', without, celery, 20),
    against('BullMQ in-process', without, inProcess, 1.5),
    against('BullMQ sandboxed', without, sandboxed, 6),
    { what: '  against a raw loop', measured: `${(without.perSecond / raw).toFixed(2)} x`, reference: rate(raw), target: '', met: null },
    own('Redis, no-op tasks, results on', withResults),
    against('Celery -c 2', withResults, celeryResults, 15),
  ];
}

/** As many lists as a worker is promised to be woken by: 16 queues with four steps of priority each. */
async function wakeUpRows({ umbel, folder }: RedisParams, url: string): Promise<Row[]> {
  say('Redis: an idle worker on 64 lists …');
  const queues = Array.from({ length: 16 }, (_, at) => `wake${at}`);
  const latency = await measureLatency({ umbel: umbel.join(' '), folder, url, queues, priorities: [0, 3, 6, 9], samples: 512 });
  const row = (name: string, ownMs: number, met: boolean | null): Row => ({
    what: `Redis, publish to start, 16 queues of 4 priorities, idle, ${name}`,
    measured: ms(ownMs),
    reference: '',
    target: met === null ? '' : '<= 5 ms',
    met,
  });
  return [row('p50', latency.p50Ms, null), row('p99', latency.p99Ms, latency.p99Ms <= 5)];
}

async function backlogRows(bench: RedisBench): Promise<Row[]> {
  const size = Number(process.env.UMBEL_BENCH_BACKLOG ?? 200_000);
  if (!Number.isInteger(size) || size < smallBacklog)
    throw new Error(`UMBEL_BENCH_BACKLOG must be an integer from ${smallBacklog}, got ${size}`);
  say(`Redis: a backlog of ${count(size)} …`);
  const { small, large } = await backlog(bench, smallBacklog, size);
  return [
    {
      what: `Redis, backlog of ${count(size)}`,
      measured: rate(large),
      reference: `${(large / small).toFixed(2)} of ${rate(small)} at ${count(smallBacklog)}`,
      target: '>= 0.9',
      met: large >= 0.9 * small,
    },
  ];
}
