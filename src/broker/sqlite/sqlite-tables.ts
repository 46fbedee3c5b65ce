/** The bindings and queues of the file, for operators. */
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import type { SqliteStore } from '../../driver/sqlite-store.ts';
import type { BrokerTables, TypedBinding } from '../plain-operator-channel.ts';
import { bringForward, queuesInUse } from './message-table.ts';
import { allBindings, unbindExchange, unbindQueue } from './routing-table.ts';
import { brokerUnavailable } from './unavailable.ts';

export class SqliteTables implements BrokerTables {
  readonly #store: SqliteStore;

  constructor(store: SqliteStore) {
    this.#store = store;
  }

  bindings(): Promise<readonly TypedBinding[]> {
    return this.#read(allBindings);
  }

  otherQueues(): Promise<readonly string[]> {
    return this.#read(queuesInUse);
  }

  unbindExchange(exchange: string): Promise<void> {
    return this.#write((database) => unbindExchange(database, exchange));
  }

  unbindQueue(queue: string): Promise<void> {
    return this.#write((database) => unbindQueue(database, queue));
  }

  bringForward(queue: string): Promise<number> {
    return this.#write((database) => bringForward(database, queue));
  }

  async #read<T>(look: (database: SqliteDatabase) => T): Promise<T> {
    try {
      return await this.#store.read(look);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  async #write<T>(work: (database: SqliteDatabase) => T): Promise<T> {
    try {
      return await this.#store.write(work);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }
}
