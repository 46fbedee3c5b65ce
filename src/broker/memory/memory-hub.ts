/**
 * The queues of the memory broker, shared by the brokers of one process that are given the same hub.
 *
 * Owns: ready messages in order, bindings, broadcast listeners, and the wake-up of subscriptions. Never holds a delivery:
 * the subscription that got it does.
 */
import type { Message } from '../../protocol/message.ts';
import { type Clock, systemClock } from '../../std/clock.ts';
import { bindingMatches } from '../binding-match.ts';
import type { Destination, ExchangeType, ListenParams, ScheduledMessage } from '../broker.ts';
import type { TypedBinding } from '../plain-operator-channel.ts';

export interface MemoryMessage {
  readonly sequence: number;
  readonly message: Message;
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  /** How often it was delivered and came back. */
  delivered: number;
}

interface Binding {
  readonly type: ExchangeType;
  readonly routingKey: string;
  readonly queue: string;
}

/** Higher priority first, then the older message; a returned one finds its old place. */
class ReadyList {
  #items: MemoryMessage[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  add(item: MemoryMessage): void {
    let at = this.#items.length;
    while (at > this.#head && comesBefore(item, this.#items[at - 1])) at--;
    if (at === this.#head && this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.splice(at, 0, item);
  }

  take(): MemoryMessage | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head++;
    if (this.#head > 1000 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

function comesBefore(a: MemoryMessage, b: MemoryMessage | undefined): boolean {
  if (b === undefined) return false;
  const priorityA = a.message.properties.priority ?? 0;
  const priorityB = b.message.properties.priority ?? 0;
  return priorityA === priorityB ? a.sequence < b.sequence : priorityA > priorityB;
}

export interface MemoryTaker {
  /** Take one message if there is room for it and one to have; false: neither now nor until something changes. */
  takeOne(): boolean;
}

export class MemoryHub {
  readonly clock: Clock;
  readonly #queues = new Map<string, ReadyList>();
  readonly #bindings = new Map<string, Binding[]>();
  readonly #listeners = new Set<ListenParams>();
  readonly #takers = new Set<MemoryTaker>();
  /** Not ready, and when they will be. */
  readonly #waiting = new Map<MemoryMessage, number>();
  #sequence = 0;
  #pumping = false;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  declare(queue: string): void {
    if (!this.#queues.has(queue)) this.#queues.set(queue, new ReadyList());
  }

  bind(exchange: string, binding: Binding): void {
    const bindings = this.#bindings.get(exchange) ?? [];
    bindings.push(binding);
    this.#bindings.set(exchange, bindings);
  }

  delete(queue: string): void {
    this.#queues.delete(queue);
    for (const [exchange, bindings] of this.#bindings) {
      this.#bindings.set(
        exchange,
        bindings.filter((binding) => binding.queue !== queue),
      );
    }
  }

  unbindExchange(exchange: string): void {
    this.#bindings.delete(exchange);
  }

  get bindings(): readonly TypedBinding[] {
    return [...this.#bindings].flatMap(([exchange, bindings]) => bindings.map((binding) => ({ ...binding, exchange })));
  }

  get queues(): readonly string[] {
    return [...this.#queues.keys()];
  }

  bringForward(queue: string): number {
    const waiting = [...this.#waiting.keys()].filter((item) => item.queue === queue);
    for (const item of waiting) this.putBack(item, 0);
    return waiting.length;
  }

  purge(queue: string): number {
    const waiting = [...this.#waiting.keys()].filter((item) => item.queue === queue);
    for (const item of waiting) this.#waiting.delete(item);
    const count = this.count(queue) + waiting.length;
    if (this.#queues.has(queue)) this.#queues.set(queue, new ReadyList());
    return count;
  }

  count(queue: string): number {
    return this.#queues.get(queue)?.length ?? 0;
  }

  /** false: nobody is there for it. */
  publish(message: Message, destination: Destination): boolean {
    const { exchange, routingKey, dueAtMs, redelivered = false, queue: only } = destination;
    const queues = only === undefined ? this.#route(exchange, routingKey) : new Set([only]);
    for (const queue of queues) {
      const item: MemoryMessage = { sequence: this.#sequence++, message, queue, exchange, routingKey, delivered: redelivered ? 1 : 0 };
      this.putBack(item, dueAtMs ?? 0);
    }
    let isTaken = queues.size > 0;
    if (exchange === '' || only !== undefined) return isTaken;
    for (const listener of this.#listeners) {
      if (listener.exchange !== exchange || !bindingMatches(listener.exchangeType, listener.routingKey, routingKey)) continue;
      isTaken = true;
      setImmediate(() => {
        if (this.#listeners.has(listener)) listener.onMessage(message, routingKey);
      });
    }
    return isTaken;
  }

  /** It came back as another message: behind all others, as one that was delivered before. */
  replace(item: MemoryMessage, message: Message): void {
    this.putBack({ ...item, sequence: this.#sequence++, message, delivered: item.delivered + 1 }, 0);
  }

  /** Ready now, or at `dueAtMs` (unix ms). */
  putBack(item: MemoryMessage, dueAtMs: number): void {
    const waitMs = dueAtMs - this.clock.now();
    if (waitMs > 0) {
      this.#waiting.set(item, dueAtMs);
      const wake = (): void => {
        if (this.#waiting.has(item)) this.putBack(item, dueAtMs);
      };
      this.clock.setTimer(wake, waitMs, { ref: false });
      return;
    }
    this.#waiting.delete(item);
    this.declare(item.queue);
    this.#queues.get(item.queue)?.add(item);
    this.pump();
  }

  /** What waits for its time in these queues, the next ones first. */
  scheduled(queues: readonly string[], limit: number): ScheduledMessage[] {
    return [...this.#waiting]
      .filter(([{ queue }]) => queues.includes(queue))
      .sort(([, a], [, b]) => a - b)
      .slice(0, limit)
      .map(([{ message, exchange, routingKey }, dueAtMs]) => ({ ...message, exchange, routingKey, dueAtMs }));
  }

  take(queue: string): MemoryMessage | undefined {
    return this.#queues.get(queue)?.take();
  }

  addListener(listener: ListenParams): void {
    this.#listeners.add(listener);
  }

  removeListener(listener: ListenParams): void {
    this.#listeners.delete(listener);
  }

  addTaker(taker: MemoryTaker): void {
    this.#takers.add(taker);
    this.pump();
  }

  removeTaker(taker: MemoryTaker): void {
    this.#takers.delete(taker);
  }

  /** In the next turn of the event loop, hand out what can be handed out, one message per subscription in turn. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      let progress = true;
      while (progress) {
        progress = false;
        for (const taker of [...this.#takers]) if (taker.takeOne()) progress = true;
      }
    });
  }

  #route(exchange: string, routingKey: string): ReadonlySet<string> {
    if (exchange === '') return new Set([routingKey]);
    const queues = new Set<string>();
    for (const binding of this.#bindings.get(exchange) ?? []) {
      if (bindingMatches(binding.type, binding.routingKey, routingKey)) queues.add(binding.queue);
    }
    return queues;
  }
}
