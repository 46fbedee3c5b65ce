/**
 * The bindings that lie in Redis: kombu's sets, one for each exchange.
 *
 * They are found by walking over all keys, since nothing lists them: for operators, not for workers.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import type { BrokerTables, TypedBinding } from '../plain-operator-channel.ts';
import type { KeyLayout } from './key-layout.ts';
import { conventionalType } from './routing.ts';
import { brokerUnavailable } from './unavailable.ts';

interface Member extends TypedBinding {
  /** As it stands in its set. */
  readonly member: string;
}

const scanCount = 1000;

export class RedisTables implements BrokerTables {
  readonly #connection: RedisConnection;
  readonly #layout: KeyLayout;

  constructor(connection: RedisConnection, layout: KeyLayout) {
    this.#connection = connection;
    this.#layout = layout;
  }

  async bindings(): Promise<readonly TypedBinding[]> {
    return (await this.#members()).map(({ queue, exchange, routingKey, type }) => ({ queue, exchange, routingKey, type }));
  }

  /** A list that no set names could be anybody's. */
  async otherQueues(): Promise<readonly string[]> {
    return [];
  }

  async unbindExchange(exchange: string): Promise<void> {
    await this.#ask('DEL', this.#layout.binding(exchange));
  }

  async unbindQueue(queue: string): Promise<void> {
    for (const { exchange, member } of (await this.#members()).filter((one) => one.queue === queue))
      await this.#ask('SREM', this.#layout.binding(exchange), member);
  }

  /** What waits is held by somebody. */
  async bringForward(): Promise<number> {
    return 0;
  }

  async #members(): Promise<readonly Member[]> {
    const prefix = this.#layout.binding('');
    const members: Member[] = [];
    for (const key of await this.#keys(`${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`)) {
      const exchange = key.slice(prefix.length);
      for (const member of (await this.#ask('SMEMBERS', key)) as readonly unknown[]) {
        const text = String(member);
        const [routingKey = '', pattern = '', queue = ''] = text.split(this.#layout.sep);
        const type = pattern === '' ? (conventionalType(exchange) ?? 'direct') : 'topic';
        if (queue !== '') members.push({ queue, exchange, routingKey, type, member: text });
      }
    }
    return members;
  }

  async #keys(pattern: string): Promise<ReadonlySet<string>> {
    const keys = new Set<string>();
    let cursor = '0';
    do {
      const [next, found] = (await this.#ask('SCAN', cursor, 'MATCH', pattern, 'COUNT', scanCount)) as [unknown, readonly unknown[]];
      cursor = String(next);
      for (const key of found) keys.add(String(key));
    } while (cursor !== '0');
    return keys;
  }

  async #ask(...command: Parameters<RedisConnection['call']>): Promise<unknown> {
    try {
      return await this.#connection.call(...command);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }
}
