/**
 * The ways out of `unacked` for the messages of one subscription.
 *
 * Owns: the commands, all of them kept while the server is away. Knows neither what is held nor why it goes.
 */
import { randomUUID } from 'node:crypto';
import type { RedisConnection } from '../../driver/redis.ts';
import type { RedisRemoval } from '../../driver/redis-removal.ts';
import { evalCommand, type RedisScript } from '../../driver/redis-script.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { encodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { Delivery, SettleOutcome } from '../broker.ts';
import type { DeferredTag } from './delayed-tags.ts';
import type { KeyLayout } from './key-layout.ts';
import type { QueueList } from './queue-list.ts';
import { SettleBatch, type Unsettled } from './settle-batch.ts';
import { giveBackScript, requeueScript, setAsideScript } from './settle-scripts.ts';
import { brokerUnavailable } from './unavailable.ts';

const giveBackAtOnce = 500;

export class UnackedMessages {
  readonly #connection: RedisConnection;
  readonly #layout: KeyLayout;
  readonly #log: Logger;
  readonly #onUnsettled: (unsettled: Unsettled) => void;
  #batch: SettleBatch | null = null;

  /** `onUnsettled`: an acknowledgement failed or was not to be, the message is still there. */
  constructor(connection: RedisConnection, layout: KeyLayout, log: Logger, onUnsettled: (unsettled: Unsettled) => void) {
    this.#connection = connection;
    this.#layout = layout;
    this.#log = log;
    this.#onUnsettled = onUnsettled;
  }

  /** With the result it belongs to, where somebody stores one; else with the others of this turn. */
  acknowledge(unsettled: Unsettled): Promise<SettleOutcome> {
    const { removals } = this.#connection;
    if (removals !== null) return this.#leaveTo(removals, unsettled);
    if (this.#batch?.open !== true) {
      this.#batch = new SettleBatch(this.#layout, this.#onUnsettled);
      this.#connection.enqueue(this.#batch);
    }
    return this.#batch.add(unsettled);
  }

  #leaveTo(removals: RedisRemoval[], unsettled: Unsettled): Promise<SettleOutcome> {
    return new Promise((resolve, reject) => {
      removals.push({
        hash: this.#layout.unacked,
        index: this.#layout.unackedIndex,
        member: String(unsettled.delivery.tag),
        removed: (wasThere) => resolve(wasThere ? 'done' : 'stale'),
        kept: () => {
          this.#onUnsettled(unsettled);
          resolve('kept');
        },
        failed: (failure) => {
          this.#onUnsettled(unsettled);
          reject(brokerUnavailable(failure));
        },
      });
    });
  }

  /** Marked redelivered; LPUSH behind all others, RPUSH as the next one. The outcome of each. Enqueued before it returns. `headers`: instead of their own. */
  async requeue(
    push: 'LPUSH' | 'RPUSH',
    from: QueueList,
    deliveries: readonly Delivery[],
    headers?: Delivery['headers'],
  ): Promise<SettleOutcome[]> {
    const args: string[] = [push];
    for (const delivery of deliveries) {
      const { exchange, routingKey, properties, body } = delivery;
      const message = headers === undefined ? delivery : { properties, headers, body };
      args.push(String(delivery.tag), encodeEnvelope(message, { exchange, routingKey, deliveryTag: randomUUID(), redelivered: true }));
    }
    const command = evalCommand(requeueScript, [this.#layout.unacked, this.#layout.unackedIndex, from.key], args);
    try {
      const [gone] = await this.#connection.commit([command], { keep: true });
      const missing = new Set(Array.isArray(gone) ? gone.map(Number) : []);
      return deliveries.map((_, at) => (missing.has(at + 1) ? 'stale' : 'done'));
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  /** As they were, as the next ones, in their old order. Enqueued before it returns. */
  async giveBack(tags: readonly DeferredTag[]): Promise<void> {
    const sent: Promise<void>[] = [];
    for (const [from, members] of Map.groupBy([...tags].reverse(), (one) => one.from)) {
      for (let at = 0; at < members.length; at += giveBackAtOnce) {
        const step = members.slice(at, at + giveBackAtOnce);
        sent.push(this.#quietly(giveBackScript, from.key, [from.suffixBytes, ...step.map(({ tag }) => tag)]));
      }
    }
    await Promise.all(sent);
  }

  /** Cannot be read. */
  async setAside(tag: string, from: QueueList): Promise<void> {
    await this.#quietly(setAsideScript, from.rejectedKey, [from.suffixBytes, tag]);
  }

  /** A change nobody waits for; when it fails for good, the lease gives the messages back. */
  async #quietly(script: RedisScript, key: string, args: readonly (string | number)[]): Promise<void> {
    try {
      await this.#connection.commit([evalCommand(script, [this.#layout.unacked, this.#layout.unackedIndex, key], args)], { keep: true });
    } catch (error) {
      if (this.#connection.state === 'connected') {
        this.#log.warning('broker.give-back', `Messages could not be given back: ${messageOf(error)}`);
      }
    }
  }
}
