/**
 * One broadcast listener: reads the rows that came after the last one it saw.
 *
 * Owns: its place in umbel_broadcast. Its registration hangs on the broker's lease, which takes it along when it is renewed anew.
 */
import { type SqliteDatabase, SqliteFailure } from '../../driver/sqlite.ts';
import type { SqliteStore } from '../../driver/sqlite-store.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import { bindingMatches } from '../binding-match.ts';
import type { Listener, ListenParams } from '../broker.ts';
import { addListener, broadcastsSince, lastBroadcastId, removeListener } from './routing-table.ts';

export class SqliteListener implements Listener {
  readonly #store: SqliteStore;
  readonly #params: ListenParams;
  readonly #log: Logger;
  readonly #stopped: (listener: SqliteListener) => void;
  /** Row in umbel_listener; null while there is none. */
  #id: number | null = null;
  #lastSeen: number | null = null;
  #active = true;

  constructor(store: SqliteStore, params: ListenParams, log: Logger, stopped: (listener: SqliteListener) => void) {
    this.#store = store;
    this.#params = params;
    this.#log = log;
    this.#stopped = stopped;
  }

  /** In a transaction: hang on this lease. */
  register(database: SqliteDatabase, lease: number): void {
    const { exchange, exchangeType, routingKey } = this.#params;
    this.#id = addListener(database, lease, exchange, exchangeType, routingKey);
    // A file that was replaced counts from the start again.
    const newest = lastBroadcastId(database);
    this.#lastSeen = Math.min(this.#lastSeen ?? newest, newest);
  }

  /** Something was broadcast, perhaps. */
  read(): void {
    while (this.#active && this.#lastSeen !== null) {
      const after = this.#lastSeen;
      const rows = this.#store.peek((database) => broadcastsSince(database, after, this.#params.exchange), []);
      if (rows.length === 0) return;
      for (const row of rows) {
        this.#lastSeen = row.id;
        if (!this.#active) return;
        if (bindingMatches(this.#params.exchangeType, this.#params.routingKey, row.routingKey)) this.#hand(row.routingKey, row.payload);
      }
    }
  }

  #hand(routingKey: string, payload: string): void {
    let message: ReturnType<typeof decodeEnvelope>['message'];
    try {
      message = decodeEnvelope(payload).message;
    } catch (error) {
      this.#log.error('broker.undecodable', `A broadcast on ${this.#params.exchange} was dropped: ${messageOf(error)}`);
      return;
    }
    this.#params.onMessage(message, routingKey);
  }

  async stop(): Promise<void> {
    if (!this.#active) return;
    this.#active = false;
    this.#stopped(this);
    const id = this.#id;
    if (id === null) return;
    try {
      await this.#store.write((database) => removeListener(database, id));
    } catch (error) {
      // It goes with the lease.
      if (!(error instanceof SqliteFailure)) throw error;
    }
  }
}
