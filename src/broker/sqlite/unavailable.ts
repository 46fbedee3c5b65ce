/** A failure of the database file in the broker's words. */
import type { SqliteFailure } from '../../driver/sqlite.ts';
import { messageOf, UmbelError } from '../../errors.ts';

export function brokerUnavailable(failure: SqliteFailure | unknown): UmbelError {
  return new UmbelError('BROKER_UNAVAILABLE', `the embedded broker does not answer: ${messageOf(failure)}`, { cause: failure });
}
