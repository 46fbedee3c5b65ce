/**
 * The producer: from a finished message and what its sender said of where it should go, to a message the broker has.
 *
 * Owns the routing of everything that is published: calls, what tasks call, what follows from tasks. Declares queues before the first
 * message to them, and tries again when the broker is not there. Building messages is protocol/.
 */
import type { Broker, Destination } from '../broker/broker.ts';
import type { Message, MessageProperties } from '../protocol/message.ts';
import type { SentTask } from '../protocol/sent-event.ts';
import type { Clock } from '../std/clock.ts';
import { mergeRoutes, type Target, targetOf } from './destination.ts';
import { defaultRetryPolicy, type RetryPolicy, tryAgain } from './publish-retry.ts';
import type { QueueTable, TaskQueue } from './queue-table.ts';
import { MessageToRoute, type RouteOptions, type Router } from './router.ts';

/** What the sender said. The message's own priority and delivery mode do not count: these do. */
export interface Route extends RouteOptions {
  /** Of the task that sends it; weaker than that of a route, stronger than the default. */
  readonly inheritedPriority?: number | undefined;
  /** That no queue takes it is an error, BROKER_REFUSED. */
  readonly mandatory?: boolean | undefined;
}

export interface PublishRequest {
  readonly taskName: string;
  readonly taskId: string;
  readonly route: Route;
  /** Unix ms before which it should not be delivered. */
  readonly dueAtMs: number | null;
  /** false: whoever asks tries again by himself. */
  readonly retry?: false;
}

export interface ProducerParams {
  readonly broker: Broker;
  readonly queues: QueueTable;
  /** Asked in this order. Default: none. */
  readonly routers?: readonly Router[];
  /** null: none. Default: none. */
  readonly defaultPriority?: number | null;
  /** Default: persistent. */
  readonly defaultDeliveryMode?: 1 | 2;
  /** Default: true. */
  readonly retry?: boolean;
  readonly retryPolicy?: Partial<RetryPolicy>;
  readonly clock?: Clock;
}

export class Producer {
  readonly name = 'producer';
  readonly #params: ProducerParams;
  readonly #broker: Broker;
  readonly #table: QueueTable;
  readonly #routers: readonly Router[];
  readonly #retryPolicy: RetryPolicy;
  /** Queues declared through this producer; undefined as value: done. */
  readonly #declared = new Map<TaskQueue, Promise<void> | undefined>();
  /** Of routes that name nothing but a queue, or nothing: '' is the default queue. */
  readonly #targets = new Map<string, Target>();
  /** The queues on an exchange, for messages to that exchange. */
  readonly #queuesOf = new Map<string, readonly TaskQueue[]>();
  #onSent: ((sent: SentTask) => void) | null = null;

  constructor(params: ProducerParams) {
    this.#params = params;
    this.#broker = params.broker;
    this.#table = params.queues;
    this.#routers = params.routers ?? [];
    this.#retryPolicy = { ...defaultRetryPolicy, ...params.retryPolicy };
  }

