/**
 * All settlements of one subscription in one turn of the event loop, as one operation of the group commit.
 *
 * Owns: the promises of these settlements. Kept when the file fails: a finished task is not done twice because a disk was full.
 */
import type { SqliteDatabase, SqliteFailure } from '../../driver/sqlite.ts';
import { type SqliteOperation, sqliteTopic } from '../../driver/sqlite-store.ts';
import type { SettleOutcome } from '../broker.ts';
import { type Settlement, settleMessage } from './message-table.ts';
import { brokerUnavailable } from './unavailable.ts';

export class SettleBatch implements SqliteOperation {
  readonly keep = true;
  topics = 0;
  readonly #ids: number[] = [];
  readonly #owners: number[] = [];
  readonly #settlements: Settlement[] = [];
  readonly #resolves: ((outcome: SettleOutcome) => void)[] = [];
  readonly #rejects: ((error: Error) => void)[] = [];
  /** By the last run. */
  #changed: boolean[] = [];
  /** Nothing can be added any more: what came later would be told of a commit it had no part in. */
  readonly #closed: () => void;

  /** `closed` may be called more than once. */
  constructor(closed: () => void) {
    this.#closed = closed;
  }

  add(id: number, owner: number, settlement: Settlement): Promise<SettleOutcome> {
    if (settlement.kind !== 'ack' && settlement.kind !== 'setAside') this.topics |= sqliteTopic.message;
    this.#ids.push(id);
    this.#owners.push(owner);
    this.#settlements.push(settlement);
    return new Promise((resolve, reject) => {
      this.#resolves.push(resolve);
      this.#rejects.push(reject);
    });
  }

  run(database: SqliteDatabase): void {
    // Now, and not after COMMIT: deliveries of a claim in the same transaction are handed over before `committed` is called here.
    this.#closed();
    this.#changed = this.#settlements.map((settlement, at) =>
      settleMessage(database, this.#ids[at] ?? 0, this.#owners[at] ?? 0, settlement),
    );
  }

  committed(): void {
    for (const [at, resolve] of this.#resolves.entries()) resolve(this.#changed[at] === true ? 'done' : 'stale');
  }

  failed(failure: SqliteFailure): void {
    this.#closed();
    const error = brokerUnavailable(failure);
    for (const reject of this.#rejects) reject(error);
  }
}
