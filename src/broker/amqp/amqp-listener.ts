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
import { backoffDelayMs } from '../../std/backoff.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import type { Listener, ListenParams } from '../broker.ts';
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
  #channel: AmqpChannel | null = null;
  #stopped = false;
  #retries = 0;
  #timer: Timer | undefined;

  constructor(params: AmqpListenerParams) {
    this.#params = params;
  }

  /** Rejects with an AmqpFailure. */
  async start(): Promise<void> {
    const { connection, topology, listen } = this.#params;
    const { exchange, exchangeType, routingKey, exchangeDurable = exchangeType === 'topic' } = listen;
    if (exchange !== '') await topology.declareExchange(exchange, exchangeType, exchangeDurable);
    const channel = await connection.openChannel();
    // Another start, from before a loss, may have come first.
    if (this.#stopped || this.#channel !== null) {
      void channel.close();
      return;
    }
    this.#channel = channel;
    const beginning = { over: false, failure: null as AmqpFailure | null };
    channel.onClose((cause) => {
      if (this.#channel !== channel) return;
      this.#channel = null;
      if (!beginning.over) {
        beginning.failure = cause;
        return;
      }
      if (cause.kind !== 'lost') this.#params.log.error('broker.channel-lost', `${cause.message}. Listening to ${exchange} anew`);
      this.#later();
    });
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
    beginning.over = true;
    if (beginning.failure !== null) throw beginning.failure;
    this.#retries = 0;
  }

  reconnected(): void {
    if (this.#channel === null) this.#again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#params.clock.clearTimer(this.#timer);
    const channel = this.#channel;
    this.#channel = null;
    this.#params.stopped(this);
    await channel?.close();
  }

  /** Without a word to the server. */
  abandon(): void {
    this.#stopped = true;
    this.#channel = null;
    this.#params.clock.clearTimer(this.#timer);
  }

  #lost(channel: AmqpChannel): void {
    if (this.#channel !== channel) return;
    this.#channel = null;
    this.#later();
  }

  #later(): void {
    if (this.#stopped) return;
    const delayMs = this.#retries === 0 ? 0 : backoffDelayMs({ attempt: this.#retries, baseMs: 100, maxMs: 5000 });
    this.#retries += 1;
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = this.#params.clock.setTimer(() => this.#again(), delayMs);
  }

  /** Without a connection its return wakes us. */
  #again(): void {
    const { connection, log, listen } = this.#params;
    if (this.#stopped || connection.state !== 'connected') return;
    this.start().catch((error: unknown) => {
      if (this.#stopped || connection.state !== 'connected') return;
      log.error('broker.listen-failed', `Cannot listen to exchange ${listen.exchange}: ${messageOf(error)}. Trying again`);
      this.#later();
    });
  }
}
