/**
 * Throughput on Redis of umbel and its peers, one after the other on the same server: a queue filled beforehand, worked off by one
 * worker, from the start of the first task to the moment when nothing is left. Then the check for exact delivery.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { WorkerProcess } from '../scripts/worker-process.ts';
import { checkRecords } from './delivery-records.ts';
import { celeryWorker, type Marks, peerFolder, type UmbelProgram, umbelWorker } from './noop-workers.ts';
import type { MessageMould } from './redis-messages.ts';
import { type Cost, costBetween, type RedisPlace } from './redis-place.ts';
import { recordsFolder, workOff } from './work-off.ts';

export interface Run {
  readonly perSecond: number;
  readonly tasks: number;
  readonly cost: Cost;
}

export interface RedisBench extends UmbelProgram {
  readonly place: RedisPlace;
  readonly mould: MessageMould;
}

function bullmqWorker({ place, folder }: RedisBench, mode: string, { records, tasks }: Marks): WorkerProcess {
  return new WorkerProcess({
    command: process.execPath,
    args: [join(peerFolder, 'bullmq-worker.ts'), String(place.server.port), mode],
    cwd: folder,
    env: { UMBEL_BENCH_RECORDS: records, UMBEL_BENCH_TASKS: String(tasks) },
    isReady: null,
  });
}

/** What may be left of messages in Celery's layout. */
async function celeryLeft({ client }: RedisPlace): Promise<number> {
  const [waiting, held] = await Promise.all([client.llen('celery'), client.hlen('unacked')]);
  return waiting + held;
}

async function bullmqLeft({ client }: RedisPlace): Promise<number> {
  const [waiting, active] = await Promise.all([client.llen('bull:bench:wait'), client.llen('bull:bench:active')]);
  return waiting + active;
}

export async function celeryFormat(bench: RedisBench, peer: 'umbel' | 'celery', tasks: number, results: boolean): Promise<Run> {
  const { place, mould } = bench;
  await place.client.flushall();
  await mould.fill(place.client, 'celery', 0, tasks);
  const worked = await run(bench, tasks, celeryLeft, (marks) => {
    const params = { url: place.url(), backend: results ? place.url() : null, marks };
    return peer === 'umbel' ? umbelWorker(bench, params) : celeryWorker(params);
  });
  if (results) {
    let stored = 0;
    for await (const keys of place.client.scanStream({ match: 'celery-task-meta-*', count: 5000 })) stored += (keys as string[]).length;
    if (stored !== tasks) throw new Error(`every task must have one result, got ${stored} for ${tasks} tasks (${peer})`);
  }
  return worked;
}

export async function bullmq(bench: RedisBench, mode: 'in-process' | 'sandboxed', tasks: number): Promise<Run> {
  const { place } = bench;
  await place.client.flushall();
  const queue = new Queue('bench', { connection: { host: place.server.host, port: place.server.port } });
  for (let from = 0; from < tasks; from += 1000) {
    const numbers = Array.from({ length: Math.min(1000, tasks - from) }, (_, at) => from + at);
    await queue.addBulk(numbers.map((number) => ({ name: 'noop', data: { number }, opts: { removeOnComplete: true } })));
  }
  await queue.close();
  return run(bench, tasks, bullmqLeft, (marks) => bullmqWorker(bench, mode, marks));
}

async function run(
  { folder, place }: RedisBench,
  tasks: number,
  left: (place: RedisPlace) => Promise<number>,
  start: (marks: Marks) => WorkerProcess,
): Promise<Run> {
  const cost = (pid: number): Promise<Cost> => place.cost(pid);
  const { firstAtNs, emptyAtNs, before, after } = await workOff({ folder, tasks, left: () => left(place), cost, start });
  return { perSecond: tasks / (Number(emptyAtNs - firstAtNs) / 1e9), tasks, cost: costBetween(before, after) };
}

/** Rates of a worker that has warmed up: with `small` messages in the queue, again and again, and with `large`. */
export async function backlog(bench: RedisBench, small: number, large: number): Promise<{ small: number; large: number }> {
  const { place, mould, folder } = bench;
  const { client } = place;
  await client.flushall();
  const rounds = Math.max(1, Math.round(Math.min(large, 200_000) / small));
  const lists = Array.from({ length: rounds }, (_, round) => ({ list: `prepared-${round}`, size: small }));
  const all = [...lists, { list: 'prepared-large', size: large }];
  let tasks = 0;
  for (const { list, size } of [{ list: 'celery', size: 2 * small }, ...all]) {
    await mould.fill(client, list, tasks, size);
    tasks += size;
  }
  const records = recordsFolder(folder);
  const worker = umbelWorker(bench, { url: place.url(), backend: null, marks: { records, tasks } });
  const empty = async (): Promise<void> => {
    while ((await celeryLeft(place)) > 0) await delay(2);
  };
  await empty();
  const seconds: number[] = [];
  for (const { list } of all) {
    const startedAtMs = performance.now();
    await client.rename(list, 'celery');
    await empty();
    seconds.push((performance.now() - startedAtMs) / 1000);
  }
  const exit = await worker.stop();
  if (exit.code !== 0) throw new Error(`the worker must end with status 0, got ${exit.signal ?? exit.code}`);
  checkRecords(records, tasks);
  const largeSeconds = seconds.pop() ?? Number.NaN;
  return { small: (rounds * small) / seconds.reduce((sum, one) => sum + one, 0), large: large / largeSeconds };
}
