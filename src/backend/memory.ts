/**
 * Result documents in this process's memory: for tests and for trying things out.
 *
 * Documents are kept as text, as every other backend keeps them, so that what is read back is what would be read from a server.
 */
import type { Broker } from '../broker/broker.ts';
import { decodeResultDocument, encodeResultDocument, type ResultDocument, type ResultRecord, readyStates } from '../protocol/result.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import type { ResultBackend } from './backend.ts';
import { defaultSizeTimeoutMs } from './group-store.ts';
import { MemoryGroups } from './memory-groups.ts';
import { ResultWaiters } from './result-waiters.ts';

export interface MemoryBackendParams {
  /** null: results are kept for ever. */
  readonly resultExpiresMs: number | null;
  /** Default: 3 s. */
  readonly chordJoinTimeoutMs?: number;
  /** Default: 5 min. */
  readonly chordSizeTimeoutMs?: number;
  readonly clock?: Clock;
}

interface Stored {
  readonly status: string;
  readonly text: string;
  readonly expiresAtMs: number;
}

export class MemoryBackend implements ResultBackend {
  readonly displayUrl = 'memory://';
  readonly groups: MemoryGroups;
  readonly #expiresMs: number;
  readonly #clock: Clock;
  readonly #stored = new Map<string, Stored>();
  readonly #waiters: ResultWaiters;

  constructor(params: MemoryBackendParams) {
    this.#expiresMs = params.resultExpiresMs ?? Number.POSITIVE_INFINITY;
    this.#clock = params.clock ?? systemClock;
    this.#waiters = new ResultWaiters(this.#clock);
    this.groups = new MemoryGroups({
      source: { documents: async (taskIds) => this.#texts(taskIds), wait: (taskId, options) => this.wait(taskId, options) },
      expiresMs: this.#expiresMs,
      chordJoinTimeoutMs: params.chordJoinTimeoutMs ?? 3000,
      chordSizeTimeoutMs: params.chordSizeTimeoutMs ?? defaultSizeTimeoutMs,
      clock: this.#clock,
      store: (record) => this.store(record),
    });
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  /** Two stores of their own, even in one memory: a store resolves before the acknowledgement is made. */
  commitsWith(_broker: Broker): boolean {
    return false;
  }

  async store(record: ResultRecord): Promise<void> {
    const text = encodeResultDocument(record);
    if (this.#current(record.taskId)?.status === 'SUCCESS') return;
    // Deleted first, so that the order of the map is the order of expiry.
    this.#stored.delete(record.taskId);
    this.#stored.set(record.taskId, { status: record.status, text, expiresAtMs: this.#clock.now() + this.#expiresMs });
    if (readyStates.has(record.status) && this.#waiters.has(record.taskId))
      this.#waiters.resolve(record.taskId, decodeResultDocument(text));
  }

  async storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown> {
    for (const record of records) await this.store(record);
    return settle();
  }

  async get(taskId: string): Promise<ResultDocument | null> {
    const stored = this.#current(taskId);
    return stored === undefined ? null : decodeResultDocument(stored.text);
  }

  async wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument> {
    const stored = this.#current(taskId);
    if (stored !== undefined && readyStates.has(stored.status)) return decodeResultDocument(stored.text);
    return this.#waiters.wait(taskId, options);
  }

  async forget(taskId: string): Promise<void> {
    this.#stored.delete(taskId);
  }

  async cleanup(): Promise<number> {
    const nowMs = this.#clock.now();
    let deleted = this.groups.cleanup();
    for (const [taskId, stored] of this.#stored) {
      if (stored.expiresAtMs > nowMs) break;
      this.#stored.delete(taskId);
      deleted++;
    }
    return deleted;
  }

  #texts(taskIds: readonly string[]): Map<string, string> {
    const texts = new Map<string, string>();
    for (const taskId of taskIds) {
      const stored = this.#current(taskId);
      if (stored !== undefined) texts.set(taskId, stored.text);
    }
    return texts;
  }

  #current(taskId: string): Stored | undefined {
    const stored = this.#stored.get(taskId);
    return stored === undefined || stored.expiresAtMs <= this.#clock.now() ? undefined : stored;
  }
}
