/** The RabbitMQ part of `make bench`: umbel beside Python Celery and amqplib alone, all on one private server. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AmqpMould } from './amqp-messages.ts';
import { AmqpBenchPlace, queue } from './amqp-place.ts';
import { type CpuCost, cpuBetween, cpuCost, cpuSeconds, describeCpu } from './cpu-cost.ts';
import { celeryWorker, peerFolder, type UmbelProgram, umbelWorker } from './noop-workers.ts';
import { quantile } from './quantile.ts';
import { roundTripRows } from './round-trip.ts';
import { count, type Row, rate, say } from './table.ts';
import { workOff } from './work-off.ts';

export interface AmqpBenchParams extends UmbelProgram {
  readonly tasks: number;
}

interface Bench extends AmqpBenchParams {
  readonly place: AmqpBenchPlace;
  readonly mould: AmqpMould;
}

interface Run {
  readonly perSecond: number;
  readonly tasks: number;
  readonly cost: CpuCost;
}

/** The machine may be somebody else's at times: of so many runs in turns the middle one counts. */
const rounds = 5;
/** They take seconds each, and one differs from the next by a tenth. */
const publishRounds = 9;
/** After this nothing is left of what a worker held when the queue was empty. */
const settleMs = 200;
/** A round trip. */
const farMs = 10;
/** Of round trips: one for each worker, with no history. */
const vhosts = { umbel: 'umbel', celery: 'celery', bare: 'bare' };

export async function measureAmqp(params: AmqpBenchParams): Promise<Row[]> {
  say('RabbitMQ: a server …');
  const rows = await inPlace(async (place) => {
    const bench: Bench = { ...params, place, mould: await AmqpMould.take(place) };
    return [...(await throughputRows(bench)), ...(await farRows(bench)), ...(await publishRows(bench))];
  });
  say('RabbitMQ: round trips …');
  // On another server: a million messages have gone through this one.
  return [...rows, ...(await inPlace((place) => idleRows(params, place)))];
}

async function inPlace(measure: (place: AmqpBenchPlace) => Promise<Row[]>): Promise<Row[]> {
  const place = await AmqpBenchPlace.open();
  try {
    return await measure(place);
  } finally {
    await place.close();
  }
}

async function idleRows(params: AmqpBenchParams, { server }: AmqpBenchPlace): Promise<Row[]> {
  for (const vhost of Object.values(vhosts)) await server.control.addVhost(vhost);
  const at = (vhost: string): { url: string; backend: string } => ({ url: server.url(vhost), backend: 'rpc://' });
  return roundTripRows('RabbitMQ', params, { umbel: at(vhosts.umbel), celery: at(vhosts.celery), bare: at(vhosts.bare) });
}

async function throughputRows(bench: Bench): Promise<Row[]> {
  const { tasks } = bench;
  const runs = { umbel: [] as Run[], each: [] as Run[], batch: [] as Run[] };
  for (let round = 1; round <= rounds; round += 1) {
    say(`RabbitMQ: umbel and amqplib, ${count(tasks)} tasks, ${round} of ${rounds} …`);
    const turns = [
      async () => runs.umbel.push(await worker(bench, 'umbel', tasks)),
      async () => runs.each.push(await rawConsumer(bench, 'each')),
      async () => runs.batch.push(await rawConsumer(bench, 'batch')),
    ];
    await inTurn(round, turns);
  }
  const few = Math.max(1, Math.round(tasks / 12));
  say(`RabbitMQ: Celery, ${count(few)} tasks …`);
  const celery = await worker(bench, 'celery', few);
  const umbel = middle(runs.umbel);
  const against = (what: string, peer: Run, factor: number | null): Row => ({
    what: `  against ${what}`,
    measured: `${(umbel.perSecond / peer.perSecond).toFixed(2)} x`,
    reference: `${rate(peer.perSecond)}; ${describe(peer)}`,
    target: factor === null ? '' : `>= ${factor} x`,
    met: factor === null ? null : umbel.perSecond >= factor * peer.perSecond,
  });
  return [
    { what: 'RabbitMQ, no-op tasks, results off', measured: rate(umbel.perSecond), reference: describe(umbel), target: '', met: null },
    against('Celery -c 2', celery, 4),
    against('amqplib, each acknowledged', middle(runs.each), 0.9),
    against('amqplib, acknowledged in batches', middle(runs.batch), null),
  ];
}

/** There and back, so that none always comes after the same other. */
async function inTurn(round: number, turns: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const turn of round % 2 === 1 ? turns : turns.toReversed()) await turn();
}

