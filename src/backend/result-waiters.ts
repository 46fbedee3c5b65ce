/**
 * Who waits for which task's result, with time limit and abort.
 *
 * Owns: the promises that `wait` of a backend returns. Never reads a backend: it is told.
 * A waiter keeps the process alive, as a pending answer on a socket would.
 */
import { UmbelError } from '../errors.ts';
import type { ResultDocument } from '../protocol/result.ts';
import { ChurnMap } from '../std/churn-map.ts';
import type { Clock, Timer } from '../std/clock.ts';

interface Waiter {
  resolve(document: ResultDocument): void;
  reject(reason: unknown): void;
}

/** For a wait without limit: the timer is there for the process to stay. */
const foreverMs = 2 ** 40;

export class ResultWaiters {
  readonly #clock: Clock;
  readonly #waiters = new ChurnMap<string, Set<Waiter>>();
  readonly #onLastLeft: (taskId: string) => void;

  /** `onLastLeft`: nobody waits for this task any more. Must not throw. */
  constructor(clock: Clock, onLastLeft: (taskId: string) => void = () => {}) {
    this.#clock = clock;
    this.#onLastLeft = onLastLeft;
  }

  /** Tasks waited for. */
  get size(): number {
    return this.#waiters.size;
  }

  has(taskId: string): boolean {
    return this.#waiters.has(taskId);
  }

  /** The tasks waited for. */
  taskIds(): IterableIterator<string> {
    return this.#waiters.keys();
  }

  /** Rejects with RESULT_TIMEOUT, the signal's reason, or what `reject` is told. */
  wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument> {
    const { timeoutMs, signal } = options;
    return new Promise<ResultDocument>((resolve, reject) => {
      if (signal?.aborted === true) throw signal.reason;
      let timer: Timer | undefined;
      const end = () => {
        this.#clock.clearTimer(timer);
        signal?.removeEventListener('abort', onAbort);
        const set = this.#waiters.get(taskId);
        set?.delete(waiter);
        if (set?.size === 0 && this.#waiters.delete(taskId)) this.#onLastLeft(taskId);
      };
      const waiter: Waiter = {
        resolve: (document) => {
          end();
          resolve(document);
        },
        reject: (reason) => {
          end();
          reject(reason);
        },
      };
      const onAbort = () => waiter.reject(signal?.reason);
      const onTimeout = () => {
        if (timeoutMs !== null) waiter.reject(new UmbelError('RESULT_TIMEOUT', `no result of task ${taskId} within ${timeoutMs / 1000} s`));
      };
      timer = this.#clock.setTimer(onTimeout, timeoutMs ?? foreverMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const set = this.#waiters.get(taskId) ?? new Set();
      set.add(waiter);
      this.#waiters.set(taskId, set);
    });
  }

  resolve(taskId: string, document: ResultDocument): void {
    for (const waiter of [...(this.#waiters.get(taskId) ?? [])]) waiter.resolve(document);
  }

  reject(taskId: string, reason: unknown): void {
    for (const waiter of [...(this.#waiters.get(taskId) ?? [])]) waiter.reject(reason);
  }

  rejectAll(reason: unknown): void {
    for (const taskId of [...this.#waiters.keys()]) this.reject(taskId, reason);
  }
}
