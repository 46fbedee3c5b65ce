/**
 * Ping under full load, over the same broker as the tasks, in two ways. `some`: two of a worker's four children are blocked for good, the other two work
 * off short tasks as fast as they can. `all`: two children of two are stuck in endless loops on as many cores, and what the worker may reserve it has.
 *
 * From the call to the reply, as a caller sees it: both ways over the broker, and the caller's own turn on a machine that is full. The backlog must
 * outlast the questions, which is checked.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openConnections } from '../src/client/connections.ts';
import { App, taskHandle } from '../src/client/umbel.ts';
import { ControlClient } from '../src/control/control-client.ts';
import { createLogger } from '../src/log/create-logger.ts';
import { quantile } from './quantile.ts';
import { startWorker } from './start-worker.ts';
import { ms, type Row } from './table.ts';

export interface ControlLatencyParams {
  readonly umbel: string;
  readonly folder: string;
  /** As the table calls the broker. */
  readonly name: string;
  readonly url: string;
  /** Which children are blocked. */
  readonly blocked: 'some' | 'all';
  /** Short tasks waiting when the questions begin. */
  readonly backlog: number;
  readonly samples: number;
}

const node = 'bench@localhost';
const blockedChildren = 2;
const inFlight = 1000;
const mostMs = 20;

export async function measureControlLatency({ umbel, folder, name, url, blocked, backlog, samples }: ControlLatencyParams): Promise<Row> {
  const children = blocked === 'all' ? blockedChildren : 2 * blockedChildren;
  const stuck = taskHandle(blocked === 'all' ? 'stuck.loop' : 'stuck.atomics');
  const place = mkdtempSync(join(folder, 'control-'));
  const starts = join(place, 'starts');
  writeFileSync(starts, '');
  const app = new App({ broker: url, backend: 'disabled' });
  await app.start();
  // First in the queue, so that two children block before the rest begins.
  for (let at = 0; at < blockedChildren; at += 1) await stuck.applyAsync({ args: [starts] });
  const noop = taskHandle('stuck.noop');
  for (let sent = 0; sent < backlog; sent += inFlight)
    await Promise.all(Array.from({ length: Math.min(inFlight, backlog - sent) }, () => noop.applyAsync({ ignoreResult: true })));
  await app.stop();
  const log = createLogger({ level: 'critical', format: 'text', processName: 'bench' });
  const { broker } = openConnections({
    brokerUrl: url,
    backendUrl: 'disabled',
    env: process.env,
    workdir: place,
    synchronous: 'normal',
    busyTimeoutMs: 10_000,
    leaseMs: 30_000,
    resultExpiresMs: null,
    log,
  });
  await broker.start();
  const client = new ControlClient({ broker, log });
  const worker = startWorker(umbel, place, url, children, [], 'stuck.ts', 'disabled');
  try {
    await worker.ready;
    while (readFileSync(starts, 'utf8').trim().split('\n').length < blockedChildren) await delay(10);
    const times: number[] = [];
    for (let sample = -10; sample < samples; sample += 1) {
      await delay(Math.random() * 10);
      const askedAtMs = performance.now();
      const replies = await client.broadcast('ping', { destination: [node], timeoutMs: 10_000 });
      if (replies.length !== 1) throw new Error(`every ping must be answered within 10 s, got none (${name})`);
      // The first ones warm up both sides.
      if (sample >= 0) times.push(performance.now() - askedAtMs);
    }
    const [stats] = await client.broadcast('stats', { destination: [node], timeoutMs: 10_000 });
    const { total } = (stats?.value ?? { total: {} }) as { readonly total: Readonly<Record<string, number>> };
    const done = total['stuck.noop'] ?? (blocked === 'all' ? 0 : backlog);
    if (done >= backlog) throw new Error(`the load must outlast the questions, got all ${backlog} tasks done (${name})`);
    const p99Ms = quantile(times, 0.99);
    return {
      what: `${name}, ping under full load, ${blockedChildren} of ${children} children blocked, p99`,
      measured: ms(p99Ms),
      reference: `p50 ${ms(quantile(times, 0.5))}, most ${ms(Math.max(...times))}`,
      target: `<= ${mostMs} ms`,
      met: p99Ms <= mostMs,
    };
  } finally {
    await client.stop();
    await broker.stop();
    await worker.stop('SIGQUIT');
  }
}
