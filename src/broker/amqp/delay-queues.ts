/**
 * Where messages wait that are due much later: durable queues of RabbitMQ whose messages expire back into the queue they came from.
 *
 * A message that a worker keeps unacknowledged beyond the broker's consumer timeout (30 minutes by default) ends the worker's channel. So it is published, with a
 * confirm, to the delay queue of the longest wait that is not too long, and only then acknowledged. There is one such queue for each power of two
 * of seconds, on demand, for all task queues: a fanout exchange of the same name leaves the routing key alone, which is the name of the task queue, and
 * that is where an expired message goes by way of the default exchange. What is left of the time after that is waited for in the same way again, so it
 * is never early; workers may come and go meanwhile, umbel or Python.
 *
 * Quorum queues with at-least-once dead-lettering where the server has them (3.10): then no crash of the server loses the message on its way back.
 */
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { AmqpPublisher } from '../../driver/amqp-publisher.ts';
import type { AmqpServer } from '../../driver/amqp-session.ts';
import type { Delivery } from '../broker.ts';
import { parkedHeaders } from './parked-message.ts';
import type { Topology } from './topology.ts';
import { toWire } from './wire-message.ts';

export interface DelayQueuesParams {
  readonly topology: Topology;
  publisher(): AmqpPublisher;
  server(): AmqpServer | null;
}

/** Celery's longest level as well: 4.2 years. Longer waits take several turns. */
const longestLevel = 27;

export class DelayQueues {
  readonly #params: DelayQueuesParams;
  /** Declared over the connection that is there now. */
  readonly #declared = new Map<number, Promise<void>>();

  constructor(params: DelayQueuesParams) {
    this.#params = params;
  }

  /** Another connection, maybe another server. */
  reconnected(): void {
    this.#declared.clear();
  }

  /** Resolves when a delay queue has it; rejects with an AmqpFailure. `waitMs` is at least a second. */
  async park(delivery: Delivery, waitMs: number): Promise<void> {
    const level = Math.min(longestLevel, Math.floor(Math.log2(waitMs / 1000)));
    const name = `umbel.delayed.${2 ** level}s`;
    let declared = this.#declared.get(level);
    if (declared === undefined) {
      declared = this.#declare(name, 2 ** level * 1000);
      this.#declared.set(level, declared);
    }
    try {
      await declared;
    } catch (error) {
      this.#declared.delete(level);
      throw error;
    }
    const { expiration: _, ...properties } = delivery.properties;
    const message = { properties, headers: parkedHeaders(delivery), body: delivery.body };
    const wire = toWire(message, name, delivery.queue, true);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#params.publisher().publish(wire, delivery.body, (failure) => (failure === null ? resolve() : reject(failure)));
      });
    } catch (error) {
      // Somebody may have deleted it.
      if (error instanceof AmqpFailure && (error.kind === 'not-found' || error.kind === 'returned')) this.#declared.delete(level);
      throw error;
    }
  }

  async #declare(name: string, waitMs: number): Promise<void> {
    const { topology } = this.#params;
    const server = this.#params.server();
    const hasAtLeastOnce = server !== null && (server.majorVersion > 3 || (server.majorVersion === 3 && server.minorVersion >= 10));
    const args: Record<string, unknown> = { 'x-message-ttl': waitMs, 'x-dead-letter-exchange': '' };
    if (hasAtLeastOnce) {
      Object.assign(args, { 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish', 'x-dead-letter-strategy': 'at-least-once' });
    }
    await topology.run((channel) => channel.declareExchange(name, 'fanout', { durable: true, autoDelete: false }));
    const options = { durable: true, exclusive: false, autoDelete: false, arguments: args };
    await topology
      .run((channel) => channel.declareQueue(name, options))
      .catch((error: unknown) => {
        // Made by an earlier version of the server: a classic one does as well.
        if (!(error instanceof AmqpFailure) || error.kind !== 'differs') throw error;
      });
    await topology.run((channel) => channel.bindQueue(name, name, ''));
  }
}
