/**
 * A member of a hash and of a sorted set that goes when something else has been written, in the same script call.
 *
 * So an acknowledgement follows its result: neither is there without the other, whatever Redis refuses. Commands of one MULTI cannot
 * promise that, because Redis goes on behind one that fails.
 */
import type { RedisFailure } from './redis-failure.ts';

export interface RedisRemoval {
  readonly hash: string;
  readonly index: string;
  readonly member: string;
  /** What it goes with is written, and so is this. */
  removed(wasThere: boolean): void;
  /** What it goes with is written, and it was to stay: it is still there. */
  kept(): void;
  /** Neither is. */
  failed(failure: RedisFailure): void;
}
