/** What a pool of some kind cannot do is said in one way, wherever it is asked for: NOT_SUPPORTED, naming the pool. */
import { UmbelError } from '../errors.ts';
import type { Pool, PoolFeatures } from './pool.ts';

const doing: Readonly<Record<keyof PoolFeatures, string>> = {
  resize: 'have more, fewer or other children while it runs',
  terminate: 'end a running task from outside (terminate, hard time limits)',
  memoryLimits: 'limit the memory of a child',
};

/** Throws NOT_SUPPORTED when the pool has not that feature. `wish`: who asks for it. */
export function mustSupport(pool: Pick<Pool, 'name' | 'features'>, feature: keyof PoolFeatures, wish: string): void {
  if (pool.features[feature]) return;
  throw new UmbelError('NOT_SUPPORTED', `${wish} needs a pool that can ${doing[feature]}, got '${pool.name}'`);
}
