/** Why a broker or result backend could not be asked: what the drivers found, each with what to do about it. */
import { AmqpFailure } from '../driver/amqp-failure.ts';
import { RedisFailure } from '../driver/redis-failure.ts';
import { UmbelError } from '../errors.ts';
import { type Finding, found } from './finding.ts';
import type { FindingCode } from './finding-table.ts';

const codes: Readonly<Record<string, FindingCode>> = {
  auth: 'SERVER_REFUSES_LOGIN',
  permission: 'SERVER_REFUSES_RIGHTS',
  denied: 'SERVER_REFUSES_RIGHTS',
  vhost: 'RABBITMQ_VHOST',
  cluster: 'REDIS_CLUSTER',
  readonly: 'REDIS_REPLICA',
  version: 'REDIS_TOO_OLD',
  config: 'SERVER_HAS_NOT',
};

export function unreachable(error: unknown, place: string): Finding {
  if (!(error instanceof UmbelError)) throw error;
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof RedisFailure || cause instanceof AmqpFailure) {
      const code = codes[cause.kind];
      if (code !== undefined) return found(code, cause.message, place);
    }
  return found('SERVER_UNREACHABLE', error.message, place);
}
