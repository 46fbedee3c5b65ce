/**
 * Celery's native delayed delivery (5.5 and later, for quorum queues): the exchanges and queues that hold messages which a client has published ahead of time.
 *
 * Owns names, levels and bindings, exactly as Celery declares them, so that Python clients and workers of one deployment use the same. A client
 * publishes to the exchange of the highest level with the seconds as 28 binary words before the routing key; level n keeps a message 2^n
 * seconds when its word is 1 and passes it on when it is 0. Source: protocol notes, amqp.md §9.
 */
import type { QueueDeclaration } from '../broker.ts';
import type { Topology } from './topology.ts';

const highestLevel = 27;
const deliveryExchange = 'celery_delayed_delivery';

/** Where a client publishes a message that is due later. */
export const nativeDelayExchange = `celery_delayed_${highestLevel}`;

/** What does not fit into 28 bits waits as long as they can say; the message's eta tells the worker the rest. */
export function nativeDelayRoutingKey(countdownSeconds: number, routingKey: string): string {
  const seconds = Math.min(2 ** (highestLevel + 1) - 1, Math.max(0, Math.floor(countdownSeconds)));
  return `${[...seconds.toString(2).padStart(highestLevel + 1, '0')].join('.')}.${routingKey}`;
}

export async function declareNativeDelay(
  topology: Topology,
  queues: readonly QueueDeclaration[],
  queueType: 'quorum' | 'classic',
): Promise<void> {
  const topic = { durable: true, autoDelete: false };
  await topology.run((channel) => channel.declareExchange(deliveryExchange, 'topic', topic));
  for (let level = 0; level <= highestLevel; level++) {
    const name = `celery_delayed_${level}`;
    const lower = level === 0 ? deliveryExchange : `celery_delayed_${level - 1}`;
    const higherWords = '*.'.repeat(highestLevel - level);
    const args = {
      'x-queue-type': queueType,
      'x-overflow': 'reject-publish',
      'x-message-ttl': 2 ** level * 1000,
      'x-dead-letter-exchange': lower,
      ...(queueType === 'quorum' ? { 'x-dead-letter-strategy': 'at-least-once' } : {}),
    };
    await topology.run(async (channel) => {
      await channel.declareExchange(name, 'topic', topic);
      await channel.declareQueue(name, { durable: true, exclusive: false, autoDelete: false, arguments: args });
      await channel.bindQueue(name, name, `${higherWords}1.#`);
      await channel.bindExchange(lower, name, `${higherWords}0.#`);
    });
  }
  for (const { name, exchange = name, routingKey = name } of queues) {
    if (exchange === '') continue;
    const key = routingKey.startsWith('#') ? routingKey : `#.${routingKey}`;
    await topology.run(async (channel) => {
      await channel.bindExchange(exchange, deliveryExchange, key);
      await channel.bindQueue(name, exchange, key);
    });
  }
}
