/**
 * Waiting for results: the channels of those tasks that somebody waits for, and of no other.
 *
 * Owns the subscriptions and who waits. No result is missed: first subscribe, then look whether it is there; after a new connection
 * the same for everybody who waits. Documents are passed on and kept nowhere, so memory is bounded by the number of waits.
 * A server that is away ends no wait; its time limit and its signal do.
 * Source: protocol notes, redis.md §5.3.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { decodeResultDocument, type ResultDocument, readyStates } from '../../protocol/result.ts';
import { ChurnMap } from '../../std/churn-map.ts';
import type { Clock } from '../../std/clock.ts';
import { ResultWaiters } from '../result-waiters.ts';
import type { ResultKeys } from './result-keys.ts';
import { backendUnavailable, isPassing } from './result-reader.ts';

export interface WaitOptions {
  readonly timeoutMs: number | null;
  readonly signal?: AbortSignal;
}

/** One MGET asks for so many documents at most: it holds up everybody else. */
const mostKeys = 500;

interface Channel {
  /** null until the server has the subscription. */
  unsubscribe: (() => Promise<void>) | null;
  wanted: boolean;
}

export class ResultWatch {
  readonly #connection: RedisConnection;
  readonly #keys: ResultKeys;
  readonly #waiters: ResultWaiters;
  readonly #channels = new ChurnMap<string, Channel>();
  /** Tasks to look for at the end of this turn of the event loop. */
  #toLookFor = new Set<string>();
  #stopListening: (() => void) | null = null;

  constructor(connection: RedisConnection, keys: ResultKeys, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#waiters = new ResultWaiters(clock, (taskId) => this.#unsubscribe(taskId));
  }

  /** Tasks waited for. */
  get size(): number {
    return this.#waiters.size;
  }

  start(): void {
    // Whatever was published while there was no subscription is gone: look for it.
    this.#stopListening = this.#connection.subscriber.onReady(() => {
      for (const taskId of this.#waiters.taskIds()) this.#lookFor(taskId);
    });
  }

  stop(reason: Error): void {
    this.#stopListening?.();
    this.#stopListening = null;
    this.#waiters.rejectAll(reason);
  }

  /** Rejects with RESULT_TIMEOUT, the signal's reason, or BACKEND_UNAVAILABLE where waiting is of no use. */
  wait(taskId: string, options: WaitOptions): Promise<ResultDocument> {
    const arrival = this.#waiters.wait(taskId, options);
    // With a signal that was aborted before, nobody waits.
    if (!this.#waiters.has(taskId)) return arrival;
    if (this.#channels.has(taskId)) this.#lookFor(taskId);
    else this.#subscribe(taskId);
    return arrival;
  }

  #subscribe(taskId: string): void {
    const channel: Channel = { unsubscribe: null, wanted: true };
    this.#channels.set(taskId, channel);
    const onMessage = (payload: string | readonly string[]): void => {
      if (typeof payload === 'string') this.#arrived(taskId, payload);
    };
    this.#connection.subscriber.subscribe(this.#keys.task(taskId), onMessage).then(
      (unsubscribe) => {
        channel.unsubscribe = unsubscribe;
        if (channel.wanted) this.#lookFor(taskId);
        else void unsubscribe();
      },
      (error: unknown) => {
        if (channel.wanted) this.#waiters.reject(taskId, backendUnavailable(error));
      },
    );
  }

  #unsubscribe(taskId: string): void {
    const channel = this.#channels.get(taskId);
    if (channel === undefined) return;
    this.#channels.delete(taskId);
    channel.wanted = false;
    void channel.unsubscribe?.();
  }

  #lookFor(taskId: string): void {
    if (this.#toLookFor.size === 0) {
      setImmediate(() => {
        const taskIds = [...this.#toLookFor];
        this.#toLookFor = new Set();
        for (let from = 0; from < taskIds.length; from += mostKeys) void this.#look(taskIds.slice(from, from + mostKeys));
      });
    }
    this.#toLookFor.add(taskId);
  }

  async #look(taskIds: readonly string[]): Promise<void> {
    try {
      const documents = await this.#connection.call('MGET', ...taskIds.map((taskId) => this.#keys.task(taskId)));
      if (!Array.isArray(documents)) return;
      for (const [index, taskId] of taskIds.entries()) {
        const text: unknown = documents[index];
        if (typeof text === 'string') this.#arrived(taskId, text);
      }
    } catch (error) {
      // The next connection looks again.
      if (isPassing(error)) return;
      for (const taskId of taskIds) this.#waiters.reject(taskId, backendUnavailable(error));
    }
  }

  #arrived(taskId: string, text: string): void {
    if (!this.#waiters.has(taskId)) return;
    try {
      const document = decodeResultDocument(text);
      if (readyStates.has(document.status)) this.#waiters.resolve(taskId, document);
    } catch (error) {
      this.#waiters.reject(taskId, error);
    }
  }
}
