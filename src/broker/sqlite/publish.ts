/**
 * One message on its way into the file, as an operation of the group commit.
 *
 * Owns: routing at publish time; what nobody takes, as events without a monitor, is not even written as text. Fails, rather than waits, when the file fails: the publisher must know.
 */
import type { SqliteDatabase, SqliteFailure } from '../../driver/sqlite.ts';
import { type SqliteOperation, sqliteTopic } from '../../driver/sqlite-store.ts';
import type { Destination } from '../broker.ts';
import { noQueueTakes } from '../no-queue.ts';
import { insertMessage } from './message-table.ts';
import { insertBroadcast, routeMessage } from './routing-table.ts';
import { brokerUnavailable } from './unavailable.ts';

export class PublishOperation implements SqliteOperation {
  readonly keep = false;
  readonly #payload: () => string;
  readonly #priority: number;
  readonly #destination: Destination;
  readonly #dueAtMs: number | null;
  readonly #nowMs: number;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;
  #isTaken = true;

  constructor(
    payload: () => string,
    priority: number,
    destination: Destination,
    nowMs: number,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    this.#payload = payload;
    this.#priority = priority;
    this.#destination = destination;
    this.#nowMs = nowMs;
    this.#dueAtMs = destination.dueAtMs !== undefined && destination.dueAtMs > nowMs ? Math.ceil(destination.dueAtMs) : null;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** What nobody takes, as events without a monitor, wakes nobody. */
  get topics(): number {
    if (!this.#isTaken) return 0;
    return this.#destination.exchange === '' ? sqliteTopic.message : sqliteTopic.message | sqliteTopic.broadcast;
  }

  run(database: SqliteDatabase): void {
    const { exchange, routingKey, queue: only } = this.#destination;
    if (exchange === '' || only !== undefined) {
      insertMessage(database, only ?? routingKey, this.#payload(), this.#priority, this.#dueAtMs);
      return;
    }
    const { queues, broadcast } = routeMessage(database, exchange, routingKey);
    this.#isTaken = broadcast || queues.size > 0;
    if (!this.#isTaken) return;
    const payload = this.#payload();
    for (const queue of queues) insertMessage(database, queue, payload, this.#priority, this.#dueAtMs);
    if (broadcast) insertBroadcast(database, exchange, routingKey, payload, this.#nowMs);
  }

  committed(): void {
    if (this.#isTaken || this.#destination.mandatory !== true) this.#resolve();
    else this.#reject(noQueueTakes(this.#destination));
  }

  failed(failure: SqliteFailure): void {
    this.#reject(brokerUnavailable(failure));
  }
}
