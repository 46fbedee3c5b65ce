/**
 * What a rate limit costs tasks that have none: throughput with a limit on another type, beside the same worker without limits. In rounds, because
 * the machine has other load; the best of each counts.
 */
import { join } from 'node:path';
import { fill, workOff } from './throughput.ts';

export interface RateLimitCost {
  readonly withoutPerSecond: number;
  /** Another type has a limit. */
  readonly idlePerSecond: number;
}

export interface RateLimitCostParams {
  readonly umbel: string;
  readonly folder: string;
  readonly tasks: number;
  readonly rounds: number;
}

/** Tasks per second, results off. */
export async function measureRateLimit({ umbel, folder, tasks, rounds }: RateLimitCostParams): Promise<RateLimitCost> {
  const filled = join(folder, 'limit-filled.db');
  await fill(filled, tasks);
  const base = { umbel, folder, tasks, filled, results: false };
  const limited = { UMBEL_TASK_ANNOTATIONS: JSON.stringify({ 'noop.startedAt': { rate_limit: '1/h' } }) };
  let withoutPerSecond = 0;
  let idlePerSecond = 0;
  for (let round = 0; round < rounds; round += 1) {
    withoutPerSecond = Math.max(withoutPerSecond, await workOff({ ...base, name: `no-limit-${round}` }));
    idlePerSecond = Math.max(idlePerSecond, await workOff({ ...base, name: `limit-${round}`, env: limited }));
  }
  return { withoutPerSecond, idlePerSecond };
}
