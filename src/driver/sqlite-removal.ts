/**
 * A row that goes, or stays, with what another operation of the same transaction finds.
 *
 * So the acknowledgement of a task follows from what its result came to: the part that completes a chord keeps its message.
 */
import type { SqliteDatabase, SqliteFailure } from './sqlite.ts';

export interface SqliteRemoval {
  /** Inside the transaction: it is there, and ours. */
  isHeld(database: SqliteDatabase): boolean;
  /** Inside the transaction. */
  remove(database: SqliteDatabase): void;
  /** After COMMIT: it is gone; `wasThere` says whether it was ours to take. */
  removed(wasThere: boolean): void;
  /** After COMMIT: it was to stay, and is still there. */
  kept(): void;
  /** Nothing was written. */
  failed(failure: SqliteFailure): void;
}
