/**
 * Hears the events of workers and clients.
 *
 * Owns its listener. What is no event, or of a content type that is not accepted, is said and ignored. The times of events are unix
 * seconds, whatever the zone of their sender: they are not changed. Source: protocol notes, events.md §1 and §3.
 */
import type { Broker, Listener } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type Event, readEvents } from '../protocol/event.ts';
import type { Message } from '../protocol/message.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import type { LamportClock } from '../std/lamport-clock.ts';
import { newUuid } from '../std/new-uuid.ts';

/** With what a receiver adds. */
export type ReceivedEvent = Event & {
  readonly clock: number;
  /** Unix seconds of our clock. */
  readonly local_received: number;
  readonly timestamp: number;
};

export interface EventReceiverParams {
  readonly broker: Broker;
  /** The setting `event_exchange`. */
  readonly exchange: string;
  readonly acceptContent: readonly string[];
  /** Follows those of the senders. */
  readonly logicalClock: LamportClock;
  readonly log: Logger;
  /** Default: '#', all of them. */
  readonly routingKey?: string;
  readonly queuePrefix: string;
  /** On RabbitMQ: how long an event waits for us, and how long the queue outlives us. */
  readonly queueTtlMs: number;
  readonly queueExpiresMs: number;
  readonly clock?: Clock;
  onEvent(event: ReceivedEvent): void;
}

export class EventReceiver {
  readonly #params: EventReceiverParams;
  readonly #clock: Clock;
  #listener: Listener | null = null;

  constructor(params: EventReceiverParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  /** Nothing sent from now on is missed while the broker is there. Rejects with what the broker says. */
  async start(): Promise<void> {
    const { broker, exchange, routingKey = '#', queuePrefix, queueTtlMs, queueExpiresMs } = this.#params;
    this.#listener ??= await broker.listen({
      exchange,
      exchangeType: 'topic',
      routingKey,
      queue: { name: `${queuePrefix}.${newUuid()}`, messageTtlMs: queueTtlMs, expiresMs: queueExpiresMs, onShared: () => {} },
      onMessage: (message) => this.#onMessage(message),
    });
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    await listener?.stop();
  }

  #onMessage(message: Message): void {
    const { acceptContent, log, onEvent } = this.#params;
    let events: readonly Event[];
    try {
      events = readEvents(message, acceptContent);
    } catch (error) {
      log.error('event.undecodable', `Cannot decode an event: ${messageOf(error)}`);
      return;
    }
    for (const event of events) onEvent(this.#received(event));
  }

  #received(event: Event): ReceivedEvent {
    const { logicalClock } = this.#params;
    const nowSeconds = this.#clock.now() / 1000;
    let clock: number;
    if (event.type === 'task-sent') {
      // Clients do not follow the clock of others: theirs says nothing here.
      clock = Math.max(logicalClock.value, 1) - 1;
      logicalClock.adjust(clock);
    } else if (typeof event.clock === 'number') {
      clock = event.clock;
      logicalClock.adjust(clock);
    } else clock = logicalClock.forward();
    const timestamp = typeof event.timestamp === 'number' ? event.timestamp : nowSeconds;
    return { ...event, clock, timestamp, local_received: nowSeconds };
  }
}
