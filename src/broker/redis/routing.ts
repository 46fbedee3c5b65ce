/**
 * Queues, bindings, and the commands that publish a message.
 *
 * Owns: what this process has declared: Redis does not keep the type of an exchange, so it is what the publisher declared. For an
 * exchange nobody here has declared, listeners on its channel mean a broadcast; without any, the bindings decide.
 * Source: protocol notes, redis.md §2.1 and §4.
 */
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import type { Destination, ExchangeType, QueueDeclaration } from '../broker.ts';
import { bindingMember, type KeyLayout, topicPattern } from './key-layout.ts';
import { publishScript } from './publish-script.ts';

interface Declared {
  readonly exchange: string;
  readonly type: ExchangeType;
  readonly member: string;
}

export class Routing {
  readonly #layout: KeyLayout;
  /** By queue. */
  readonly #declared = new Map<string, Declared>();
  readonly #types = new Map<string, ExchangeType>();

  constructor(layout: KeyLayout) {
    this.#layout = layout;
  }

  /** The commands that make the binding. */
  declare(queue: QueueDeclaration): RedisCommand[] {
    const type = queue.exchangeType ?? 'direct';
    const exchange = queue.exchange ?? queue.name;
    if (exchange === '') return [];
    const routingKey = queue.routingKey ?? queue.name;
    const member = bindingMember(routingKey, type === 'topic' ? topicPattern(routingKey) : '', queue.name, this.#layout.sep);
    this.#declared.set(queue.name, { exchange, type, member });
    this.#types.set(exchange, type);
    return [['SADD', this.#layout.binding(exchange), member]];
  }

  /** A listener says what its exchange is. */
  learn(exchange: string, type: ExchangeType): void {
    this.#types.set(exchange, type);
  }

  /** Everything once more, for a server that may have forgotten it. */
  again(): RedisCommand[] {
    return [...this.#declared.values()].map(({ exchange, member }) => ['SADD', this.#layout.binding(exchange), member]);
  }

  /** The commands that forget a queue with its messages. */
  undeclare(queue: string): RedisCommand[] {
    const declared = this.#declared.get(queue);
    this.#declared.delete(queue);
    // As Celery declares a queue that nobody here has declared.
    const { exchange, member } = declared ?? { exchange: queue, member: bindingMember(queue, '', queue, this.#layout.sep) };
    return [
      ['DEL', ...this.#layout.lists(queue)],
      ['SREM', this.#layout.binding(exchange), member],
    ];
  }

  /** The exchange whose broadcasts this queue is for; null: it is a list. */
  broadcastExchange(queue: string): string | null {
    const declared = this.#declared.get(queue);
    return declared?.type === 'fanout' ? declared.exchange : null;
  }

  publish(envelope: string, priority: number | undefined, { exchange, routingKey }: Destination): RedisCommand {
    const layout = this.#layout;
    const step = layout.stepOf(priority);
    if (exchange === '') return ['LPUSH', layout.list(routingKey, step), envelope];
    const type = this.#types.get(exchange) ?? conventional(exchange);
    const channel = layout.channel(exchange, routingKey);
    if (type === 'fanout') return ['PUBLISH', channel, envelope];
    const suffix = step === 0 ? '' : layout.sep + String(step);
    const broadcast = type === 'direct' ? '' : channel;
    const args = [routingKey, envelope, layout.sep, layout.prefix, suffix, broadcast, type === undefined ? '1' : '0'];
    return evalCommand(publishScript, [layout.binding(exchange)], args);
  }
}

/** Exchanges that Celery declares by itself, and how: their binding sets keep members of workers that have crashed. */
function conventional(exchange: string): ExchangeType | undefined {
  if (/^reply\..*\.pidbox$/.test(exchange)) return 'direct';
  return exchange === 'celeryev' || exchange.endsWith('.pidbox') ? 'fanout' : undefined;
}
