/**
 * Sends events of this process: those of workers and clients at once, those of tasks gathered and in lists.
 *
 * Owns what has not been sent: while the broker is away events wait, `maxWaiting` of them; beyond that the oldest are dropped and it is said.
 * Never holds anybody up: nobody waits for an event. Source: protocol notes, events.md §1 to §3.
 */
import type { Broker } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type EventOrigin, encodeEvents, makeEvent, multiRoutingKey, routingKeyOf, utcOffsetHours } from '../protocol/event.ts';
import { EventsMessage, GatheredEvents, type PlainFields } from '../protocol/gathered-events.ts';
import type { Message } from '../protocol/message.ts';
import { type SentTask, sentEvent } from '../protocol/sent-event.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
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
  /** Events kept for a broker that is away. Default: 100,000. */
  readonly maxWaiting?: number;
}

/** Task events in one message. What a busy worker does in one turn fits into few: a message costs more than an event. */
const mostInList = 200;
const offsetFreshMs = 60_000;
/** At the end. A broker that is short of memory takes nothing until it has some again. */
const stopGraceMs = 2000;

interface Outgoing {
  readonly message: Message;
  readonly routingKey: string;
  /** In the message. */
  readonly events: number;
}

export class EventDispatcher {
  readonly #params: EventDispatcherParams;
  readonly #clock: Clock;
  readonly #maxWaiting: number;
  #gathered: GatheredEvents | null = null;
  #flush: NodeJS.Immediate | null = null;
  readonly #waiting: Outgoing[] = [];
  #waitingEvents = 0;
  #dropped = 0;
  /** It has been said that events cannot be sent: with many tasks every line would be one more. */
  #failing = false;
  #declared: Promise<void> | null = null;
  #roundTripMs: number | null = null;
  #started = false;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  #offset = 0;
  #offsetAtMs = Number.NEGATIVE_INFINITY;

  constructor(params: EventDispatcherParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#maxWaiting = params.maxWaiting ?? 100_000;
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

  /** Resolves when everything is sent that can be soon. */
  async stop(): Promise<void> {
    this.#sendGathered();
    this.#started = false;
    if (this.#inFlight === 0 || this.#params.broker.state !== 'connected') return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(() => {
        this.#failing = true;
        this.#params.log.warning(
          'event.not-sent',
          `The last events may be lost: the broker has not taken them within ${stopGraceMs / 1000} s`,
        );
        resolve();
      }, stopGraceMs);
      this.#idle.push(() => {
        this.#clock.clearTimer(timer);
        resolve();
      });
    });
  }

  /** Of a worker or a client; `origin`: of a process that has no connection of its own. */
  send(type: string, fields: Readonly<Record<string, unknown>>, origin = this.#params.origin): void {
    const nowMs = this.#clock.now();
    const event = makeEvent(type, origin, this.#params.logicalClock.forward(), nowMs, this.#offsetHours(nowMs), fields);
    this.#publish({ message: encodeEvents(event, origin.hostname), routingKey: routingKeyOf(type), events: 1 });
  }

  /** A task was sent; `task-sent` is what clients say, and goes out alone and at once as theirs does. */
  sent(task: SentTask): void {
    const event = sentEvent(task);
    if (event !== null) this.send('task-sent', event.fields, event.origin ?? this.#params.origin);
  }

  // Of tasks: these go out at the end of this turn of the event loop, with others.

  received(task: TaskHeader): void {
    this.#gathering().received(task, this.#params.logicalClock.forward(), this.#clock.now());
  }

  started(taskId: string): void {
    this.#gathering().started(taskId, this.#params.logicalClock.forward(), this.#clock.now());
  }

  succeeded(taskId: string, result: string, runtimeSeconds: number): void {
    this.#gathering().succeeded(taskId, result, runtimeSeconds, this.#params.logicalClock.forward(), this.#clock.now());
  }

  /** Any other. */
  task(type: string, fields: PlainFields): void {
    this.#gathering().other(type, fields, this.#params.logicalClock.forward(), this.#clock.now());
  }

  #gathering(): GatheredEvents {
    if (this.#gathered !== null && this.#gathered.size >= mostInList) this.#sendGathered();
    if (this.#gathered !== null) return this.#gathered;
    this.#flush ??= setImmediate(() => this.#sendGathered());
    this.#gathered = new GatheredEvents(this.#params.origin, this.#offsetHours(this.#clock.now()));
    return this.#gathered;
  }

  #sendGathered(): void {
    if (this.#flush !== null) clearImmediate(this.#flush);
    this.#flush = null;
    const gathered = this.#gathered;
    this.#gathered = null;
    if (gathered !== null) this.#publish({ message: new EventsMessage(gathered), routingKey: multiRoutingKey, events: gathered.size });
  }

  /** West of UTC. Looked at now and then. */
  #offsetHours(nowMs: number): number {
    if (Math.abs(nowMs - this.#offsetAtMs) > offsetFreshMs) {
      this.#offset = utcOffsetHours(new Date(nowMs));
      this.#offsetAtMs = nowMs;
    }
    return this.#offset;
  }

  #publish(outgoing: Outgoing): void {
    if (!this.#started || this.#params.broker.state !== 'connected') this.#wait(outgoing);
    else this.#send(outgoing);
  }

  #wait(outgoing: Outgoing): void {
    // As text they take half the room.
    void outgoing.message.body;
    this.#waiting.push(outgoing);
    this.#waitingEvents += outgoing.events;
    if (this.#waitingEvents <= this.#maxWaiting) return;
    this.#waitingEvents -= this.#waiting.shift()?.events ?? 0;
    if (this.#dropped++ === 0)
      this.#params.log.warning('event.dropped', `The broker is away and ${this.#maxWaiting} events wait for it: the oldest are dropped`);
  }

  #resend(): void {
    this.#dropped = 0;
    this.#waitingEvents = 0;
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
