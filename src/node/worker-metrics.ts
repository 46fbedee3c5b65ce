/**
 * What `/metrics` says of a worker, as Prometheus text. Labels are bounded: queues consumed from, tasks and exceptions up to so many
 * (consumer/task-meter.ts), causes and outcomes of closed lists.
 */
import type { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Broker } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { Settler } from '../consumer/settle.ts';
import { mostTasks } from '../consumer/task-meter.ts';
import type { ChildPool } from '../pool/child-pool.ts';
import { CappedMap } from '../std/capped-map.ts';
import { PrometheusText, type Sample } from '../std/prometheus-text.ts';
import type { Monitoring } from './monitoring.ts';

export type Lag = Pick<ReturnType<typeof monitorEventLoopDelay>, 'percentile' | 'max' | 'reset'>;

export interface WorkerMetricsParams {
  readonly broker: Broker;
  readonly consumer: Pick<Consumer, 'received' | 'active' | 'rateLimits' | 'prefetch'>;
  readonly pool: Pick<ChildPool, 'jobCount' | 'size' | 'pids' | 'restarts'>;
  readonly settler: Pick<Settler, 'counts' | 'totals' | 'news'>;
  readonly monitoring: Pick<Monitoring, 'brokerRoundTripMs'>;
}

/** The lag is measured by a timer of so many milliseconds, which are no lag. */
export const lagResolutionMs = 20;

/** `lag` counts from now on anew. */
export function workerMetrics({ broker, consumer, pool, settler, monitoring }: WorkerMetricsParams, lag: Lag): string {
  const { counts, totals, news } = settler;
  const { waited, ran, failures, lastReceivedAtMs } = news.meter;
  const text = new PrometheusText('umbel_');
  text.add('up', 'gauge', 'Whether the broker is connected.', one(broker.state === 'connected' ? 1 : 0));
  const roundTripMs = monitoring.brokerRoundTripMs;
  text.add('broker_round_trip_seconds', 'gauge', 'What the broker took to confirm the last event (a heartbeat).', known(roundTripMs));
  text.add('messages_received_total', 'counter', 'Messages taken from the broker.', one(consumer.received));
  const ageMs = lastReceivedAtMs === null ? null : performance.now() - lastReceivedAtMs;
  text.add('last_delivery_age_seconds', 'gauge', 'Since the last task was received.', known(ageMs));
  text.add('tasks_started_total', 'counter', 'Tasks started, by name.', labelled('task', capped(totals)));
  text.add(
    'tasks_ended_total',
    'counter',
    'Tasks by how they ended; retried ones are retries.',
    labelled('outcome', Object.entries(counts)),
  );
  text.add('task_failures_total', 'counter', 'Failures by the type of their exception.', labelled('type', countsOf(failures)));
  text.histogram('task_wait_seconds', 'From the receipt of a message here to the start of its task, by queue.', 'queue', waited);
  text.histogram('task_run_seconds', 'How long tasks ran, by name, however they ended.', 'task', ran);
  text.add('tasks_active', 'gauge', 'Tasks running now.', one(consumer.active.length));
  text.add('tasks_held', 'gauge', 'Tasks held in this worker: waiting, sent to children and running.', one(pool.jobCount));
  text.add('tasks_rate_limited', 'gauge', 'Tasks waiting for a rate limit.', one(consumer.rateLimits.waiting));
  text.add('prefetch', 'gauge', 'Messages this worker may hold.', one(consumer.prefetch));
  text.add('pool_size', 'gauge', 'Children wanted.', one(pool.size));
  text.add('pool_processes', 'gauge', 'Children that are processes and live.', one(pool.pids.length));
  text.add('child_restarts_total', 'counter', 'Children replaced, by cause.', labelled('cause', Object.entries(pool.restarts.counts)));
  text.add('event_loop_lag_seconds', 'gauge', 'How late the main process ran, since the last look, by quantile.', [
    [{ quantile: '0.5' }, lagSeconds(lag.percentile(50))],
    [{ quantile: '0.99' }, lagSeconds(lag.percentile(99))],
    [{ quantile: '1' }, lagSeconds(lag.max)],
  ]);
  lag.reset();
  const memory = process.memoryUsage();
  text.add('memory_rss_bytes', 'gauge', 'Memory of the main process.', one(memory.rss));
  text.add('memory_heap_bytes', 'gauge', 'JavaScript heap of the main process in use.', one(memory.heapUsed));
  const { user, system } = process.cpuUsage();
  text.add('cpu_seconds_total', 'counter', 'Processor time of the main process.', one((user + system) / 1e6));
  return text.toString();
}

const one = (value: number): Sample[] => [[{}, value]];

function known(milliseconds: number | null): Sample[] {
  return milliseconds === null ? [] : one(milliseconds / 1000);
}

function labelled(label: string, values: Iterable<readonly [string, number]>): Sample[] {
  return [...values].map(([name, value]): Sample => [{ [label]: name }, value]);
}

/** The first so many names in the order in which they came; the others together. */
function capped(totals: ReadonlyMap<string, number>): Iterable<readonly [string, number]> {
  const counts = new CappedMap(mostTasks, () => ({ count: 0 }));
  for (const [name, count] of totals) counts.get(name).count += count;
  return countsOf(counts);
}

function* countsOf(values: Iterable<readonly [string, { readonly count: number }]>): Generator<[string, number]> {
  for (const [name, { count }] of values) yield [name, count];
}

function lagSeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - lagResolutionMs / 1000);
}
