/** Messages held in memory until they are due, by one timer. */
import type { Clock, Timer } from '../../std/clock.ts';
import { DeadlineHeap } from '../../std/deadline-heap.ts';
import type { ScheduledMessage } from '../broker.ts';
import type { AmqpDelivery } from './amqp-delivery.ts';

/** The wall clock may be set: look again at least this often. */
const longestSleepMs = 60_000;

export class Deferrals {
  readonly #clock: Clock;
  readonly #onDue: (delivery: AmqpDelivery) => void;
  #heap = new DeadlineHeap<AmqpDelivery>();
  #timer: Timer | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, onDue: (delivery: AmqpDelivery) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#heap.size;
  }

  /** `dueAtMs` in unix milliseconds. */
  add(delivery: AmqpDelivery, dueAtMs: number): void {
    this.#heap.push(dueAtMs, delivery);
    if (dueAtMs < this.#wakeAtMs) this.#arm();
  }

  /** The next ones, at most so many. */
  next(count: number): ScheduledMessage[] {
    return this.#heap.first(count).map(({ at, value }) => ({
      properties: value.properties,
      headers: value.headers,
      body: value.body,
      exchange: value.exchange,
      routingKey: value.routingKey,
      dueAtMs: at,
    }));
  }

  /** Forget all; returns them in the order of their due times. */
  clear(): AmqpDelivery[] {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    const all: AmqpDelivery[] = [];
    for (let next = this.#heap.pop(); next !== undefined; next = this.#heap.pop()) all.push(next.value);
    return all;
  }

  #arm(): void {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    const next = this.#heap.peek();
    this.#wakeAtMs = next?.at ?? Number.POSITIVE_INFINITY;
    if (next === undefined) return;
    const delayMs = Math.min(longestSleepMs, Math.max(0, Math.ceil(next.at - this.#clock.now())));
    this.#timer = this.#clock.setTimer(() => this.#look(), delayMs);
  }

  #look(): void {
    const nowMs = this.#clock.now();
    for (let next = this.#heap.peek(); next !== undefined && next.at <= nowMs; next = this.#heap.peek()) {
      this.#heap.pop();
      this.#onDue(next.value);
    }
    this.#arm();
  }
}
