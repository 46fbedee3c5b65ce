/**
 * The operator's channel on RabbitMQ: a channel of AMQP, on which each operation is the server's own.
 *
 * What the server refuses ends the channel; the next operation opens another. The server cannot be asked over AMQP what there is.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel, QueueState as ServerQueueState } from '../../driver/amqp-channel.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { Message } from '../../protocol/message.ts';
import type { Broker, ExchangeType } from '../broker.ts';
import type { DeclareOptions, GotMessage, OperatorChannel, QueueState } from '../operator-channel.ts';
import { unknownTag } from '../plain-operator-channel.ts';
import { AmqpDelivery } from './amqp-delivery.ts';
import { brokerUnavailable } from './unavailable.ts';

export interface AmqpOperatorChannelParams {
  readonly connection: AmqpConnection;
  /** For what is published, which the server confirms. */
  readonly broker: Broker;
}

export class AmqpOperatorChannel implements OperatorChannel {
  readonly #params: AmqpOperatorChannelParams;
  #channel: AmqpChannel | null = null;
  /** Tags of the channel there is. */
  #tags = new Set<number>();

  constructor(params: AmqpOperatorChannelParams) {
    this.#params = params;
  }

  get held(): number {
    return this.#channel === null || this.#channel.closed ? 0 : this.#tags.size;
  }

  async listQueues(): Promise<null> {
    return null;
  }

  async listBindings(): Promise<null> {
    return null;
  }

  async lookAtQueue(queue: string): Promise<QueueState | null> {
    try {
      // On a channel of its own: that there is none ends it.
      const channel = await this.#params.connection.openChannel();
      const state = await channel.checkQueue(queue);
      await channel.close();
      return stateOf(state);
    } catch (error) {
      if (error instanceof AmqpFailure && error.kind === 'not-found') return null;
      throw brokerUnavailable(error);
    }
  }

  declareExchange(exchange: string, type: ExchangeType, { passive, durable, autoDelete }: DeclareOptions): Promise<void> {
    return this.#ask((channel) =>
      passive ? channel.checkExchange(exchange) : channel.declareExchange(exchange, type, { durable, autoDelete }),
    );
  }

  deleteExchange(exchange: string, { ifUnused }: { readonly ifUnused: boolean }): Promise<void> {
    return this.#ask((channel) => channel.deleteExchange(exchange, ifUnused));
  }

  async declareQueue(queue: string, { passive, durable, autoDelete }: DeclareOptions): Promise<QueueState> {
    const options = { durable, autoDelete, exclusive: false, arguments: {} };
    return stateOf(await this.#ask((channel) => (passive ? channel.checkQueue(queue) : channel.declareQueue(queue, options))));
  }

  bindQueue(queue: string, exchange: string, routingKey: string): Promise<void> {
    return this.#ask((channel) => channel.bindQueue(queue, exchange, routingKey));
  }

  deleteQueue(queue: string, conditions: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number> {
    return this.#ask((channel) => channel.deleteQueue(queue, conditions));
  }

  purgeQueue(queue: string): Promise<number> {
    return this.#ask((channel) => channel.purgeQueue(queue));
  }

  /** What waits is held by somebody, or lies in another queue. */
  async bringForward(): Promise<number> {
    return 0;
  }

  publish(message: Message, to: { readonly exchange: string; readonly routingKey: string; readonly mandatory: boolean }): Promise<void> {
    return this.#params.broker.publish(message, to);
  }

  async get(queue: string, { noAck }: { readonly noAck: boolean }): Promise<GotMessage | null> {
    const got = await this.#ask((channel) => channel.get(queue, noAck));
    if (got === null) return null;
    const { properties, headers, body, exchange, routingKey, redelivered, tag } = AmqpDelivery.received(got.message, queue, 0);
    if (!noAck) this.#tags.add(tag);
    return { properties, headers, body, exchange, routingKey, redelivered, tag, ready: got.messageCount };
  }

  async ack(tag: number): Promise<void> {
    if (this.held === 0 || !this.#tags.has(tag)) throw unknownTag(tag);
    this.#tags.delete(tag);
    await this.#ask(async (channel) => {
      channel.ack(tag, false);
      await channel.barrier();
    });
  }

  async close(): Promise<void> {
    await this.#channel?.close();
    this.#channel = null;
  }

  async #ask<T>(operation: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    try {
      if (this.#channel === null || this.#channel.closed) {
        this.#tags = new Set();
        this.#channel = await this.#params.connection.openChannel();
      }
      return await operation(this.#channel);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }
}

function stateOf({ messages, consumers }: ServerQueueState): QueueState {
  return { ready: messages, consumers };
}
