/**
 * The acknowledgements without a result of one turn of the event loop, as one operation in the MULTI of that turn. One that has a result to
 * follow is stored with it (driver/redis-removal.ts).
 *
 * Owns: the promises of these acknowledgements. Kept while the server is away, all of them: they are no more than what is held. Sent again after a lost reply, a tag that is gone was most
 * likely acknowledged the first time; nobody else has it under this tag, so it counts as done.
 */
import type { RedisFailure } from '../../driver/redis-failure.ts';
import type { RedisOperation } from '../../driver/redis-outbox.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import type { Delivery, SettleOutcome } from '../broker.ts';
import type { KeyLayout } from './key-layout.ts';
import type { QueueList } from './queue-list.ts';
import { acknowledgeScript } from './settle-scripts.ts';
import { brokerUnavailable } from './unavailable.ts';

/** Arguments of one script call. */
const mostTags = 1000;

export interface Unsettled {
  readonly delivery: Delivery;
  readonly from: QueueList;
}

export class SettleBatch implements RedisOperation {
  readonly keep = true;
  readonly needsRights = true;
  readonly atomic = true;
  readonly bytes = 0;
  readonly #layout: KeyLayout;
  readonly #tags: string[] = [];
  readonly #members: Unsettled[] = [];
  readonly #resolves: ((outcome: SettleOutcome) => void)[] = [];
  readonly #rejects: ((error: Error) => void)[] = [];
  readonly #onFailed: (unsettled: Unsettled) => void;
  #open = true;

  constructor(layout: KeyLayout, onFailed: (unsettled: Unsettled) => void) {
    this.#layout = layout;
    this.#onFailed = onFailed;
  }

  /** Takes more. */
  get open(): boolean {
    return this.#open && this.#tags.length < mostTags;
  }

  add(unsettled: Unsettled): Promise<SettleOutcome> {
    this.#tags.push(String(unsettled.delivery.tag));
    this.#members.push(unsettled);
    return new Promise((resolve, reject) => {
      this.#resolves.push(resolve);
      this.#rejects.push(reject);
    });
  }

  commands(): readonly RedisCommand[] {
    this.#open = false;
    return [evalCommand(acknowledgeScript, [this.#layout.unacked, this.#layout.unackedIndex], this.#tags)];
  }

  done([reply]: readonly unknown[], resent: boolean): void {
    const gone = new Set<number>();
    if (!resent && Array.isArray(reply)) for (const at of reply) gone.add(Number(at) - 1);
    for (const [at, resolve] of this.#resolves.entries()) resolve(gone.has(at) ? 'stale' : 'done');
  }

  failed(failure: RedisFailure): void {
    this.#open = false;
    const error = brokerUnavailable(failure);
    for (const member of this.#members) this.#onFailed(member);
    for (const reject of this.#rejects) reject(error);
  }
}
