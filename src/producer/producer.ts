/**
 * The producer: from a finished message and where it should go to a message the broker has.
 *
 * Owns routing (messages.md §2.7) and declaring queues before the first publish to them. Building messages is protocol/.
 */
import type { Broker, Destination } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';
import type { Message } from '../protocol/message.ts';

/** What the caller said about where; what is left open is filled in here. */
export interface Route {
  readonly queue?: string;
  readonly exchange?: string;
  readonly routingKey?: string;
}

export interface ProducerParams {
  readonly broker: Broker;
  readonly defaultQueue: string;
  /** Queues declared by configuration or consumed here. */
  readonly queues: readonly string[];
  readonly createMissingQueues: boolean;
}

export class Producer {
  readonly #params: ProducerParams;
  readonly #known: ReadonlySet<string>;
  /** Queues declared through this producer. */
  readonly #declared = new Map<string, Promise<void>>();

  constructor(params: ProducerParams) {
    this.#params = params;
    this.#known = new Set([params.defaultQueue, ...params.queues]);
  }

  /** Resolves when the broker has the message for good. `dueAtMs`: unix ms before which it should not be delivered. */
  async publish(message: Message, route: Route, dueAtMs: number | null): Promise<void> {
    const destination = this.#destination(route);
    if (destination.exchange === '') await this.#declare(destination.routingKey);
    await this.#params.broker.publish(message, dueAtMs === null ? destination : { ...destination, dueAtMs });
  }

  #destination(route: Route): Destination {
    if (route.exchange !== undefined && route.exchange !== '') {
      return { exchange: route.exchange, routingKey: route.routingKey ?? route.queue ?? this.#params.defaultQueue };
    }
    return { exchange: '', routingKey: route.queue ?? route.routingKey ?? this.#params.defaultQueue };
  }

  #declare(queue: string): Promise<void> {
    let declared = this.#declared.get(queue);
    if (declared !== undefined) return declared;
    if (!this.#known.has(queue) && !this.#params.createMissingQueues) {
      return Promise.reject(
        new UmbelError('QUEUE_UNKNOWN', `a queue must be declared when task.create_missing_queues is false, got '${queue}'`),
      );
    }
    declared = this.#params.broker.declareQueue({ name: queue });
    this.#declared.set(queue, declared);
    // A failed declaration must not stick: the next publish tries again.
    declared.catch(() => this.#declared.delete(queue));
    return declared;
  }
}
