/**
 * `make bench`: measures the built executable and prints one table, each row with its reference of the same run and its target.
 *
 * Usage: node bench/run.ts [number of tasks, default 100000] [sqlite | rate-limit | dispatch | limits | redis | rabbitmq | children | control, default all]. Exits 1 when a run was not exact or a target was missed. Nothing is kept but
 * the table: the databases live in a temporary folder.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { measureAmqp } from './amqp.ts';
import { measureChildren } from './children.ts';
import { measureControl } from './control.ts';
import { measureDispatch } from './dispatch.ts';
import { measureLatency, schedule } from './latency.ts';
import { measureRateLimit } from './rate-limit.ts';
import { measureRedis } from './redis.ts';
import { measureCeleryStartup, measureStartup, measureVersion, memoryChildren } from './startup.ts';
import { count, megabytes, ms, printTable, type Row, rate, say } from './table.ts';
import { measureThroughput } from './throughput.ts';
import { measureTimeLimits } from './time-limits.ts';

const scheduledTasks = 100_000;
const umbel = resolve(import.meta.dirname, '../dist/umbel');
const tasks = Number(process.argv[2] ?? 100_000);
if (!Number.isInteger(tasks) || tasks < 1) throw new Error(`the number of tasks must be a positive integer, got ${process.argv[2]}`);

const part = process.argv[3];
const parts = ['sqlite', 'rate-limit', 'dispatch', 'limits', 'redis', 'rabbitmq', 'children', 'control'];
if (part !== undefined && !parts.includes(part)) throw new Error(`the part must be one of ${parts.join(', ')}, got ${part}`);
const wanted = (name: string): boolean => part === undefined || part === name;

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'umbel-bench-')));
async function measureEmbedded(): Promise<Row[]> {
  const rows: Row[] = [];
  say(`throughput, ${count(tasks)} tasks per run …`);
  const throughput = await measureThroughput({ umbel, folder, tasks });
  const { publishPerSecond, rawPerSecond, withoutResultsPerSecond: without, withResultsPerSecond: withResults } = throughput;
  const ratio = (value: number): string => `${(value / rawPerSecond).toFixed(2)} of raw ${rate(rawPerSecond)}`;
  rows.push(
    { what: 'publish, one client', measured: rate(publishPerSecond), reference: ratio(publishPerSecond), target: '', met: null },
    {
      what: 'no-op tasks, results off',
      measured: rate(without),
      reference: ratio(without),
      target: '>= 0.25',
      met: without >= 0.25 * rawPerSecond,
    },
    {
      what: 'no-op tasks, results on',
      measured: rate(withResults),
      reference: ratio(withResults),
      target: '>= 0.12',
      met: withResults >= 0.12 * rawPerSecond,
    },
  );
  say('latency …');
  const url = `sqlite:///${join(folder, 'latency.db')}`;
  const idle = { umbel, folder, url, queues: ['celery'], priorities: [0], samples: 200 };
  const latency = await measureLatency(idle);
  say(`latency beside ${count(scheduledTasks)} tasks that wait for their time …`);
  await schedule(url, scheduledTasks);
  const beside = await measureLatency(idle);
  rows.push(
    { what: 'publish to start, idle, p50', measured: ms(latency.p50Ms), reference: '', target: '<= 5 ms', met: latency.p50Ms <= 5 },
    { what: 'publish to start, idle, p99', measured: ms(latency.p99Ms), reference: '', target: '', met: null },
    {
      what: `the same beside ${count(scheduledTasks)} scheduled, p50`,
      measured: ms(beside.p50Ms),
      reference: `p99 ${ms(beside.p99Ms)}`,
      target: '<= 5 ms',
      met: beside.p50Ms <= 5,
    },
  );
  say('start-up and memory …');
  const versionMs = measureVersion(umbel, 11);
  const startup = await measureStartup(umbel, folder, 5);
  const celery = await measureCeleryStartup(folder, 2);
  const peer = (text: string): string => (celery === null ? 'Celery is not installed' : text);
  rows.push(
    {
      what: 'worker, exec to ready',
      measured: ms(startup.readyMs),
      reference: peer(`Celery ${ms(celery?.readyMs ?? 0)}`),
      target: '<= 200 ms',
      met: startup.readyMs <= 200,
    },
    {
      what: `idle pool child of ${memoryChildren}, PSS`,
      measured: megabytes(startup.childMegabytes),
      reference: peer(`Celery ${megabytes(celery?.childMegabytes ?? 0)}`),
      target: '<= 20 MB',
      met: startup.childMegabytes <= 20,
    },
    { what: 'umbel --version', measured: ms(versionMs), reference: '', target: '<= 80 ms', met: versionMs <= 80 },
  );
  return rows;
}

async function rateLimitRows(): Promise<Row[]> {
  say('throughput with and without an idle rate limit …');
  const { withoutPerSecond, idlePerSecond } = await measureRateLimit({ umbel, folder, tasks, rounds: 5 });
  return [
    {
      what: 'no-op tasks beside an idle rate limit',
      measured: rate(idlePerSecond),
      reference: `${(idlePerSecond / withoutPerSecond).toFixed(2)} of ${rate(withoutPerSecond)} without`,
      target: '>= 0.97',
      met: idlePerSecond >= 0.97 * withoutPerSecond,
    },
  ];
}

async function dispatchRows(): Promise<Row[]> {
  say('dispatch: mixed and short load, beside -O fair …');
  return measureDispatch({ umbel, folder, tasks });
}

async function limitRows(): Promise<Row[]> {
  say('time limits of stuck tasks, under load …');
  return measureTimeLimits({ umbel, folder });
}

try {
  const rows = [
    ...(wanted('sqlite') ? await measureEmbedded() : []),
    ...(wanted('rate-limit') ? await rateLimitRows() : []),
    ...(wanted('dispatch') ? await dispatchRows() : []),
    ...(wanted('limits') ? await limitRows() : []),
    ...(wanted('children') ? await measureChildren({ umbel, folder }) : []),
    ...(wanted('control') ? await measureControl({ umbel, folder, tasks }) : []),
    ...(wanted('redis') ? await measureRedis({ umbel: [umbel], folder, tasks }) : []),
    ...(wanted('rabbitmq') ? await measureAmqp({ umbel: [umbel], folder, tasks }) : []),
  ];
  const machine = `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown processor'}`;
  printTable(`umbel on ${machine}, ${count(tasks)} tasks, each executed exactly once in every run`, rows);
  if (rows.some((row) => row.met === false)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
