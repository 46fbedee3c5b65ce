/**
 * What is said of a server that gives no messages, or not those of one queue: once, again when the cause is another one, and when it has passed. Never acts.
 */
import { passingKinds, type RedisFailure } from '../../driver/redis-failure.ts';
import type { Logger } from '../../log/logger.ts';

export class RefusalNotice {
  readonly #log: Logger;
  #said: RedisFailure | null = null;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What was said, and has not passed. */
  get said(): string | null {
    return this.#said?.message ?? null;
  }

  refused(failure: RedisFailure): void {
    if (this.#said === null || causeOf(this.#said) !== causeOf(failure))
      this.#log.error('broker.reserve', `Messages cannot be fetched: ${failure.message}`);
    this.#said = failure;
  }

  /** `nothing`: all queues were found empty; otherwise one that makes trouble by itself may have been passed over for the sake of the others. */
  answered(nothing: boolean): void {
    if (this.#said === null || (!nothing && !passingKinds.has(this.#said.kind))) return;
    this.#said = null;
    this.#log.info('broker.reserving', 'Messages are fetched again');
  }
}

/** A missing right is missing for every list of a queue: which of them was tried first (reserve-script.ts names it) is another each time. */
function causeOf({ kind, message }: RedisFailure): string {
  return kind === 'permission' ? message.replace(/ \(key .*?\)/, '') : message;
}
