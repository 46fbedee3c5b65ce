/** A failure of Redis in the broker's words. */
import { RedisFailure } from '../../driver/redis-failure.ts';
import { messageOf, UmbelError } from '../../errors.ts';

export function brokerUnavailable(failure: unknown): UmbelError {
  if (failure instanceof UmbelError) return failure;
  const lost = failure instanceof RedisFailure && (failure.kind === 'lost' || failure.kind === 'full');
  return new UmbelError(lost ? 'BROKER_LOST' : 'BROKER_UNAVAILABLE', `the Redis broker does not answer: ${messageOf(failure)}`, {
    cause: failure,
  });
}
