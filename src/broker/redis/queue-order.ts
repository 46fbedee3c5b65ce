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

  /** The list of this key, behind the more urgent ones of its queue; none: nobody looks at it any more. */
  upTo(key: string): readonly QueueList[] {
    const at = this.#lists.findIndex((list) => list.key === key);
    const queue = this.#lists[at]?.queue;
    return this.#lists.slice(0, at + 1).filter((list) => list.queue === queue);
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
    if (at >= 0) this.#rotate(at + 1);
  }

  /** Between a message and its start: cheap also for many lists. */
  #rotate(by: number): void {
    const rotated = <T>(values: readonly T[]): T[] => [...values.slice(by), ...values.slice(0, by)];
    const queues = this.#queues.length;
    this.#lists = this.#layout.steps.flatMap((_, step) => rotated(this.#lists.slice(step * queues, (step + 1) * queues)));
    this.#queues = rotated(this.#queues);
    this.#names = rotated(this.#names);
  }
}
