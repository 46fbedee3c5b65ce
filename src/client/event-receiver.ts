/**
 * Hearing what workers and tasks do, in a program of one's own: Celery's `app.events.Receiver`.
 *
 * Owns which handler gets which event. A handler that throws is said and the next event is handled. What an event makes of a cluster is
 * event/state.ts.
 */
import type { Broker } from '../broker/broker.ts';
import { ControlClient } from '../control/control-client.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { type ReceivedEvent, EventReceiver as Receiver } from '../event/receiver.ts';
import type { Logger } from '../log/logger.ts';
import { LamportClock } from '../std/lamport-clock.ts';

/** By the type of the event, as 'task-failed'. '*' gets those that no other handler is for. */
export type EventHandlers = Readonly<Record<string, (event: ReceivedEvent) => unknown>>;

export interface EventReceiverOptions {
  /** Only events with such routing keys, as 'task.#' or 'worker.*'. A worker sends those of its tasks in lists, which have one for all. Default: all of them. */
  readonly routingKey?: string;
  /** Ask the workers to say that they are there. Default: true. */
  readonly wakeup?: boolean;
}

/** An App, which must be started before. */
export interface EventSource {
  readonly broker: Broker;
  readonly eventExchange: string;
  readonly controlExchange: string;
  readonly log: Logger;
}

/** On RabbitMQ: how long an event waits for us, and how long the queue outlives us. Celery's defaults. */
const queueTtlMs = 5000;
const queueExpiresMs = 60_000;

export class EventReceiver {
  readonly #source: EventSource;
  readonly #wakeup: boolean;
  readonly #receiver: Receiver;

  constructor(source: EventSource, handlers: EventHandlers, { routingKey = '#', wakeup = true }: EventReceiverOptions = {}) {
    const wrong = Object.entries(handlers).find(([, handler]) => typeof handler !== 'function');
    if (wrong !== undefined || Object.keys(handlers).length === 0)
      throw new UmbelError('USAGE', `an EventReceiver takes functions by the types of events, got ${wrong?.[0] ?? 'none'}`);
    this.#source = source;
    this.#wakeup = wakeup;
    const { broker, eventExchange: exchange, log } = source;
    this.#receiver = new Receiver({
      broker,
      exchange,
      acceptContent: ['json'],
      logicalClock: new LamportClock(),
      routingKey,
      queuePrefix: 'celeryev',
      queueTtlMs,
      queueExpiresMs,
      log,
      onEvent: (event) => this.#handle(Object.hasOwn(handlers, event.type) ? handlers[event.type] : handlers['*'], event),
    });
  }

  /** Nothing sent from now on is missed while the broker is there. Rejects with what the broker says. */
  async start(): Promise<void> {
    await this.#receiver.start();
    const { broker, controlExchange: namespace, log } = this.#source;
    if (this.#wakeup) await new ControlClient({ broker, namespace, log }).cast('heartbeat');
  }

  async stop(): Promise<void> {
    await this.#receiver.stop();
  }

  #handle(handler: ((event: ReceivedEvent) => unknown) | undefined, event: ReceivedEvent): void {
    const failed = (error: unknown): void =>
      this.#source.log.error('event.handler-failed', `a handler of ${event.type} has thrown: ${messageOf(error)}`);
    try {
      void Promise.resolve(handler?.(event)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