  /** Load the routers. Rejects with ROUTER_FAILED. */
  async start(): Promise<void> {
    for (const router of this.#routers) await router.load?.();
  }

  async stop(): Promise<void> {}

  /** Tries again, after `failure`, as a message is sent again that names no policy of its own. Rejects with the last failure. */
  tryAgain(attempt: () => Promise<void>, failure: unknown): Promise<void> {
    if (this.#params.retry === false) return Promise.reject(failure);
    return tryAgain(attempt, failure, this.#retryPolicy, this.#params.clock);
  }

  /** Be told of each message once the broker has it. One listener. */
  onSent(listener: (sent: SentTask) => void): void {
    this.#onSent = listener;
  }

  /** Resolves when the broker has the message for good. Rejects with QUEUE_UNKNOWN, ROUTER_FAILED, or what the broker says. */
  publish(message: Message, request: PublishRequest): Promise<void> {
    try {
      const route = this.#routers.length === 0 ? request.route : this.#routed(message, request);
      const target = this.#target(route);
      const outgoing = this.#dressed(message, route, request.route.inheritedPriority, target.queue);
      const { exchange, routingKey } = target;
      const dueAtMs = request.dueAtMs;
      const impatient = request.retry !== false;
      const way: Destination = dueAtMs === null ? { exchange, routingKey, impatient } : { exchange, routingKey, impatient, dueAtMs };
      const destination = request.route.mandatory === true ? { ...way, mandatory: true } : way;
      const sent = this.#sendPatiently(outgoing, destination, target.queue, route, impatient);
      const onSent = this.#onSent;
      return onSent === null
        ? sent
        : sent.then(() => onSent({ message: outgoing, queue: target.queue?.name ?? null, exchange, routingKey }));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #routed(message: Message, { taskName, taskId, route }: PublishRequest): RouteOptions {
    const task = new MessageToRoute(taskName, taskId, message, route);
    for (const router of this.#routers) {
      const routed = router.route(task);
      if (routed !== null) return mergeRoutes(route, routed);
    }
    return route;
  }

  #target(route: RouteOptions): Target {
    if (route.exchange !== undefined || route.routingKey !== undefined || route.exchangeType !== undefined)
      return targetOf(route, this.#table);
    const name = route.queue ?? '';
    let target = this.#targets.get(name);
    if (target === undefined) {
      target = targetOf(route, this.#table);
      this.#targets.set(name, target);
    }
    return target;
  }

  /** The message with the priority and delivery mode it is to have. */
  #dressed(message: Message, route: RouteOptions, inherited: number | undefined, queue: TaskQueue | null): Message {
    const { properties } = message;
    const priority = route.priority ?? inherited ?? this.#params.defaultPriority ?? properties.priority;
    const deliveryMode = route.deliveryMode ?? queue?.deliveryMode ?? this.#params.defaultDeliveryMode ?? 2;
    if (priority === properties.priority && deliveryMode === properties.deliveryMode) return message;
    const dressed: MessageProperties = { ...properties, deliveryMode, ...(priority === undefined ? null : { priority }) };
    return { properties: dressed, headers: message.headers, body: message.body };
  }

  #sendPatiently(
    message: Message,
    destination: Destination,
    queue: TaskQueue | null,
    route: RouteOptions,
    mayRetry: boolean,
  ): Promise<void> {
    const sent = this.#send(message, destination, queue);
    if (!mayRetry || !(route.retry ?? this.#params.retry ?? true)) return sent;
    return sent.catch((error: unknown) => {
      const policy = route.retryPolicy === undefined ? this.#retryPolicy : { ...this.#retryPolicy, ...route.retryPolicy };
      return tryAgain(() => this.#send(message, destination, queue), error, policy, this.#params.clock);
    });
  }

  #send(message: Message, destination: Destination, queue: TaskQueue | null): Promise<void> {
    const wait = queue === null ? this.#declareExchange(destination.exchange) : this.#declare(queue);
    return wait === undefined ? this.#broker.publish(message, destination) : wait.then(() => this.#broker.publish(message, destination));
  }

  /** Every queue known to be on it: what nobody is bound to is lost. One that no queue is known of is not ours to declare. */
  #declareExchange(exchange: string): Promise<unknown> | undefined {
    let queues = this.#queuesOf.get(exchange);
    if (queues === undefined) {
      queues = [...this.#table.known].filter(
        (queue) => (queue.exchange ?? queue.name) === exchange || queue.bindings?.some((binding) => binding.exchange === exchange),
      );
      this.#queuesOf.set(exchange, queues);
    }
    const waits = queues.map((queue) => this.#declare(queue)).filter((wait) => wait !== undefined);
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  /** undefined: nothing to wait for. */
  #declare(queue: TaskQueue): Promise<void> | undefined {
    if (queue.broadcast || this.#declared.has(queue)) return this.#declared.get(queue);
    const declared = this.#broker.declareQueue(queue, true).then(
      () => void this.#declared.set(queue, undefined),
      (error: unknown) => {
        // A failed declaration must not stick: the next publish tries again.
        this.#declared.delete(queue);
        throw error;
      },
    );
    this.#declared.set(queue, declared);
    return declared;
  }
}
