/**
 * Celery's native delayed delivery (5.5 and later, for quorum queues): the exchanges and queues that hold messages which a client has published ahead of time.
 *
 * Owns names, levels and bindings, exactly as Celery declares them, so that Python clients and workers of one deployment use the same. A client
 * publishes to the exchange of the highest level with the seconds as 28 binary words before the routing key; level n keeps a message 2^n
 * seconds when its word is 1 and passes it on when it is 0. Source: protocol notes, amqp.md §9.
 *
 * What consumes declares all of it. What publishes declares nothing but the way back to the queues it knows, since a message without one would be dropped after
 * its wait; and where nobody has declared the rest it publishes as if there were no such thing.
 */
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import { longestText } from '../../driver/amqp-long-text.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock } from '../../std/clock.ts';
import type { ExchangeType, QueueDeclaration } from '../broker.ts';
import type { Topology } from './topology.ts';
import { maybeLater } from './unavailable.ts';

const highestLevel = 27;
const deliveryExchange = 'celery_delayed_delivery';
/** What a client's words before the routing key look like. */
const delayWords = /^(?:[01]\.){28}/;
/** After so long it is looked for again. */
const absentForMs = 60_000;

/** Where a client publishes a message that is due later. */
export const nativeDelayExchange = `celery_delayed_${highestLevel}`;

/** What does not fit into 28 bits waits as long as they can say; the message's eta tells the worker the rest. */
export function nativeDelayRoutingKey(countdownSeconds: number, routingKey: string): string {
  const seconds = Math.min(2 ** (highestLevel + 1) - 1, Math.max(0, Math.floor(countdownSeconds)));
  return `${[...seconds.toString(2).padStart(highestLevel + 1, '0')].join('.')}.${routingKey}`;
}

/** The key that the sender named. */
export function withoutDelayWords(routingKey: string): string {
  return routingKey.length > 2 * highestLevel && delayWords.test(routingKey) ? routingKey.replace(delayWords, '') : routingKey;
}

interface Way {
  readonly exchange: string;
  readonly type: ExchangeType;
  readonly key: string;
}

/** Bindings that a delayed message can come by. Celery leaves direct exchanges out, whose keys must be equal. */
function waysTo({ name, exchange = name, exchangeType = 'direct', routingKey = name, bindings = [] }: QueueDeclaration): readonly Way[] {
  const own: Way = { exchange, type: exchangeType, key: routingKey };
  const others = bindings.map((one): Way => ({ exchange: one.exchange, type: one.exchangeType ?? 'direct', key: one.routingKey ?? '' }));
  return [own, ...others].filter((way) => way.exchange !== '' && way.type !== 'direct');
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
  for (const queue of queues) {
    await bindWays(topology, queue).catch((error: unknown) => {
      // Another connection has the queue, or has yet to make it, and binds it.
      if (!maybeLater(error)) throw error;
    });
  }
}

async function bindWays(topology: Topology, queue: QueueDeclaration): Promise<void> {
  for (const { exchange, type, key: own } of waysTo(queue)) {
    const key = own.startsWith('#') ? own : `#.${own}`;
    await topology.run(async (channel) => {
      await channel.bindExchange(exchange, deliveryExchange, key);
      // The words stand before the key on its way to the queue, too. Fanout and headers exchanges do not look at it.
      if (type === 'topic') await channel.bindQueue(queue.name, exchange, key);
    });
  }
}

export interface NativeDelayParams {
  readonly topology: Topology;
  readonly queueType: 'quorum' | 'classic';
  readonly log: Logger;
  readonly clock: Clock;
}

export class NativeDelay {
  readonly #params: NativeDelayParams;
  /** Looked for over the connection that is there now, and found. */
  #present: Promise<boolean> | null = null;
  #absentUntilMs = 0;
  /** Exchanges whose queues have a way back. */
  readonly #bound = new Map<string, Promise<void>>();

  constructor(params: NativeDelayParams) {
    this.#params = params;
  }

  /** Another connection, maybe another server. */
  reconnected(): void {
    this.#present = null;
    this.#absentUntilMs = 0;
    this.#bound.clear();
  }

  /** Does nothing when no message could come this way. Never rejects: without it workers hold what is due later. */
  async declare(queues: readonly QueueDeclaration[]): Promise<void> {
    const { topology, queueType, log } = this.#params;
    const reachable = queues.filter((queue) => queue.noDeclare !== true && waysTo(queue).length > 0);
    if (reachable.length === 0) return;
    try {
      await declareNativeDelay(topology, reachable, queueType);
      this.#absentUntilMs = 0;
    } catch (error) {
      log.warning(
        'broker.delay-undeclared',
        `Celery's queues for delayed delivery could not be declared: ${messageOf(error)}. Workers hold messages that are due later`,
      );
    }
  }

  /** This queue was made anew, without what led to it before. Never rejects. */
  async declareAgain(queue: QueueDeclaration): Promise<void> {
    for (const { exchange } of waysTo(queue)) this.#bound.delete(exchange);
    await this.declare([queue]);
  }

  /** The key with which to publish to `nativeDelayExchange`; null: publish as always. Rejects with an AmqpFailure when the connection is lost. */
  async routingKey(exchange: string, routingKey: string, dueAtMs: number): Promise<string | null> {
    const { topology, clock } = this.#params;
    const seconds = Math.floor((dueAtMs - clock.now()) / 1000);
    if (seconds < 1) return null;
    // With the words before it the key would be too long: a worker holds the message.
    const delayed = nativeDelayRoutingKey(seconds, routingKey);
    if (Buffer.byteLength(delayed) > longestText) return null;
    const queues = topology.known.filter((queue) => queue.noDeclare !== true && waysTo(queue).some((way) => way.exchange === exchange));
    const ways = queues.flatMap(waysTo).filter((way) => way.exchange === exchange);
    // To fanout and headers exchanges the words lead by the very key of a queue.
    if (!ways.some(({ type, key }) => type === 'topic' || key === routingKey)) return null;
    if (!(await this.#isPresent())) return null;
    let bound = this.#bound.get(exchange);
    if (bound === undefined) {
      bound = Promise.all(queues.map((queue) => bindWays(topology, queue))).then(() => {});
      this.#bound.set(exchange, bound);
    }
    try {
      await bound;
    } catch (error) {
      this.#bound.delete(exchange);
      if ((error instanceof AmqpFailure && error.kind === 'denied') || maybeLater(error)) return null;
      throw error;
    }
    return delayed;
  }

  /** It was not there after all. */
  missed(): void {
    this.#present = null;
    this.#absentUntilMs = this.#params.clock.now() + absentForMs;
  }

  async #isPresent(): Promise<boolean> {
    if (this.#params.clock.now() < this.#absentUntilMs) return false;
    this.#present ??= this.#params.topology
      .run((channel) => channel.checkExchange(nativeDelayExchange))
      .then(
        () => true,
        (error: unknown) => {
          this.missed();
          if (error instanceof AmqpFailure && (error.kind === 'not-found' || error.kind === 'denied')) return false;
          this.#absentUntilMs = 0;
          throw error;
        },
      );
    return this.#present;
  }
}
