/**
 * Reading from the Redis of the results, tried again while the server is away, as `retry_policy` says.
 *
 * Owns the pauses between attempts. Writes are not its business: those the connection keeps until the server is back.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { passingKinds, RedisFailure } from '../../driver/redis-failure.ts';
import type { RedisCommand } from '../../driver/redis-script.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import type { Clock, Timer } from '../../std/clock.ts';

/** Celery's `retry_policy`. */
export interface ResultRetryPolicy {
  readonly maxRetries: number;
  readonly intervalStartMs: number;
  readonly intervalStepMs: number;
  readonly intervalMaxMs: number;
}

export const defaultRetryPolicy: ResultRetryPolicy = { maxRetries: 20, intervalStartMs: 0, intervalStepMs: 1000, intervalMaxMs: 1000 };

/** The server may answer the same question later. */
export function isPassing(thrown: unknown): boolean {
  return thrown instanceof RedisFailure && (thrown.kind === 'lost' || thrown.kind === 'readonly' || passingKinds.has(thrown.kind));
}

export function backendUnavailable(thrown: unknown): UmbelError {
  if (thrown instanceof UmbelError) return thrown;
  if (thrown instanceof RedisFailure && thrown.kind === 'config')
    return new UmbelError('CONFIG_INVALID', thrown.message, { cause: thrown });
  return new UmbelError('BACKEND_UNAVAILABLE', `the result backend does not answer: ${messageOf(thrown)}`, { cause: thrown });
}

export class ResultReader {
  readonly #connection: RedisConnection;
  readonly #policy: ResultRetryPolicy;
  readonly #clock: Clock;
  readonly #pauses = new Map<Timer, () => void>();
  #stopped = false;

  constructor(connection: RedisConnection, policy: ResultRetryPolicy, clock: Clock) {
    this.#connection = connection;
    this.#policy = policy;
    this.#clock = clock;
    // No need to wait out a pause when the server is back.
    connection.onStateChange((state) => {
      if (state === 'connected') this.#wake();
    });
  }

  /** Rejects with BACKEND_UNAVAILABLE. */
  async read(...command: RedisCommand): Promise<unknown> {
    const { maxRetries, intervalStartMs, intervalStepMs, intervalMaxMs } = this.#policy;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#connection.call(...command);
      } catch (error) {
        if (this.#stopped || attempt >= maxRetries || !isPassing(error)) throw backendUnavailable(error);
      }
      await this.#pause(Math.min(intervalStartMs + attempt * intervalStepMs, intervalMaxMs));
    }
  }

  start(): void {
    this.#stopped = false;
  }

  /** Attempts under way are the last. */
  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(() => {
        this.#pauses.delete(timer);
        resolve();
      }, delayMs);
      this.#pauses.set(timer, resolve);
    });
  }

  #wake(): void {
    for (const [timer, resolve] of this.#pauses) {
      this.#clock.clearTimer(timer);
      resolve();
    }
    this.#pauses.clear();
  }
}
