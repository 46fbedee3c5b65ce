/** The text a worker shows when it starts. Source: worker-behaviour.md §17. */
import { release } from 'node:os';
import type { ResultBackend } from '../backend/backend.ts';
import type { Broker } from '../broker/broker.ts';
import type { Settings } from '../config/settings-table.ts';
import type { Pool } from '../pool/pool.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import { version } from '../std/version.ts';
import { ownTasks } from './own-tasks.ts';
import type { WorkerNames } from './worker-params.ts';

export interface BannerParams {
  readonly nodeName: string;
  readonly brokerUrl: string;
  /** null: disabled. */
  readonly backendUrl: string | null;
  readonly concurrency: number | string;
  readonly poolName: string;
  readonly queues: readonly TaskQueue[];
  readonly taskPaths: readonly string[];
  /** null: not shown. */
  readonly tasks: readonly string[] | null;
  /** Unix ms. */
  readonly now: number;
}

export function banner(params: BannerParams): string {
  const time = new Date(params.now).toISOString().replace('T', ' ').slice(0, 19);
  const lines = [
    '',
    ` -------------- ${params.nodeName} umbel v${version()}`,
    '',
    `  ${process.platform}-${release()}-${process.arch} ${time} UTC`,
    '',
    ' [config]',
    ` .> app:         ${params.taskPaths.join(', ')}`,
    ` .> transport:   ${params.brokerUrl}`,
    ` .> results:     ${params.backendUrl ?? 'disabled'}`,
    ` .> concurrency: ${params.concurrency} (${params.poolName})`,
    '',
    ' [queues]',
    ...params.queues.map(
      ({ name, exchange = name, exchangeType = 'direct', routingKey = name }) =>
        ` .> ${name.padEnd(16)} exchange=${exchange}(${exchangeType}) key=${routingKey}`,
    ),
    '',
  ];
  if (params.tasks !== null) lines.push(' [tasks]', ...params.tasks.map((task) => `  . ${task}`), '');
  return `${lines.join('\n')}\n`;
}

export interface WorkerBannerParams {
  readonly settings: Pick<Settings, 'worker_loglevel'>;
  readonly names: WorkerNames;
  readonly pool: Pool;
  readonly broker: Broker;
  readonly backend: ResultBackend | null;
}

/** Of a worker that is up; with its tasks where the log is to tell of them. */
export function workerBanner({ settings, names, pool, broker, backend }: WorkerBannerParams): string {
  const showTasks = settings.worker_loglevel === 'info' || settings.worker_loglevel === 'debug';
  return banner({
    nodeName: names.nodeName,
    brokerUrl: broker.displayUrl,
    backendUrl: backend?.displayUrl ?? null,
    concurrency: names.pool.text,
    poolName: pool.name,
    queues: names.queues,
    taskPaths: names.taskPaths,
    tasks: showTasks ? ownTasks(pool.tasks) : null,
    now: Date.now(),
  });
}
