/**
 * A subscription that takes a message only when a child is free (`worker.disable_prefetch`).
 *
 * The prefetch counts what is not acknowledged, and a task that is acknowledged as it starts counts no more: so room is measured anew before each
 * acknowledgement. Owns the pauses that this makes when no child is free, beside those of the operator.
 */
import type { Delivery, RejectOptions, ScheduledMessage, SettleOutcome, Subscription } from '../broker/broker.ts';

export class ExactSubscription implements Subscription {
  readonly #inner: Subscription;
  readonly #measure: () => void;
  /** No child is free. */
  #full = false;
  #paused = false;

  /** `measure` calls setPrefetch with the number of free places, if it has changed. */
  constructor(inner: Subscription, measure: () => void) {
    this.#inner = inner;
    this.#measure = measure;
  }

  get queues(): readonly string[] {
    return this.#inner.queues;
  }

  get refusedQueues(): readonly string[] {
    return this.#inner.refusedQueues ?? [];
  }

  get heldUntilMs(): number {
    return this.#inner.heldUntilMs;
  }

  get hasRoom(): boolean {
    return this.#inner.hasRoom;
  }

  get refusal(): string | null {
    return this.#inner.refusal ?? null;
  }

  get activity(): number {
    return this.#inner.activity;
  }

  scheduled(limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#inner.scheduled(limit);
  }

  ack(delivery: Delivery): Promise<SettleOutcome> {
    this.#measure();
    return this.#inner.ack(delivery);
  }

  reject(delivery: Delivery, options: RejectOptions): Promise<SettleOutcome> {
    return this.#inner.reject(delivery, options);
  }

  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    return this.#inner.defer(delivery, dueAtMs);
  }

  /** Here 0 is none, and not no limit. */
  setPrefetch(count: number, setAside = 0): void {
    const wasFull = this.#full;
    this.#full = count <= 0;
    if (this.#full && !wasFull) this.#inner.pause();
    if (wasFull && !this.#full && !this.#paused) this.#inner.resume();
    if (!this.#full) this.#inner.setPrefetch(count, setAside);
  }

  pause(): void {
    this.#paused = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#full) this.#inner.resume();
  }

  addQueue(queue: string): Promise<void> {
    return this.#inner.addQueue(queue);
  }

  cancelQueue(queue: string): Promise<void> {
    return this.#inner.cancelQueue(queue);
  }

  rebuild(): Promise<void> {
    return this.#inner.rebuild();
  }

  cancel(): Promise<void> {
    return this.#inner.cancel();
  }

  release(): Promise<void> {
    return this.#inner.release();
  }
}

/** Places of children that no task runs in which is acknowledged already: what else is held counts by itself. */
export function freePlaces(places: number, held: Iterable<{ readonly request: { readonly acknowledged: boolean } }>): number {
  let free = places;
  for (const { request } of held) if (request.acknowledged) free -= 1;
  return free;
}
