/**
 * The operations of AMQP on a broker that has none of its own, made of what every broker can do and of what this one keeps of its bindings.
 *
 * An exchange is there when a queue is bound to it, or when it was declared on this very channel: such brokers keep bindings alone. A queue is there when
 * it is bound, has messages, or was declared here.
 */
import { UmbelError } from '../errors.ts';
import type { Message } from '../protocol/message.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { Broker, Delivery, ExchangeType, Subscription } from './broker.ts';
import type { BoundQueue, DeclareOptions, GotMessage, OperatorChannel, QueueState } from './operator-channel.ts';

export interface TypedBinding extends BoundQueue {
  readonly type: ExchangeType;
}

/** What a broker keeps. */
export interface BrokerTables {
  bindings(): Promise<readonly TypedBinding[]>;
  /** Names it knows besides those that are bound. */
  otherQueues(): Promise<readonly string[]>;
  /** All bindings to it. */
  unbindExchange(exchange: string): Promise<void>;
  /** All bindings of it. */
  unbindQueue(queue: string): Promise<void>;
  bringForward(queue: string): Promise<number>;
}

export interface PlainChannelParams {
  readonly broker: Broker;
  readonly tables: BrokerTables;
  readonly clock?: Clock;
}

/** One that has said there is a message, and gives none for so long, has given it to somebody else. */
const quietMs = 2000;

export class PlainOperatorChannel implements OperatorChannel {
  readonly #broker: Broker;
  readonly #tables: BrokerTables;
  readonly #clock: Clock;
  /** Declared here. */
  readonly #exchanges = new Map<string, ExchangeType>();
  readonly #queues = new Set<string>();
  readonly #held = new Map<number, { readonly subscription: Subscription; readonly delivery: Delivery }>();
  #lastTag = 0;

  constructor({ broker, tables, clock = systemClock }: PlainChannelParams) {
    this.#broker = broker;
    this.#tables = tables;
    this.#clock = clock;
  }

  get held(): number {
    return this.#held.size;
  }

