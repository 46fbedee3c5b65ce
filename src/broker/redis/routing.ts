/**
 * Queues, bindings, and the commands that publish a message.
 *
 * Owns: what this process has declared: Redis does not keep the type of an exchange, so it is what the publisher declared. For an
 * exchange nobody here has declared, listeners on its channel mean a broadcast; without any, the bindings decide.
 * Source: protocol notes, redis.md §2.1 and §4.
 */
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import { UmbelError } from '../../errors.ts';
import type { Destination, ExchangeType, QueueDeclaration } from '../broker.ts';
import { bindingsOf } from '../queue-bindings.ts';
import { bindingMember, type KeyLayout, topicPattern } from './key-layout.ts';
import { publishScript } from './publish-script.ts';

/** Of one queue. */
interface Declared {
  /** Exchange and member of each binding that is kept in Redis. */
  readonly members: readonly (readonly [exchange: string, member: string])[];
  /** It is for the broadcasts of this exchange; null: it is a list. */
  readonly broadcast: string | null;
}

export class Routing {
  readonly #layout: KeyLayout;
  /** By queue. */
  readonly #declared = new Map<string, Declared>();
  readonly #types = new Map<string, ExchangeType>();

  constructor(layout: KeyLayout) {
    this.#layout = layout;
  }

  /** The commands that make its bindings. Throws NOT_SUPPORTED. */
  declare(queue: QueueDeclaration): RedisCommand[] {
    this.mustBeQueue(queue.name);
    const bindings = bindingsOf(queue);
    const broadcast = bindings.find(({ type }) => type === 'fanout')?.exchange ?? null;
    if (broadcast !== null && bindings.length > 1) {
      throw new UmbelError(
        'NOT_SUPPORTED',
        `on Redis a queue that is bound to a fanout exchange can have no other binding, got ${bindings.length} (queue ${queue.name}, exchange ${broadcast})`,
      );
    }
    const members = bindings.map(({ exchange, type, routingKey }) => {
      this.#types.set(exchange, type);
      const pattern = type === 'topic' ? topicPattern(routingKey) : '';
      return [exchange, bindingMember(routingKey, pattern, queue.name, this.#layout.sep)] as const;
    });
    const declared = { members: queue.noDeclare ? [] : members, broadcast };
    this.#declared.set(queue.name, declared);
    return this.#bind(declared);
  }

  /** Throws BROKER_REFUSED for a name whose list would be one of the broker's own keys. */
  mustBeQueue(name: string): void {
    const ownKey = this.#layout.lists(name).find((list) => this.#layout.isOwn(list));
    if (ownKey !== undefined)
      throw new UmbelError(
        'BROKER_REFUSED',
        `on Redis a queue must not have the name of a key of the broker, got ${ownKey} (queue ${name})`,
      );
  }

  #bind({ members }: Declared): RedisCommand[] {
    return members.map(([exchange, member]): RedisCommand => ['SADD', this.#layout.binding(exchange), member]);
  }

  /** A listener says what its exchange is. */
  learn(exchange: string, type: ExchangeType): void {
    this.#types.set(exchange, type);
  }

  /** Everything once more, for a server that may have forgotten it. */
  again(): RedisCommand[] {
    return [...this.#declared.values()].flatMap((declared) => this.#bind(declared));
  }

  /** The commands that forget a queue with its messages. */
  undeclare(queue: string): RedisCommand[] {
    this.mustBeQueue(queue);
    // As Celery declares a queue that nobody here has declared.
    const members = this.#declared.get(queue)?.members ?? [[queue, bindingMember(queue, '', queue, this.#layout.sep)] as const];
    this.#declared.delete(queue);
    return [
      ['DEL', ...this.#layout.lists(queue)],
      ...members.map(([exchange, member]): RedisCommand => ['SREM', this.#layout.binding(exchange), member]),
    ];
  }

  /** The exchange whose broadcasts this queue is for; null: it is a list. */
  broadcastExchange(queue: string): string | null {
    return this.#declared.get(queue)?.broadcast ?? null;
  }

  publish(envelope: string, priority: number | undefined, { exchange, routingKey, queue }: Destination): RedisCommand {
    const layout = this.#layout;
    const step = layout.stepOf(priority);
    if (exchange === '' || queue !== undefined) return ['LPUSH', layout.list(queue ?? routingKey, step), envelope];
    const type = this.#types.get(exchange) ?? conventionalType(exchange);
    const channel = layout.channel(exchange, routingKey);
    if (type === 'fanout') return ['PUBLISH', channel, envelope];
    const suffix = step === 0 ? '' : layout.sep + String(step);
    const broadcast = type === 'direct' ? '' : channel;
    const args = [routingKey, envelope, layout.sep, layout.prefix, suffix, broadcast, type === undefined ? '1' : '0'];
    return evalCommand(publishScript, [layout.binding(exchange)], args);
  }
}

/** Exchanges that Celery declares by itself, and how: their binding sets keep members of workers that have crashed. */
export function conventionalType(exchange: string): ExchangeType | undefined {
  if (/^reply\..*\.pidbox$/.test(exchange)) return 'direct';
  return exchange === 'celeryev' || exchange.endsWith('.pidbox') ? 'fanout' : undefined;
}
