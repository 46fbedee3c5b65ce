/** What `inspect stats` says of this process and its pool. Source: protocol notes, control.md §3. */
import type { Pool } from '../pool/pool.ts';

export interface PoolInfoParams {
  readonly pool: Pool;
  /** Tasks that may run at a time. */
  readonly slots: number;
  readonly maxTasksPerChild: number | null;
  readonly fair: boolean;
  readonly softSeconds: number | null;
  readonly hardSeconds: number | null;
}

export function poolInfo({
  pool,
  slots,
  maxTasksPerChild,
  fair,
  softSeconds,
  hardSeconds,
}: PoolInfoParams): Readonly<Record<string, unknown>> {
  const counts = [...pool.written.values()];
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shares = counts.map((count) => (total === 0 ? 0 : count / total).toFixed(2));
  return {
    implementation: `umbel:${pool.name}`,
    'max-concurrency': slots,
    processes: [...pool.pids],
    'max-tasks-per-child': maxTasksPerChild ?? 'N/A',
    'put-guarded-by-semaphore': false,
    timeouts: [softSeconds ?? 0, hardSeconds ?? 0],
    writes: {
      total,
      avg: (total === 0 ? 0 : 1 / counts.length).toFixed(2),
      all: total === 0 ? '' : shares.join(', '),
      raw: total === 0 ? '' : counts.join(', '),
      strategy: fair ? 'fair' : null,
      inqueues: { total: counts.length, active: 0 },
    },
  };
}
