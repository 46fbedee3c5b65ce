/**
 * Messages of some queues of one broker, to the queues of the same or another name of another broker.
 *
 * A message is taken away from its source only when the destination has it for good. So whatever ends this process, none is lost; those of which the one had
 * happened and not the other are there twice, and come a second time.
 *
 * Owns what is taken, in which order, and when that is over. Each message goes to its queue alone, wherever its exchange leads: queues that share an exchange
 * have a copy each.
 */
import type { Message } from '../protocol/message.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import { readReceipt } from '../protocol/task-message.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { Broker, Delivery, QueueDeclaration, Subscription } from './broker.ts';

export interface MigratedQueue {
  readonly from: string;
  /** Declared at the destination. */
  readonly to: QueueDeclaration;
}

export interface MigrationProgress {
  readonly count: number;
  /** Messages that were there at the beginning; more may come. */
  readonly total: number;
  /** Name and id of the task, '?' where a message does not say. */
  readonly task: string;
  readonly id: string;
}

export interface MigrationParams {
  readonly source: Broker;
  readonly destination: Broker;
  readonly queues: readonly MigratedQueue[];
  /** Names of tasks; null: all messages. */
  readonly tasks: ReadonlySet<string> | null;
  /** null: none. */
  readonly limit: number | null;
  /** Over when nothing has come for so long; null: never. */
  readonly timeoutMs: number | null;
  /** false: they stay at the source as well. */
  readonly acknowledge: boolean;
  onMigrated(progress: MigrationProgress): void;
  readonly clock?: Clock;
}

export interface MigrationResult {
  readonly count: number;
  /** Taken and given back, because of another name or beyond the limit. */
  readonly left: number;
  /** At the destination, and perhaps at the source still: it was lost from sight before it was acknowledged. */
  readonly repeatable: number;
  /** Queues that the source does not have. */
  readonly missing: readonly string[];
}

/** So many are under way at a time, when each makes room for the next. */
const window = 200;

/** Silence is waited for in so many parts: while this process stood still it has not listened, and one part of it has passed, however long that was. */
const quietParts = 10;

export class Migration {
  readonly #params: MigrationParams;
  readonly #clock: Clock;
  readonly #targets = new Map<string, QueueDeclaration>();
  readonly #over = Promise.withResolvers<void>();
  readonly #underWay = new Set<Promise<void>>();
  #subscription: Subscription | null = null;
  #quiet: Timer | undefined;
  #ended = false;
  #failure: unknown = null;
  #total = 0;
  #begun = 0;
  #count = 0;
  /** Taken, and not to be migrated. */
  readonly #left = new Set<Delivery>();
  #repeatable = 0;

  constructor(params: MigrationParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  /** What is under way is finished, the rest goes back. */
  stop(): void {
    this.#ended = true;
    this.#clock.clearTimer(this.#quiet);
    this.#over.resolve();
  }

  /** Rejects with what the brokers refuse; what was not acknowledged is back at the source. */
  async run(): Promise<MigrationResult> {
    const missing = await this.#prepare();
    if (this.#targets.size > 0 && !this.#ended) await this.#migrate();
    return { count: this.#count, left: this.#left.size, repeatable: this.#repeatable, missing };
  }

  async #prepare(): Promise<readonly string[]> {
    const { source, destination, queues } = this.#params;
    const missing: string[] = [];
    const channel = await source.openOperatorChannel();
    for (const { from, to } of queues) {
      const state = await channel.lookAtQueue(from);
      if (state === null) {
        missing.push(from);
        continue;
      }
      this.#total += state.ready + (await channel.bringForward(from));
      await source.declareQueue({ name: from, noDeclare: true });
      await destination.declareQueue(to);
      this.#targets.set(from, to);
    }
    await channel.close();
    return missing;
  }

  async #migrate(): Promise<void> {
    const { source, acknowledge } = this.#params;
    const subscription = await source.consume({
      queues: [...this.#targets.keys()],
      // What is not acknowledged would be in the way of what comes after it.
      prefetch: acknowledge ? window : 0,
      onDelivery: (delivery) => this.#take(delivery),
      // They come again.
      onLost: (deliveries) => {
        for (const delivery of deliveries) this.#left.delete(delivery);
      },
      onHeld() {},
    });
    this.#subscription = subscription;
    this.#waitOn();
    await this.#over.promise;
    await subscription.cancel();
    await Promise.all(this.#underWay);
    await subscription.release();
    if (this.#failure !== null) throw this.#failure;
  }

  #waitOn(parts = quietParts): void {
    const { timeoutMs } = this.#params;
    this.#clock.clearTimer(this.#quiet);
    if (timeoutMs === null || this.#ended) return;
    this.#quiet = this.#clock.setTimer(() => (parts > 1 ? this.#waitOn(parts - 1) : this.#quietNow()), timeoutMs / quietParts);
  }

  /** A destination that is slow is not a source that is empty. */
  #quietNow(): void {
    if (this.#underWay.size > 0) this.#waitOn();
    else this.stop();
  }

  #take(delivery: Delivery): void {
    this.#waitOn();
    const { tasks, limit } = this.#params;
    const { task, id } = taskOf(delivery);
    const unwanted = this.#ended || (tasks !== null && !tasks.has(task)) || (limit !== null && this.#begun >= limit);
    if (unwanted) {
      this.#left.add(delivery);
      if (this.#params.acknowledge) this.#subscription?.setPrefetch(window, this.#left.size);
      return;
    }
    this.#begun += 1;
    const moved = this.#move(delivery, task, id).then(
      () => {
        this.#underWay.delete(moved);
        if (limit !== null && this.#count >= limit) this.stop();
      },
      (error: unknown) => {
        this.#underWay.delete(moved);
        this.#failure ??= error;
        this.stop();
      },
    );
    this.#underWay.add(moved);
  }

  async #move(delivery: Delivery, task: string, id: string): Promise<void> {
    const { destination, acknowledge, onMigrated } = this.#params;
    const queue = this.#targets.get(delivery.queue)?.name ?? delivery.queue;
    const renamed = (name: string): string => (name === delivery.queue ? queue : name);
    await destination.publish(messageOf(delivery), {
      exchange: renamed(delivery.exchange),
      routingKey: renamed(delivery.routingKey),
      queue,
      mandatory: true,
      redelivered: delivery.redelivered,
    });
    if (acknowledge && (await this.#subscription?.ack(delivery)) !== 'done') this.#repeatable += 1;
    this.#count += 1;
    onMigrated({ count: this.#count, total: this.#total, task, id });
  }
}

/**
 * Without what the source has counted for itself. RabbitMQ marks nothing that is published as redelivered: what had been delivered before would count as a second copy of
 * itself there (consumer/once-only.ts) and not be run, so it goes without its mark.
 */
function messageOf({ properties, headers, body, redelivered }: Delivery): Message {
  const dropped = redelivered ? [...counts, ownHeaders.once] : counts;
  if (headers === null || !dropped.some((name) => name in headers)) return { properties, headers, body };
  const own = Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.includes(name)));
  return { properties, headers: own, body };
}

/** Of a quorum queue. */
const counts = ['x-delivery-count', 'x-acquired-count'];

/** As far as it says what it is. */
function taskOf(delivery: Delivery): { readonly task: string; readonly id: string } {
  const { headers, properties } = delivery;
  if (typeof headers?.task === 'string') return { task: headers.task, id: typeof headers.id === 'string' ? headers.id : '?' };
  // The first protocol says so in the body.
  const receipt = readReceipt(delivery);
  return receipt.kind === 'task' ? receipt.header : { task: '?', id: properties.correlationId ?? '?' };
}
