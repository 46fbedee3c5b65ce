/** The text a worker shows when it starts. Source: worker-behaviour.md §17. */
import { release } from 'node:os';
import type { TaskQueue } from '../producer/queue-table.ts';
import { version } from '../std/version.ts';

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
