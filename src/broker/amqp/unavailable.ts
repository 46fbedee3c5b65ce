/** A failure of RabbitMQ in the broker's words. */
import { AmqpFailure, type AmqpFailureKind } from '../../driver/amqp-failure.ts';
import { type ErrorCode, messageOf, UmbelError } from '../../errors.ts';

export function brokerUnavailable(failure: unknown): UmbelError {
  if (failure instanceof UmbelError) return failure;
  if (!(failure instanceof AmqpFailure))
    return new UmbelError('BROKER_UNAVAILABLE', `the RabbitMQ broker does not answer: ${messageOf(failure)}`, { cause: failure });
  return new UmbelError(codeOf(failure), failure.message, { cause: failure });
}

/** Of the first connection: what it cannot be made with is wrong in the configuration, everything else may pass. */
export function brokerUnstarted(failure: unknown): UmbelError {
  const kind = failure instanceof AmqpFailure ? failure.kind : null;
  if (kind === 'config') return brokerUnavailable(failure);
  const what = kind === 'lost' ? 'does not answer' : 'refuses us';
  // A virtual host may be on its way.
  const final = kind !== null && kind !== 'lost' && kind !== 'vhost';
  return new UmbelError('BROKER_UNAVAILABLE', `the RabbitMQ broker ${what}: ${messageOf(failure)}`, { cause: failure, final });
}

/** What was asked for is not for the user of the URL, or for nobody, now or later. */
export function lacksRight(error: unknown): boolean {
  const kind = kindOf(error);
  return kind === 'denied' || kind === 'reserved';
}

/** The queue is another connection's alone: it can be had when that has ended. */
export function isLocked(error: unknown): boolean {
  return kindOf(error) === 'locked';
}

/** What a worker can do without for now, and have later: a queue that is another connection's alone, or not there and not for us to make. */
export function maybeLater(error: unknown): boolean {
  return isLocked(error) || kindOf(error) === 'not-found';
}

function kindOf(error: unknown): AmqpFailureKind | null {
  const failure = error instanceof UmbelError ? error.cause : error;
  return failure instanceof AmqpFailure ? failure.kind : null;
}

function codeOf(failure: AmqpFailure): ErrorCode {
  switch (failure.kind) {
    case 'lost':
    case 'channel':
    case 'full':
    case 'timeout':
      return 'BROKER_LOST';
    case 'auth':
    case 'vhost':
    case 'stopped':
    case 'denied':
    case 'protocol':
    case 'global-qos':
      return 'BROKER_UNAVAILABLE';
    case 'config':
      return 'CONFIG_INVALID';
    case 'not-found':
    case 'locked':
    case 'differs':
    case 'invalid':
    case 'reserved':
    case 'unconsumable':
    case 'in-use':
    case 'returned':
      return 'BROKER_REFUSED';
    case 'nacked':
      return 'BROKER_FULL';
    case 'message':
      return 'MESSAGE_UNWRITABLE';
  }
}