/** As in another data centre: what one holds decides, and a multiplier of 4 holds 8. */
async function farRows(bench: Bench): Promise<Row[]> {
  const tasks = Math.max(1, Math.round(bench.tasks / 5));
  say(`RabbitMQ ${farMs} ms away: umbel, ${count(tasks)} tasks, and Celery, a tenth of them …`);
  const url = await bench.place.farUrl(farMs);
  const umbel = await worker(bench, 'umbel', tasks, url);
  const celery = await worker(bench, 'celery', Math.max(1, Math.round(tasks / 10)), url);
  return [
    {
      what: `RabbitMQ ${farMs} ms away, no-op tasks, results off`,
      measured: rate(umbel.perSecond),
      reference: describe(umbel),
      target: '',
      met: null,
    },
    {
      what: '  against Celery -c 2',
      measured: `${(umbel.perSecond / celery.perSecond).toFixed(2)} x`,
      reference: `${rate(celery.perSecond)}; ${describe(celery)}`,
      target: '>= 4 x',
      met: umbel.perSecond >= 4 * celery.perSecond,
    },
  ];
}

async function publishRows(bench: Bench): Promise<Row[]> {
  const tasks = Math.max(1, Math.round(bench.tasks / 2));
  say(`RabbitMQ: publishing, ${count(tasks)} messages …`);
  const runs = { umbel: [] as Run[], raw: [] as Run[] };
  for (let round = 1; round <= publishRounds; round += 1) {
    await inTurn(round, [
      async () => runs.umbel.push(await publish(bench, 'umbel', tasks)),
      async () => runs.raw.push(await publish(bench, 'raw', tasks)),
    ]);
  }
  const umbel = middle(runs.umbel);
  const raw = middle(runs.raw);
  return [
    { what: 'RabbitMQ, publish with confirms', measured: rate(umbel.perSecond), reference: describe(umbel), target: '', met: null },
    {
      what: '  against amqplib',
      measured: `${(umbel.perSecond / raw.perSecond).toFixed(2)} x`,
      reference: `${rate(raw.perSecond)}; ${describe(raw)}`,
      target: '>= 0.9 x',
      met: umbel.perSecond >= 0.9 * raw.perSecond,
    },
  ];
}

async function worker(bench: Bench, peer: 'umbel' | 'celery', tasks: number, url = bench.place.server.url()): Promise<Run> {
  const { place, folder } = bench;
  await bench.mould.fill(place, tasks);
  const left = (): Promise<number> => place.ready();
  const cost = (pid: number): CpuCost => cpuCost(pid, place.server.pid);
  const start = (marks: { records: string; tasks: number }): ReturnType<typeof celeryWorker> =>
    peer === 'umbel' ? umbelWorker(bench, { url, backend: null, marks }) : celeryWorker({ url, backend: null, marks });
  const { firstAtNs, lastAtNs, before, after } = await workOff({ folder, tasks, left, cost, start }, settleMs);
  await place.mustBeEmpty(peer);
  return { perSecond: tasks / (Number(lastAtNs - firstAtNs) / 1e9), tasks, cost: cpuBetween(before, after) };
}

async function rawConsumer({ place, mould, tasks }: Bench, mode: 'each' | 'batch'): Promise<Run> {
  await mould.fill(place, tasks);
  const run = await program(place, tasks, 'amqp-raw-consumer.ts', [place.server.url(), queue, String(tasks), mode]);
  await place.mustBeEmpty(`amqplib, ${mode}`);
  return run;
}

async function publish({ place }: Bench, mode: 'umbel' | 'raw', tasks: number): Promise<Run> {
  await place.empty();
  const run = await program(place, tasks, 'amqp-publisher.ts', [place.server.url(), String(tasks), mode]);
  const there = await place.ready();
  if (there !== run.published) throw new Error(`the queue must have ${run.published} messages, got ${there} (${mode})`);
  await place.empty();
  return run;
}

/** A program that measures itself. */
async function program(place: AmqpBenchPlace, tasks: number, file: string, args: string[]): Promise<Run & { published: number }> {
  const serverBefore = cpuSeconds(place.server.pid);
  const { stdout } = await promisify(execFile)(process.execPath, [join(peerFolder, file), ...args]);
  const serverSeconds = cpuSeconds(place.server.pid) - serverBefore;
  const { seconds, cpuMicros, published = tasks } = JSON.parse(stdout) as { seconds: number; cpuMicros: number; published?: number };
  // What the warm-up has cost the server is not told apart.
  const cost = { parentSeconds: cpuMicros / 1e6, childrenSeconds: 0, serverSeconds: (serverSeconds * tasks) / published };
  return { perSecond: tasks / seconds, tasks, published, cost };
}

function describe({ cost, tasks }: Run): string {
  return describeCpu(cost, tasks, 'RabbitMQ');
}

function middle(runs: readonly Run[]): Run {
  const rates = runs.map(({ perSecond }) => perSecond);
  const found = runs.find(({ perSecond }) => perSecond === quantile(rates, 0.5));
  if (found === undefined) throw new Error('there must be a run');
  return found;
}
