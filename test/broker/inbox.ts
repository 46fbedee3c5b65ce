/** The consumer of broker tests: keeps deliveries, and lets a test wait for the next ones. */
import type { Broker, ConsumeParams, Delivery, Subscription } from '../../src/broker/broker.ts';
import type { Message } from '../../src/protocol/message.ts';
import { systemClock } from '../../src/std/clock.ts';
import { inGoodTime } from '../in-good-time.ts';

/** Values that arrive one by one; `next` takes them in order, waiting when there are none. */
export class Arrivals<T> {
  readonly #values: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  /** Arrived and not taken. */
  get size(): number {
    return this.#values.length;
  }

  push(value: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#values.push(value);
    else waiting(value);
  }

  /** Rejects when none comes in good time; a test may also look away from it. */
  next(): Promise<T> {
    if (this.#values.length > 0) return Promise.resolve(this.#values.shift() as T);
    const value = inGoodTime(new Promise<T>((resolve) => this.#waiting.push(resolve)), () => 'one more must arrive');
    value.catch(() => {});
    return value;
  }

  async take(count: number): Promise<T[]> {
    const taken: T[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }
}

export interface Inbox {
  readonly subscription: Subscription;
  readonly deliveries: Arrivals<Delivery>;
  readonly lost: Arrivals<readonly Delivery[]>;
  /** Times at which it was held again. */
  readonly held: Arrivals<number>;
}

export async function openInbox(
  broker: Broker,
  queues: readonly string[],
  prefetch = 0,
  refused?: ReadonlyMap<string, Error>,
): Promise<Inbox> {
  const deliveries = new Arrivals<Delivery>();
  const lost = new Arrivals<readonly Delivery[]>();
  const held = new Arrivals<number>();
  const params: ConsumeParams = {
    queues,
    prefetch,
    ...(refused === undefined ? null : { refused }),
    onDelivery: (delivery) => deliveries.push(delivery),
    onLost: (gone) => lost.push(gone),
    onHeld: () => held.push(systemClock.monotonic()),
  };
  return { subscription: await broker.consume(params), deliveries, lost, held };
}

export function textMessage(text: string, properties: Partial<Message['properties']> = {}): Message {
  return {
    properties: { contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 2, ...properties },
    headers: { id: text },
    body: Buffer.from(text),
  };
}

export function textOf(message: Message): string {
  return message.body.toString('utf8');
}
