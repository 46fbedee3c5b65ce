/**
 * Probes and metrics of a worker: /livez, /readyz, /startupz and /metrics (Prometheus text).
 *
 * Live: its event loop turns. Ready: it takes tasks, so its broker is there. Labels are bounded: task names are those registered here.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Broker } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { Settler } from '../consumer/settle.ts';
import { type ProbeAnswer, type ProbePlace, ProbeServer } from '../driver/probe-server.ts';
import type { Component } from '../lifecycle/component.ts';
import type { PreforkPool } from '../pool/prefork-pool.ts';

export interface HealthParams {
  /** null: nothing is served. */
  readonly place: ProbePlace | null;
  readonly broker: Broker;
  readonly consumer: Consumer;
  readonly pool: PreforkPool;
  readonly settler: Pick<Settler, 'counts' | 'totals'>;
  isRunning(): boolean;
  isQuiet(): boolean;
}

const lagResolutionMs = 20;

export function health(params: HealthParams): Component {
  const { place } = params;
  if (place === null) return { name: 'health', start: async () => {}, stop: async () => {} };
  const lag = monitorEventLoopDelay({ resolution: lagResolutionMs });
  const server = new ProbeServer(place, (path) => answer(path, params, lag));
  return {
    name: 'health',
    start: async () => {
      lag.enable();
      await server.start();
    },
    stop: async () => {
      lag.disable();
      await server.stop();
    },
  };
}

type Lag = ReturnType<typeof monitorEventLoopDelay>;

function answer(path: string, params: HealthParams, lag: Lag): ProbeAnswer | null {
  switch (path) {
    case '/livez':
      return say(null);
    case '/startupz':
      return say(params.isRunning() ? null : 'starting');
    case '/readyz':
      return say(unready(params));
    case '/metrics':
      return { status: 200, contentType: 'text/plain; version=0.0.4', body: metrics(params, lag) };
    default:
      return null;
  }
}

function say(problem: string | null): ProbeAnswer {
  return { status: problem === null ? 200 : 503, contentType: 'text/plain', body: `${problem ?? 'ok'}\n` };
}

function unready({ broker, consumer, isRunning, isQuiet }: HealthParams): string | null {
  if (!isRunning()) return 'starting or stopping';
  if (broker.state !== 'connected') return `the broker is ${broker.state}`;
  if (isQuiet()) return 'quiet';
  return (consumer.subscription?.queues.length ?? 0) === 0 ? 'takes tasks from no queue' : null;
}

type Sample = readonly [labels: Readonly<Record<string, string | number>>, value: number];

function metrics(params: HealthParams, lag: Lag): string {
  const { broker, consumer, pool, settler } = params;
  const { counts, totals } = settler;
  const lines: string[] = [];
  const add = (name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): void => {
    lines.push(`# HELP umbel_${name} ${help}`, `# TYPE umbel_${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`umbel_${name}${labelText(labels)} ${Number.isFinite(value) ? value : 0}`);
  };
  const one = (value: number): Sample[] => [[{}, value]];
  add('up', 'gauge', 'Whether the broker is connected.', one(broker.state === 'connected' ? 1 : 0));
  add('messages_received_total', 'counter', 'Messages taken from the broker.', one(consumer.received));
  add(
    'tasks_started_total',
    'counter',
    'Tasks started, by name.',
    [...totals].map(([task, count]): Sample => [{ task }, count]),
  );
  add(
    'tasks_ended_total',
    'counter',
    'Tasks by how they ended.',
    Object.entries(counts).map(([outcome, count]): Sample => [{ outcome }, count]),
  );
  add('tasks_active', 'gauge', 'Tasks running now.', one(consumer.active.length));
  add('tasks_held', 'gauge', 'Tasks held in this worker: waiting, sent to children and running.', one(pool.jobCount));
  add('tasks_rate_limited', 'gauge', 'Tasks waiting for a rate limit.', one(consumer.rateLimits.waiting));
  add('prefetch', 'gauge', 'Messages this worker may hold.', one(consumer.prefetch));
  add('pool_size', 'gauge', 'Children wanted.', one(pool.size));
  add('pool_processes', 'gauge', 'Children that are processes and live.', one(pool.pids.length));
  add('event_loop_lag_seconds', 'gauge', 'How late the main process ran, since the last look, by quantile.', [
    [{ quantile: '0.5' }, seconds(lag.percentile(50))],
    [{ quantile: '0.99' }, seconds(lag.percentile(99))],
    [{ quantile: '1' }, seconds(lag.max)],
  ]);
  lag.reset();
  const memory = process.memoryUsage();
  add('memory_rss_bytes', 'gauge', 'Memory of the main process.', one(memory.rss));
  add('memory_heap_bytes', 'gauge', 'JavaScript heap of the main process in use.', one(memory.heapUsed));
  const { user, system } = process.cpuUsage();
  add('cpu_seconds_total', 'counter', 'Processor time of the main process.', one((user + system) / 1e6));
  return `${lines.join('\n')}\n`;
}

/** The loop is looked at every so often, and that is no lag. */
function seconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - lagResolutionMs / 1000);
}

function labelText(labels: Readonly<Record<string, string | number>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${String(value).replace(/[\\"\n]/g, (sign) => (sign === '\n' ? '\\n' : `\\${sign}`))}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
