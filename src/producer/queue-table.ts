/**
 * The queues of an installation by name: those declared, and those made because somebody named them.
 *
 * Owns the lookup and Celery's rules for unknown names. Tells nothing to a broker: what is found here is declared by whoever uses it.
 */
import type { ExchangeType, QueueDeclaration } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';

/** A queue as its users know it. */
export interface TaskQueue extends QueueDeclaration {
  /** What `-Q` and routes call it, where that is not its name: broadcasts, whose queues have random names. */
  readonly alias?: string;
  /** Every worker has a queue of its own; who sends declares none. */
  readonly broadcast?: boolean;
  /** Of messages whose call names none. */
  readonly deliveryMode?: 1 | 2;
}

export interface QueueTableParams {
  /** Empty: the default queue alone. */
  readonly queues: readonly TaskQueue[];
  /** The default queue as it is when no queues are declared; otherwise its name counts only. */
  readonly defaultQueue: TaskQueue;
  readonly createMissing: boolean;
  /** What queues made here have besides their name. */
  readonly missing?: Pick<TaskQueue, 'exchangeType' | 'arguments'>;
}

export class QueueTable {
  readonly #params: QueueTableParams;
  readonly #byName = new Map<string, TaskQueue>();
  readonly #declared: readonly TaskQueue[];
  readonly #exchangeTypes = new Map<string, ExchangeType>();

  constructor(params: QueueTableParams) {
    this.#params = params;
    this.#declared = params.queues.length > 0 ? params.queues : [params.defaultQueue];
    for (const queue of this.#declared) this.#add(queue);
  }

  /** Declared or made: those a message can be for. */
  get known(): Iterable<TaskQueue> {
    return new Set(this.#byName.values());
  }

  get default(): TaskQueue {
    return this.find(this.#params.defaultQueue.name);
  }

  get defaultRoutingKey(): string {
    const { routingKey, name } = this.#params.defaultQueue;
    return routingKey ?? name;
  }

  /** The queue of this name or alias, made when it may be. Throws QUEUE_UNKNOWN. */
  find(name: string): TaskQueue {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    if (!this.#params.createMissing) {
      throw new UmbelError('QUEUE_UNKNOWN', `a queue must be declared when task.create_missing_queues is false, got '${name}'`);
    }
    return this.#add({ ...this.#params.missing, name });
  }

  /** What the declared queues say of an exchange. */
  exchangeType(exchange: string): ExchangeType | undefined {
    return this.#exchangeTypes.get(exchange);
  }

  /** What a worker takes tasks from: all that are declared, or those named, without those excluded. Throws QUEUE_UNKNOWN, USAGE. */
  select(include: readonly string[], exclude: readonly string[]): readonly TaskQueue[] {
    const { createMissing } = this.#params;
    if (!createMissing) {
      const known = (name: string): boolean => this.#byName.has(name);
      const missing = include.find((name) => !known(name));
      if (missing !== undefined) {
        throw new UmbelError(
          'QUEUE_UNKNOWN',
          `Trying to select queue subset of ${listed(include)}, but queue '${missing}' isn't defined in the \`task_queues\` setting.\nIf you want to automatically declare unknown queues you can enable the \`task_create_missing_queues\` setting.`,
        );
      }
      const unwanted = exclude.find((name) => !known(name));
      if (unwanted !== undefined) {
        throw new UmbelError(
          'QUEUE_UNKNOWN',
          `Trying to deselect queue subset of ${listed(exclude)}, but queue '${unwanted}' isn't defined in the \`task_queues\` setting.`,
        );
      }
    }
    const wanted = include.length > 0 ? include.map((name) => this.find(name)) : this.#declared;
    const left = [...new Set(wanted)].filter((queue) => !exclude.includes(queue.name) && !exclude.includes(queue.alias ?? queue.name));
    if (left.length === 0)
      throw new UmbelError('USAGE', `worker.exclude_queues must leave a queue to consume from, got ${[...exclude].join(', ')}`);
    return left;
  }

  #add(queue: TaskQueue): TaskQueue {
    this.#byName.set(queue.name, queue);
    if (queue.alias !== undefined) this.#byName.set(queue.alias, queue);
    const { exchange = queue.name, exchangeType = 'direct', bindings = [] } = queue;
    if (exchange !== '') this.#exchangeTypes.set(exchange, exchangeType);
    for (const binding of bindings) this.#exchangeTypes.set(binding.exchange, binding.exchangeType ?? 'direct');
    return queue;
  }
}

/** As Python shows a list. */
function listed(names: readonly string[]): string {
  return `[${names.map((name) => `'${name}'`).join(', ')}]`;
}

/** The queue a worker has to itself. Source: amqp.md §3. */
export function workerDirectQueue(nodeName: string): TaskQueue {
  return { name: `${nodeName}.dq2`, exchange: 'C.dq2', exchangeType: 'direct', routingKey: nodeName };
}
