/**
 * All acknowledgements of one turn of the event loop, as one operation in the MULTI of that turn.
 *
 * Owns: the promises of these acknowledgements. Kept while the server is away. Sent again after a lost reply, a tag that is gone was most
 * likely acknowledged the first time; nobody else has it under this tag, so it counts as done.
 */
import type { RedisFailure } from '../../driver/redis-failure.ts';
import type { RedisOperation } from '../../driver/redis-outbox.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import type { SettleOutcome } from '../broker.ts';
import type { KeyLayout } from './key-layout.ts';
import { acknowledgeScript } from './settle-scripts.ts';
import { brokerUnavailable } from './unavailable.ts';

/** Arguments of one script call. */
const tagsPerCall = 1000;

export class SettleBatch implements RedisOperation {
  readonly keep = true;
  readonly atomic = true;
  readonly bytes = 512;
  readonly #layout: KeyLayout;
  readonly #tags: string[] = [];
  readonly #resolves: ((outcome: SettleOutcome) => void)[] = [];
  readonly #rejects: ((error: Error) => void)[] = [];
  /** Nothing can be added any more. */
  readonly #closed: () => void;

  constructor(layout: KeyLayout, closed: () => void) {
    this.#layout = layout;
    this.#closed = closed;
  }

  add(tag: string): Promise<SettleOutcome> {
    this.#tags.push(tag);
    return new Promise((resolve, reject) => {
      this.#resolves.push(resolve);
      this.#rejects.push(reject);
    });
  }

  commands(): readonly RedisCommand[] {
    this.#closed();
    const commands: RedisCommand[] = [];
    for (let at = 0; at < this.#tags.length; at += tagsPerCall) {
      const tags = this.#tags.slice(at, at + tagsPerCall);
      commands.push(evalCommand(acknowledgeScript, [this.#layout.unacked, this.#layout.unackedIndex], tags));
    }
    return commands;
  }

  done(replies: readonly unknown[], resent: boolean): void {
    const gone = new Set<number>();
    if (!resent) {
      for (const [call, reply] of replies.entries()) {
        if (Array.isArray(reply)) for (const at of reply) gone.add(call * tagsPerCall + Number(at) - 1);
      }
    }
    for (const [at, resolve] of this.#resolves.entries()) resolve(gone.has(at) ? 'stale' : 'done');
  }

  failed(failure: RedisFailure): void {
    this.#closed();
    const error = brokerUnavailable(failure);
    for (const reject of this.#rejects) reject(error);
  }
}
