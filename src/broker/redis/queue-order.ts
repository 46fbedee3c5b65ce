/**
 * Which queues are looked at in which order.
 *
 * round_robin: the queue that delivered last goes to the end, and every queue gets its share of a batch. priority: as they were given.
 * sorted: by name. With the latter two a busy queue may starve those behind it, as in kombu.
 */
import type { KeyLayout } from './key-layout.ts';
import { QueueList } from './queue-list.ts';

export type QueueOrderStrategy = 'round_robin' | 'priority' | 'sorted';

export class QueueOrder {
  readonly strategy: QueueOrderStrategy;
  readonly #layout: KeyLayout;
  #queues: readonly string[] = [];
  #lists: readonly QueueList[] = [];
  #names: readonly string[] = [];

  constructor(layout: KeyLayout, strategy: QueueOrderStrategy, queues: readonly string[]) {
    this.#layout = layout;
    this.strategy = strategy;
    this.set(queues);
  }

  get queues(): readonly string[] {
    return this.#queues;
  }

  /** Step by step, in a step queue by queue. */
  get lists(): readonly QueueList[] {
    return this.#lists;
  }

  /** The names of the queues as JSON, in the same order. */
  get names(): readonly string[] {
    return this.#names;
  }

  set(queues: readonly string[]): void {
    const unique = [...new Set(queues)];
    this.#queues = this.strategy === 'sorted' ? unique.sort() : unique;
    const known = new Map(this.#lists.map((list) => [list.key, list]));
    this.#lists = this.#layout.steps.flatMap((step) =>
      this.#queues.map((queue) => known.get(this.#layout.list(queue, step)) ?? new QueueList(this.#layout, queue, step)),
    );
    this.#names = this.#queues.map((queue) => JSON.stringify(queue));
  }

  delivered(queue: string): void {
    if (this.strategy !== 'round_robin' || this.#queues.length < 2 || this.#queues.at(-1) === queue) return;
    const at = this.#queues.indexOf(queue);
    if (at >= 0) this.set([...this.#queues.slice(at + 1), ...this.#queues.slice(0, at + 1)]);
  }
}