  async listQueues(): Promise<readonly string[]> {
    const bound = (await this.#tables.bindings()).map(({ queue }) => queue);
    return [...new Set([...bound, ...(await this.#tables.otherQueues()), ...this.#queues])];
  }

  async listBindings(): Promise<readonly BoundQueue[]> {
    return (await this.#tables.bindings()).map(({ queue, exchange, routingKey }) => ({ queue, exchange, routingKey }));
  }

  async lookAtQueue(queue: string): Promise<QueueState | null> {
    const ready = await this.#broker.countReady(queue);
    if (ready === 0 && !(await this.listQueues()).includes(queue)) return null;
    return { ready, consumers: null };
  }

  async declareExchange(exchange: string, type: ExchangeType, { passive, autoDelete }: DeclareOptions): Promise<void> {
    const known = await this.#typeOf(exchange);
    if (passive) {
      if (known === undefined) throw notFound('exchange', exchange);
      return;
    }
    if (autoDelete) throw this.#lacks('exchanges that delete themselves', `exchange ${exchange}`);
    if (type === 'headers') throw this.#lacks('headers exchanges', `exchange ${exchange}`);
    if (known !== undefined && known !== type)
      throw new UmbelError('BROKER_REFUSED', `exchange '${exchange}' is there with another type: it must be ${known}, got ${type}`);
    await this.#broker.declareExchange(exchange, type, true);
    this.#exchanges.set(exchange, type);
  }

  async deleteExchange(exchange: string, { ifUnused }: { readonly ifUnused: boolean }): Promise<void> {
    if ((await this.#typeOf(exchange)) === undefined) throw notFound('exchange', exchange);
    if (ifUnused) {
      const bound = (await this.#tables.bindings()).find((binding) => binding.exchange === exchange);
      if (bound !== undefined)
        throw new UmbelError(
          'BROKER_REFUSED',
          `exchange '${exchange}' must be unused to be deleted, and queue '${bound.queue}' is bound to it`,
        );
    }
    await this.#tables.unbindExchange(exchange);
    this.#exchanges.delete(exchange);
  }

  async declareQueue(queue: string, { passive, autoDelete }: DeclareOptions): Promise<QueueState> {
    if (passive) return this.#mustExist(queue);
    if (autoDelete) throw this.#lacks('queues that delete themselves without a worker', `queue ${queue}`);
    await this.#broker.declareQueue({ name: queue, exchange: '' });
    this.#queues.add(queue);
    return this.#mustExist(queue);
  }

  async bindQueue(queue: string, exchange: string, routingKey: string): Promise<void> {
    await this.#mustExist(queue);
    const exchangeType = await this.#typeOf(exchange);
    if (exchangeType === undefined) throw notFound('exchange', exchange);
    await this.#broker.declareQueue({ name: queue, exchange, exchangeType, routingKey });
  }

  async deleteQueue(queue: string, { ifUnused, ifEmpty }: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number> {
    if (ifUnused) throw this.#lacks('a way to tell whether somebody consumes from a queue', `queue ${queue}`);
    const { ready } = await this.#mustExist(queue);
    if (ifEmpty && ready > 0)
      throw new UmbelError('BROKER_REFUSED', `queue '${queue}' must be empty to be deleted, and has ${ready} messages`);
    const count = await this.#broker.purgeQueue(queue);
    await this.#tables.unbindQueue(queue);
    await this.#broker.deleteQueue(queue);
    this.#queues.delete(queue);
    return count;
  }

  async purgeQueue(queue: string): Promise<number> {
    await this.#mustExist(queue);
    return this.#broker.purgeQueue(queue);
  }

  bringForward(queue: string): Promise<number> {
    return this.#tables.bringForward(queue);
  }

  async publish(
    message: Message,
    to: { readonly exchange: string; readonly routingKey: string; readonly mandatory: boolean },
  ): Promise<void> {
    if (to.exchange !== '' && (await this.#typeOf(to.exchange)) === undefined) throw notFound('exchange', to.exchange);
    await this.#broker.publish(message, to);
  }

  async get(queue: string, { noAck }: { readonly noAck: boolean }): Promise<GotMessage | null> {
    const { ready } = await this.#mustExist(queue);
    if (ready === 0) return null;
    const { subscription, delivery } = await this.#takeOne(queue);
    if (delivery === null) {
      await subscription.release();
      return null;
    }
    const tag = ++this.#lastTag;
    this.#held.set(tag, { subscription, delivery });
    if (noAck) await this.ack(tag);
    const { properties, headers, body, exchange, routingKey, redelivered } = delivery;
    return { properties, headers, body, exchange, routingKey, redelivered, tag, ready: await this.#broker.countReady(queue) };
  }

  async ack(tag: number): Promise<void> {
    const held = this.#held.get(tag);
    if (held === undefined) throw unknownTag(tag);
    this.#held.delete(tag);
    const outcome = await held.subscription.ack(held.delivery);
    await held.subscription.release();
    if (outcome !== 'done')
      throw new UmbelError('BROKER_REFUSED', `the message with the tag ${tag} is no longer ours: the broker has given it to somebody else`);
  }

  async close(): Promise<void> {
    const subscriptions = [...this.#held.values()].map(({ subscription }) => subscription);
    this.#held.clear();
    for (const subscription of subscriptions) await subscription.release();
  }

  async #takeOne(queue: string): Promise<{ readonly subscription: Subscription; readonly delivery: Delivery | null }> {
    const { promise, resolve } = Promise.withResolvers<Delivery | null>();
    const timer: Timer = this.#clock.setTimer(() => resolve(null), quietMs);
    const subscription = await this.#broker.consume({
      queues: [queue],
      prefetch: 1,
      exact: true,
      onDelivery: resolve,
      onLost() {},
      onHeld() {},
    });
    const delivery = await promise;
    this.#clock.clearTimer(timer);
    await subscription.cancel();
    return { subscription, delivery };
  }

  async #typeOf(exchange: string): Promise<ExchangeType | undefined> {
    const declared = this.#exchanges.get(exchange);
    if (declared !== undefined || exchange === '') return declared;
    return (await this.#tables.bindings()).find((binding) => binding.exchange === exchange)?.type;
  }

  async #mustExist(queue: string): Promise<QueueState> {
    const state = await this.lookAtQueue(queue);
    if (state === null) throw notFound('queue', queue);
    return state;
  }

  #lacks(what: string, where: string): UmbelError {
    return new UmbelError('NOT_SUPPORTED', `the broker ${this.#broker.displayUrl} does not have ${what} (${where})`);
  }
}

/** Of a message that this channel does not hold. */
export function unknownTag(tag: number): UmbelError {
  return new UmbelError(
    'BROKER_REFUSED',
    `the delivery tag must be one of a message got and not acknowledged on this connection, got ${tag}`,
  );
}

function notFound(what: 'queue' | 'exchange', name: string): UmbelError {
  return new UmbelError('BROKER_REFUSED', `there is no ${what} '${name}'`);
}
