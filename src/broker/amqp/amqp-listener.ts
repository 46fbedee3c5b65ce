/**
 * A listener to a broadcast or to replies: a queue of its own that ends with the connection, and a channel of its own.
 *
 * Owns both, and makes them again after a loss; what was sent meanwhile is not heard.
 */
import { randomUUID } from 'node:crypto';
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import type { AmqpFailure } from '../../driver/amqp-failure.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock } from '../../std/clock.ts';
import type { Listener, ListenParams } from '../broker.ts';
import { type Attempt, ChannelOpening } from './channel-opening.ts';
import type { Topology } from './topology.ts';
import { fromWire } from './wire-message.ts';

export interface AmqpListenerParams {
  readonly connection: AmqpConnection;
  readonly topology: Topology;
  readonly listen: ListenParams;
  readonly log: Logger;
  readonly clock: Clock;
  stopped(listener: AmqpListener): void;
}

/** Nobody reads from it for a minute: the server may forget it, and what is in it, for a server that does not end it with its connection. */
const queueArguments = { 'x-expires': 60_000 };

export class AmqpListener implements Listener {
  readonly #params: AmqpListenerParams;
  readonly #opening: ChannelOpening;
  #channel: AmqpChannel | null = null;
  #stopped = false;

  constructor(params: AmqpListenerParams) {
    this.#params = params;
    const { connection, topology, log, listen } = params;
    this.#opening = new ChannelOpening({
      ...params,
      isWanted: () => !this.#stopped,
      hasChannel: () => this.#channel !== null,
      open: (attempt) => this.#open(attempt),
      answers: () => topology.answers + (this.#channel?.answers ?? 0),
      opened: () => {},
      failed: (error) => {
        if (connection.state === 'connected')
          log.error('broker.listen-failed', `Cannot listen to exchange ${listen.exchange}: ${messageOf(error)}. Trying again`);
      },
      what: () => `listening to exchange ${listen.exchange}`,
    });
  }

  /** Rejects with an AmqpFailure. */
  start(): Promise<void> {
    return this.#opening.first();
  }

  reconnected(): void {
    // One that has not heard of its end belongs to the connection before.
    this.#channel = null;
    this.#opening.anew();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#opening.stop();
    const channel = this.#channel;
    this.#channel = null;
    this.#params.stopped(this);
    await channel?.close();
  }

  /** Without a word to the server. */
  abandon(): void {
    this.#stopped = true;
    this.#channel = null;
    this.#opening.stop();
  }

  async #open(attempt: Attempt): Promise<void> {
    const { connection, topology, listen } = this.#params;
    const { exchange, exchangeType, exchangeDurable = exchangeType === 'topic' } = listen;
    if (exchange !== '') await topology.declareExchange(exchange, exchangeType, exchangeDurable);
    const channel = await connection.openChannel();
    if (this.#stopped || attempt.isOver) {
      void channel.close();
      return;
    }
    this.#channel = channel;
    let failure: AmqpFailure | null = null;
    channel.onClose((cause) => {
      failure = cause;
      if (this.#channel !== channel) return;
      this.#channel = null;
      if (!attempt.isOver) return;
      if (cause.kind !== 'lost') this.#params.log.error('broker.channel-lost', `${cause.message}. Listening to ${exchange} anew`);
      this.#opening.soon();
    });
    try {
      await this.#begin(channel);
    } catch (error) {
      if (this.#channel === channel) {
        this.#channel = null;
        void channel.close();
      }
      throw error;
    }
    if (failure !== null) throw failure;
  }

  async #begin(channel: AmqpChannel): Promise<void> {
    const { listen } = this.#params;
    const { exchange, routingKey } = listen;
    const known = listen.queue;
    const { name: queue, consumers } = await channel.declareQueue(known?.name ?? `umbel.listen.${randomUUID()}`, {
      durable: false,
      exclusive: known === undefined,
      autoDelete: true,
      arguments: known === undefined ? queueArguments : { 'x-expires': known.expiresMs, 'x-message-ttl': known.messageTtlMs },
    });
    if (consumers > 0) known?.onShared();
    if (exchange !== '') await channel.bindQueue(queue, exchange, routingKey);
    await channel.consume(queue, { consumerTag: 'umbel-listener', noAck: true, exclusive: false, arguments: {} }, (message) => {
      if (this.#stopped || channel !== this.#channel) return;
      // The server has ended it: begin anew with another queue.
      if (message === null) void channel.close().then(() => this.#lost(channel));
      else {
        const { properties, content, fields } = message;
        listen.onMessage({ properties: fromWire(properties), headers: properties.headers ?? null, body: content }, fields.routingKey);
      }
    });
  }

  #lost(channel: AmqpChannel): void {
    if (this.#channel !== channel || this.#stopped) return;
    this.#channel = null;
    this.#opening.soon();
  }
}
