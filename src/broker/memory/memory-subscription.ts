/** One consumption from the memory broker. Owns what it holds; the hub owns the rest. */

import { ChurnMap } from '../../std/churn-map.ts';
import type { ConsumeParams, Delivery, RejectOptions, ScheduledMessage, SettleOutcome, Subscription } from '../broker.ts';
import type { MemoryHub, MemoryMessage, MemoryTaker } from './memory-hub.ts';

export class MemorySubscription implements Subscription, MemoryTaker {
  /** Nobody outlives this process with what it holds. */
  readonly heldUntilMs = Number.POSITIVE_INFINITY;
  readonly #hub: MemoryHub;
  readonly #params: ConsumeParams;
  readonly #epoch: number;
  readonly #held = new ChurnMap<Delivery, MemoryMessage>();
  #queues: string[];
  #prefetch: number;
  #paused = false;
  #cancelled = false;
  #activity = 0;

  constructor(hub: MemoryHub, params: ConsumeParams, epoch: number) {
    this.#hub = hub;
    this.#params = params;
    this.#epoch = epoch;
    this.#queues = [...new Set(params.queues)];
    this.#prefetch = params.prefetch;
    for (const queue of this.#queues) hub.declare(queue);
    hub.addTaker(this);
  }

  get queues(): readonly string[] {
    return this.#queues;
  }

  get hasRoom(): boolean {
    return !this.#paused && !this.#cancelled && (this.#prefetch === 0 || this.#held.size < this.#prefetch);
  }

  get activity(): number {
    return this.#activity;
  }

  takeOne(): boolean {
    if (!this.hasRoom) return false;
    this.#activity++;
    for (const queue of this.#queues) {
      const item = this.#hub.take(queue);
      if (item === undefined) continue;
      // Round robin: this queue is last in line now.
      this.#queues = [...this.#queues.filter((name) => name !== queue), queue];
      this.#deliver(item);
      return true;
    }
    return false;
  }

  #deliver(item: MemoryMessage): void {
    const delivery: Delivery = {
      properties: item.message.properties,
      headers: item.message.headers,
      body: item.message.body,
      tag: item.sequence,
      queue: item.queue,
      exchange: item.exchange,
      routingKey: item.routingKey,
      redelivered: item.delivered > 0,
      deliveryCount: item.delivered,
      epoch: this.#epoch,
    };
    this.#held.set(delivery, item);
    this.#params.onDelivery(delivery);
  }

  async ack(delivery: Delivery): Promise<SettleOutcome> {
    return this.#settle(delivery) === null ? 'stale' : 'done';
  }

  async reject(delivery: Delivery, { requeue, headers }: RejectOptions): Promise<SettleOutcome> {
    const item = this.#settle(delivery);
    if (item === null) return 'stale';
    if (headers !== undefined && requeue) this.#hub.replace(item, { ...item.message, headers });
    else if (requeue) this.#giveBack(item);
    return 'done';
  }

  async defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    const item = this.#settle(delivery);
    if (item === null) return 'stale';
    this.#hub.putBack(item, dueAtMs);
    return 'done';
  }

  async scheduled(limit: number): Promise<ScheduledMessage[]> {
    return this.#hub.scheduled(this.#queues, limit);
  }

  setPrefetch(count: number, setAside = 0): void {
    this.#prefetch = count === 0 ? 0 : count + setAside;
    this.#hub.pump();
  }

  async addQueue(queue: string): Promise<void> {
    this.#hub.declare(queue);
    if (!this.#queues.includes(queue)) this.#queues = [...this.#queues, queue];
    this.#hub.pump();
  }

  async cancelQueue(queue: string): Promise<void> {
    this.#queues = this.#queues.filter((name) => name !== queue);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#hub.pump();
  }

  async rebuild(): Promise<void> {
    if (this.#cancelled) return;
    this.#hub.removeTaker(this);
    this.#hub.addTaker(this);
  }

  async cancel(): Promise<void> {
    this.#cancelled = true;
    this.#hub.removeTaker(this);
  }

  async release(): Promise<void> {
    await this.cancel();
    const items = [...this.#held.values()];
    this.#held.clear();
    for (const item of items) this.#giveBack(item);
  }

  #settle(delivery: Delivery): MemoryMessage | null {
    const item = this.#held.get(delivery);
    if (item === undefined) return null;
    this.#held.delete(delivery);
    this.#hub.pump();
    return item;
  }

  #giveBack(item: MemoryMessage): void {
    item.delivered++;
    this.#hub.putBack(item, 0);
  }
}
