/**
 * One settlement that the result backend carries out in its own operation, or leaves: then the message stays held.
 *
 * Owns the promise of this settlement. Everything else is settled by settle-batch.ts.
 */
import type { SqliteDatabase, SqliteFailure } from '../../driver/sqlite.ts';
import type { SqliteRemoval } from '../../driver/sqlite-removal.ts';
import type { SettleOutcome } from '../broker.ts';
import { isHeld, type Settlement, settleMessage } from './message-table.ts';
import { brokerUnavailable } from './unavailable.ts';

export interface JointSettlementParams {
  readonly id: number;
  readonly owner: number;
  readonly settlement: Settlement;
  /** Off our hands. */
  done(): void;
}

export class JointSettlement implements SqliteRemoval {
  readonly outcome: Promise<SettleOutcome>;
  readonly #params: JointSettlementParams;
  readonly #resolve: (outcome: SettleOutcome) => void;
  readonly #reject: (error: Error) => void;

  constructor(params: JointSettlementParams) {
    this.#params = params;
    const { promise, resolve, reject } = Promise.withResolvers<SettleOutcome>();
    this.outcome = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  isHeld(database: SqliteDatabase): boolean {
    return isHeld(database, this.#params.id, this.#params.owner);
  }

  remove(database: SqliteDatabase): void {
    settleMessage(database, this.#params.id, this.#params.owner, this.#params.settlement);
  }

  removed(wasThere: boolean): void {
    this.#params.done();
    this.#resolve(wasThere ? 'done' : 'stale');
  }

  kept(): void {
    this.#resolve('kept');
  }

  failed(failure: SqliteFailure): void {
    this.#params.done();
    this.#reject(brokerUnavailable(failure));
  }
}
