/**
 * Sends events of this process: those of workers and clients at once, those of tasks gathered and in lists.
 *
 * Owns what has not been sent: while the broker is away events wait, `maxWaiting` of them; beyond that the oldest are dropped and it is said.
 * Never holds anybody up: nobody waits for an event. Source: protocol notes, events.md §1 to §3.
 */
import type { Broker } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type Event, type EventOrigin, encodeEvents, makeEvent, multiRoutingKey, routingKeyOf, utcOffsetHours } from '../protocol/event.ts';
import type { Message } from '../protocol/message.ts';
import { type SentTask, sentEvent } from '../protocol/sent-event.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import type { LamportClock } from '../std/lamport-clock.ts';

export interface EventDispatcherParams {
  readonly broker: Broker;
  readonly origin: EventOrigin;
  readonly logicalClock: LamportClock;
  /** The setting `event_exchange`. */
  readonly exchange: string;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Messages kept for a broker that is away. Default: 10,000. */
  readonly maxWaiting?: number;
}

/** Task events in one message. */
const mostInList = 24;
const offsetFreshMs = 60_000;

interface Outgoing {
  readonly message: Message;
  readonly routingKey: string;
}

export class EventDispatcher {
  readonly #params: EventDispatcherParams;
  readonly #clock: Clock;
  readonly #maxWaiting: number;
  #tasks: Event[] = [];
  #flush: NodeJS.Immediate | null = null;
  readonly #waiting: Outgoing[] = [];
  #dropped = 0;
  /** It has been said that events cannot be sent: with many tasks every line would be one more. */
  #failing = false;
  #declared: Promise<void> | null = null;
  #roundTripMs: number | null = null;
  #started = false;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  #offsetHours = 0;
  #offsetAtMs = Number.NEGATIVE_INFINITY;

  constructor(params: EventDispatcherParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#maxWaiting = params.maxWaiting ?? 10_000;
    params.broker.onStateChange((state) => {
      if (state !== 'connected') return;
      this.#declared = null;
      if (this.#started) this.#resend();
    });
  }

  /** What the broker took to confirm the last message; null: none was sent. */
  get roundTripMs(): number | null {
    return this.#roundTripMs;
  }

  start(): void {
    this.#started = true;
    this.#resend();
  }

  /** Resolves when everything is sent that can be. */
  async stop(): Promise<void> {
    this.#flushTasks();
    this.#started = false;
    if (this.#inFlight > 0 && this.#params.broker.state === 'connected') await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Of a worker or a client; `origin`: of a process that has no connection of its own. */
  send(type: string, fields: Readonly<Record<string, unknown>>, origin = this.#params.origin): void {
    const event = this.#make(type, fields, origin);
    this.#publish(encodeEvents(event, origin.hostname), routingKeyOf(type));
  }

  /** A task was sent; `task-sent` is what clients say, and goes out alone and at once as theirs does. */
  sent(task: SentTask): void {
    const event = sentEvent(task);
    if (event !== null) this.send('task-sent', event.fields, event.origin ?? this.#params.origin);
  }

  /** Of a task: goes out at the end of this turn of the event loop, with others. */
  task(type: string, fields: Readonly<Record<string, unknown>>): void {
    this.#tasks.push(this.#make(type, fields, this.#params.origin));
    if (this.#tasks.length >= mostInList) this.#flushTasks();
    else this.#flush ??= setImmediate(() => this.#flushTasks());
  }

  #make(type: string, fields: Readonly<Record<string, unknown>>, origin: EventOrigin): Event {
    const { logicalClock } = this.#params;
    const nowMs = this.#clock.now();
    if (Math.abs(nowMs - this.#offsetAtMs) > offsetFreshMs) {
      this.#offsetHours = utcOffsetHours(new Date(nowMs));
      this.#offsetAtMs = nowMs;
    }
    return makeEvent(type, origin, logicalClock.forward(), nowMs, this.#offsetHours, fields);
  }

  #flushTasks(): void {
    if (this.#flush !== null) clearImmediate(this.#flush);
    this.#flush = null;
    if (this.#tasks.length === 0) return;
    const events = this.#tasks;
    this.#tasks = [];
    this.#publish(encodeEvents(events, this.#params.origin.hostname), multiRoutingKey);
  }

  #publish(message: Message, routingKey: string): void {
    if (!this.#started || this.#params.broker.state !== 'connected') this.#wait({ message, routingKey });
    else this.#send({ message, routingKey });
  }

  #wait(outgoing: Outgoing): void {
    this.#waiting.push(outgoing);
    if (this.#waiting.length <= this.#maxWaiting) return;
    this.#waiting.shift();
    if (this.#dropped++ === 0)
      this.#params.log.warning('event.dropped', `The broker is away and ${this.#maxWaiting} events wait for it: the oldest are dropped`);
  }

  #resend(): void {
    this.#dropped = 0;
    for (const outgoing of this.#waiting.splice(0)) this.#send(outgoing);
  }

  #send(outgoing: Outgoing): void {
    const { broker, exchange, log } = this.#params;
    this.#inFlight++;
    this.#declared ??= broker.declareExchange(exchange, 'topic', true);
    let sentAtMs = 0;
    this.#declared
      .then(() => {
        sentAtMs = performance.now();
        return broker.publish(outgoing.message, { exchange, routingKey: outgoing.routingKey });
      })
      .then(() => {
        this.#failing = false;
        this.#roundTripMs = performance.now() - sentAtMs;
      })
      .catch((error: unknown) => {
        this.#declared = null;
        if (broker.state !== 'connected') this.#wait(outgoing);
        else if (!this.#failing) {
          this.#failing = true;
          log.warning('event.not-sent', `Events cannot be sent, and are lost until they can: ${messageOf(error)}`);
        }
      })
      .finally(() => {
        this.#inFlight--;
        if (this.#inFlight > 0) return;
        const idle = this.#idle;
        this.#idle = [];
        for (const resolve of idle) resolve();
      });
  }
}
