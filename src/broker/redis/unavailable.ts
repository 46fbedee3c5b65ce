/** A failure of Redis in the broker's words. */
import { RedisFailure } from '../../driver/redis-failure.ts';
import { messageOf, UmbelError } from '../../errors.ts';

export function brokerUnavailable(failure: unknown): UmbelError {
  if (failure instanceof UmbelError) return failure;
  if (failure instanceof RedisFailure && failure.kind === 'config')
    return new UmbelError('CONFIG_INVALID', failure.message, { cause: failure });
  const lost = failure instanceof RedisFailure && (failure.kind === 'lost' || failure.kind === 'full');
  return new UmbelError(lost ? 'BROKER_LOST' : 'BROKER_UNAVAILABLE', sentence(failure), { cause: failure });
}

/** Of the first connection: what it cannot be made with is wrong in the configuration, everything else may pass. */
export function brokerUnstarted(failure: unknown): UmbelError {
  if (failure instanceof RedisFailure && failure.kind === 'config') return brokerUnavailable(failure);
  const final = failure instanceof RedisFailure && ['auth', 'permission', 'cluster', 'version'].includes(failure.kind);
  return new UmbelError('BROKER_UNAVAILABLE', sentence(failure), { cause: failure, final });
}

function sentence(failure: unknown): string {
  const silent = !(failure instanceof RedisFailure) || failure.kind === 'lost' || failure.kind === 'full' || failure.kind === 'stopped';
  return `the Redis broker ${silent ? 'does not answer' : 'refuses us'}: ${messageOf(failure)}`;
}
