/**
 * What sending short tasks ahead costs and gives: the default beside `-O fair`, with four children on the embedded broker.
 *
 * Mixed load: 95 % tasks of 10 ms and 5 % of 10 s, of one type, at moments that are drawn once; both workers get the same tasks at the same moments, so
 * that what else the machine does falls on both. Short load: tasks that do nothing, worked off in turns.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { App } from '../src/client/umbel.ts';
import type { AsyncResult } from '../src/task/async-result.ts';
import { quantile } from './quantile.ts';
import { startWorker } from './start-worker.ts';
import { ms, type Row, rate } from './table.ts';
import { fill, type ThroughputParams, workOff } from './throughput.ts';

const children = 4;
const mixedTasks = 300;
/** Of one arrival; the four children are busy for two thirds of the time. */
const meanGapMs = 200;
const shortMs = 10;
const longMs = 10_000;
const longEvery = 20;
/** Of the short load, of each kind, in turns; the best counts. */
const rounds = 3;
const mostDelay = 1.1;
const leastRate = 2;

/** The same numbers in every run: from 0 to 1 (mulberry32). */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The p99 of the start delay of short tasks, in milliseconds, with the default and with `-O fair`. */
async function measureMixed(umbel: string, folder: string): Promise<{ adaptive: number; fair: number }> {
  const sides = await Promise.all(['default', 'fair'].map((profile) => openSide(umbel, folder, profile)));
  const draw = draws(1);
  try {
    for (let number = 0; number < mixedTasks; number += 1) {
      await delay(-Math.log(1 - draw()) * meanGapMs);
      // Where in each twenty the long one comes is drawn, too; none at the start, so that the pace of the type is known as short first.
      const isLong = number >= longEvery && number % longEvery === Math.floor(draws(Math.floor(number / longEvery))() * longEvery);
      await Promise.all(sides.map((side) => side.send(isLong ? longMs : shortMs)));
    }
    const [adaptive = [], fair = []] = await Promise.all(sides.map((side) => side.delays()));
    return { adaptive: quantile(adaptive, 0.99), fair: quantile(fair, 0.99) };
  } finally {
    await Promise.all(sides.map((side) => side.close()));
  }
}

async function openSide(umbel: string, folder: string, profile: string) {
  const url = `sqlite:///${join(folder, `mixed-${profile}.db`)}`;
  const worker = startWorker(umbel, folder, url, children, ['-O', profile], 'mixed.ts');
  await worker.ready;
  const app = new App({ broker: url, backend: url });
  await app.start();
  const sent: { readonly atNs: bigint; readonly result: AsyncResult<string> }[] = [];
  return {
    send: async (durationMs: number): Promise<void> => {
      const atNs = process.hrtime.bigint();
      const result = await app.call<string>({ task: 'mixed.wait', args: [durationMs], kwargs: {}, options: {} });
      if (durationMs === shortMs) sent.push({ atNs, result });
    },
    /** Of the short ones. */
    delays: (): Promise<number[]> =>
      Promise.all(sent.map(async ({ atNs, result }) => Number(BigInt(await result.get({ timeoutMs: 120_000 })) - atNs) / 1e6)),
    close: async (): Promise<void> => {
      await app.stop();
      await worker.stop();
    },
  };
}

/** Tasks that do nothing, per second. */
async function measureShort(params: ThroughputParams): Promise<{ adaptive: number; fair: number }> {
  const filled = join(params.folder, 'dispatch-filled.db');
  await fill(filled, params.tasks);
  const best = { adaptive: 0, fair: 0 };
  for (let round = 0; round < rounds; round += 1) {
    for (const [key, profile] of [['adaptive', 'default'] as const, ['fair', 'fair'] as const]) {
      const name = `dispatch-${profile}-${round}`;
      best[key] = Math.max(best[key], await workOff({ ...params, filled, name, results: false, children, more: ['-O', profile] }));
    }
  }
  return best;
}

export async function measureDispatch(params: ThroughputParams): Promise<Row[]> {
  const mixed = await measureMixed(params.umbel, params.folder);
  const short = await measureShort(params);
  return [
    {
      what: 'mixed load, start delay of short tasks, p99',
      measured: ms(mixed.adaptive),
      reference: `${(mixed.adaptive / mixed.fair).toFixed(2)} of -O fair ${ms(mixed.fair)}`,
      target: `<= ${mostDelay}`,
      met: mixed.adaptive <= mostDelay * mixed.fair,
    },
    {
      what: 'no-op tasks, 4 children',
      measured: rate(short.adaptive),
      reference: `${(short.adaptive / short.fair).toFixed(2)} of -O fair ${rate(short.fair)}`,
      target: `>= ${leastRate}`,
      met: short.adaptive >= leastRate * short.fair,
    },
  ];
}
