/**
 * The Redis broker, on kombu's keys, shared with Python producers and workers.
 *
 * Owns: its state, its subscriptions and listeners, and the parts they share: the worker lease, the watch for new messages, the restorer.
 * The connection is driver/redis.ts and may be shared with the result backend: then a result and its acknowledgement are one MULTI.
 *
 *   stopped ──start──► connecting ──► connected ⇄ lost        (lost: the connection repairs itself; deliveries stay valid)
 *      ▲──────────────────stop────────────┴─────────┘
 *
 * Deliveries live in Redis and not in the connection: after a loss they are still ours unless their lease ended, which is asked at once.
 */
import { randomUUID } from 'node:crypto';
import type { RedisConnection, RedisState } from '../../driver/redis.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Message } from '../../protocol/message.ts';
import { encodeEnvelope } from '../../protocol/virtual-envelope.ts';
import { type Clock, systemClock } from '../../std/clock.ts';
import type {
  Broker,
  BrokerFeatures,
  BrokerState,
  ConsumeParams,
  Destination,
  ExchangeType,
  Listener,
  ListenParams,
  QueueDeclaration,
  Subscription,
} from '../broker.ts';
import type { DiagnosisParams, RedisReport } from '../broker-report.ts';
import { noQueueTakes } from '../no-queue.ts';
import type { OperatorChannel } from '../operator-channel.ts';
import { PlainOperatorChannel } from '../plain-operator-channel.ts';
import { bindingsOf } from '../queue-bindings.ts';
import { settledAtOnce } from '../settled-at-once.ts';
import { StateSignal } from '../state-signal.ts';
import { diagnoseRedis } from './diagnosis.ts';
import { KeyLayout, type RedisLayoutOptions } from './key-layout.ts';
import { mustHaveRights } from './needed-rights.ts';
import { purgeScript } from './purge-script.ts';
import type { QueueOrderStrategy } from './queue-order.ts';
import { ReadyWatch } from './ready-watch.ts';
import { RedisListener } from './redis-listener.ts';
import { RedisTables } from './redis-tables.ts';
import { Restorer } from './restorer.ts';
import { Routing } from './routing.ts';
import { RedisSubscription } from './subscription.ts';
import { brokerUnavailable, brokerUnstarted } from './unavailable.ts';
import { WorkerLease } from './worker-lease.ts';

export interface RedisBrokerOptions extends RedisLayoutOptions {
  /** After this long without renewal kombu gives a message to somebody else. Equal for all workers of a database. Default: an hour. */
  readonly visibilityTimeoutMs?: number;
  /** After this long without a sign of life our own workers give back what one of them held. Default: 30 s. */
  readonly workerLeaseMs?: number;
  readonly queueOrderStrategy?: QueueOrderStrategy;
  readonly unackedMutexExpireMs?: number;
  readonly unackedRestoreLimit?: number | null;
  /** How often messages held beyond the visibility timeout are given back. Default: as kombu, every 100 s. */
  readonly sweepIntervalMs?: number;
  /** Messages that cannot be sent wait for the server, and may be sent twice. Default: they fail. */
  readonly keepPublishes?: boolean;
}

export interface RedisBrokerParams {
  readonly connection: RedisConnection;
  readonly options?: RedisBrokerOptions;
  readonly log: Logger;
  readonly clock?: Clock;
}

export class RedisBroker implements Broker {
  readonly features: BrokerFeatures;
  readonly displayUrl: string;
  /** A result backend on the same connection commits together with this broker. */
  readonly connection: RedisConnection;
  readonly #options: RedisBrokerOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #layout: KeyLayout;
  readonly #routing: Routing;
  readonly #lease: WorkerLease;
  readonly #watch: ReadyWatch;
  readonly #restorer: Restorer;
  readonly #subscriptions = new Set<RedisSubscription>();
  readonly #listeners = new Set<RedisListener>();
  readonly #state = new StateSignal();
  /** Start and stop take turns. */
  #turn: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void) | null = null;
  #sequence = 0;

  constructor(params: RedisBrokerParams) {
    const { connection, log, options = {} } = params;
    const clock = params.clock ?? systemClock;
    this.connection = connection;
    this.displayUrl = connection.displayUrl;
    this.#options = options;
    this.#log = log;
    this.#clock = clock;
    const layout = new KeyLayout(options, connection.db);
    const collision = layout.collision();
    if (collision !== null) throw new UmbelError('CONFIG_INVALID', `broker.transport_options (${collision.option}) ${collision.problem}`);
    const visibilityTimeoutMs = options.visibilityTimeoutMs ?? 3_600_000;
    this.features = { priorityOrder: 'lower-first', delayedDelivery: false, countsDeliveries: false, shared: true, visibilityTimeoutMs };
    this.#layout = layout;
    this.#routing = new Routing(layout);
    this.#watch = new ReadyWatch({ connection, log, clock });
    const workerLeaseMs = options.workerLeaseMs ?? 30_000;
    this.#lease = new WorkerLease({
      connection,
      layout,
      workerLeaseMs,
      visibilityTimeoutMs,
      log,
      clock,
      heldTags: () => this.#tags((subscription) => subscription.heldTags()),
      deferredTags: () => this.#tags((subscription) => subscription.deferredTags()),
      onGone: (tags) => this.#gone(tags),
      onAlive: () => {
        for (const subscription of this.#subscriptions) subscription.wake();
      },
      onHeld: () => {
        for (const subscription of this.#subscriptions) subscription.held();
      },
      onDead: (ids) => this.#restorer.dead(ids),
      onLate: () => this.#restorer.late(),
    });
    this.#restorer = new Restorer({
      connection,
      layout,
      visibilityTimeoutMs,
      workerId: this.#lease.id,
      workerLeaseMs,
      unackedMutexExpireMs: options.unackedMutexExpireMs ?? 300_000,
      unackedRestoreLimit: options.unackedRestoreLimit ?? null,
      sweepIntervalMs: options.sweepIntervalMs ?? 100_000,
      log,
      clock,
    });
  }

  get where(): string {
    return this.connection.where;
  }

  get state(): BrokerState {
    return this.#state.value;
  }

  onStateChange(listener: (state: BrokerState, cause: Error | null) => void): () => void {
    return this.#state.onChange(listener);
  }

  start(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.value !== 'stopped') return;
      this.#state.set('connecting', null);
      try {
        await this.connection.acquire();
      } catch (error) {
        const unavailable = brokerUnstarted(error);
        this.#state.set('stopped', unavailable);
        throw unavailable;
      }
      this.#unsubscribe = this.connection.onStateChange((state, cause) => this.#onConnection(state, cause));
      this.#state.set(this.connection.state === 'lost' ? 'lost' : 'connected', null);
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.value === 'stopped') return;
      this.#restorer.stop();
      // All enqueued in one turn: what is held goes back before the lease is given up.
      const endings: Promise<unknown>[] = [...this.#subscriptions].map((subscription) => subscription.release());
      endings.push(...[...this.#listeners].map((listener) => listener.stop()), this.#lease.drop());
      const ended = Promise.allSettled(endings);
      // Without a server nothing can be given back: the leases run out by themselves.
      if (this.connection.state === 'connected') {
        for (const result of await ended) {
          if (result.status === 'rejected')
            this.#log.warning('broker.stop', `The Redis broker did not stop cleanly: ${messageOf(result.reason)}`);
        }
      }
      this.#watch.stop();
      this.#unsubscribe?.();
      this.#unsubscribe = null;
      await this.connection.release();
      await ended;
      this.#stopped(null);
    });
  }

  reconnect(reason: string): void {
    if (this.#state.value === 'connected') this.connection.reconnect(reason);
  }

  async declareQueue(queue: QueueDeclaration): Promise<void> {
    const headers = bindingsOf(queue).find(({ type }) => type === 'headers');
    if (headers !== undefined) throw noHeaders(`queue ${queue.name}, exchange ${headers.exchange}`);
    await this.#commit(this.#routing.declare(queue));
  }

  async declareExchange(exchange: string, type: ExchangeType): Promise<void> {
    if (type === 'headers') throw noHeaders(`exchange ${exchange}`);
    this.#routing.learn(exchange, type);
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#commit(this.#routing.undeclare(name));
  }

  async purgeQueue(name: string): Promise<number> {
    this.#routing.mustBeQueue(name);
    const [purged] = await this.#commit([evalCommand(purgeScript, this.#layout.lists(name), [])], false);
    if (typeof purged === 'number') return purged;
    throw new UmbelError(
      'BROKER_REFUSED',
      `on Redis a queue must be a list, got ${String(purged)}, which is something else (queue ${name})`,
    );
  }

  async countReady(name: string): Promise<number> {
    // By themselves: out of memory, Redis takes no MULTI.
    return sum(
      await this.#commit(
        this.#layout.lists(name).map((list): RedisCommand => ['LLEN', list]),
        false,
      ),
    );
  }

  publish(message: Message, destination: Destination): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#state.started) throw this.#notStarted();
      const { exchange, routingKey, redelivered = false } = destination;
      const envelope = encodeEnvelope(message, { exchange, routingKey, deliveryTag: randomUUID(), redelivered });
      const command = this.#routing.publish(envelope, message.properties.priority, destination);
      if (destination.othersFirst === true && exchange === '') this.#watch.leaveToOthers(String(command[1]));
      this.connection.enqueue({
        keep: this.#options.keepPublishes ?? false,
        atomic: true,
        bytes: envelope.length,
        commands: () => [command],
        // How many queues or listeners got it, or how long its list is now.
        done: ([taken]) => {
          if (destination.mandatory === true && taken === 0) reject(noQueueTakes(destination));
          else resolve();
        },
        failed: (failure) => reject(brokerUnavailable(failure)),
      });
    });
  }

  async consume(params: ConsumeParams): Promise<Subscription> {
    if (!this.#state.started) throw this.#notStarted();
    try {
      await mustHaveRights(this.connection, this.#layout, this.#lease.id, params.queues);
      await this.#lease.hold();
    } catch (error) {
      throw brokerUnavailable(error);
    }
    const subscription: RedisSubscription = new RedisSubscription({
      connection: this.connection,
      layout: this.#layout,
      lease: this.#lease,
      watch: this.#watch,
      routing: this.#routing,
      queueOrderStrategy: this.#options.queueOrderStrategy ?? 'round_robin',
      clock: this.#clock,
      log: this.#log,
      consume: settledAtOnce(params, (delivery) => subscription.ack(delivery)),
      takeSequence: (count) => {
        const first = this.#sequence;
        this.#sequence += count;
        return first;
      },
      ended: (ended) => this.#subscriptions.delete(ended),
      holdsAgain: (again) => this.#subscriptions.add(again),
    });
    this.#subscriptions.add(subscription);
    this.#restorer.start();
    try {
      await subscription.start();
    } catch (error) {
      this.#subscriptions.delete(subscription);
      throw brokerUnavailable(error);
    }
    return subscription;
  }

  async diagnose(params: DiagnosisParams): Promise<RedisReport> {
    await this.connection.acquire().catch((error: unknown) => {
      throw brokerUnstarted(error);
    });
    try {
      return await diagnoseRedis(this.connection, this.#layout, this.features.visibilityTimeoutMs ?? 0, params);
    } catch (error) {
      throw brokerUnavailable(error);
    } finally {
      await this.connection.release();
    }
  }

  async listen(params: ListenParams): Promise<Listener> {
    if (!this.#state.started) throw this.#notStarted();
    if (params.exchangeType === 'headers') throw noHeaders(`exchange ${params.exchange}`);
    this.#routing.learn(params.exchange, params.exchangeType);
    const listener = new RedisListener({
      connection: this.connection,
      layout: this.#layout,
      watch: this.#watch,
      log: this.#log,
      listen: params,
      stopped: (stopped) => this.#listeners.delete(stopped),
    });
    this.#listeners.add(listener);
    try {
      await listener.start();
    } catch (error) {
      this.#listeners.delete(listener);
      throw brokerUnavailable(error);
    }
    return listener;
  }

  async openOperatorChannel(): Promise<OperatorChannel> {
    if (!this.#state.started) throw this.#notStarted();
    return new PlainOperatorChannel({ broker: this, tables: new RedisTables(this.connection, this.#layout), clock: this.#clock });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #notStarted(): UmbelError {
    return new UmbelError('BROKER_UNAVAILABLE', `the Redis broker is not started (${this.displayUrl})`);
  }

  async #commit(commands: readonly RedisCommand[], atomic = true): Promise<readonly unknown[]> {
    if (!this.#state.started) throw this.#notStarted();
    if (commands.length === 0) return [];
    try {
      return await this.connection.commit(commands, { keep: false, atomic });
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  *#tags(of: (subscription: RedisSubscription) => Iterable<string>): IterableIterator<string> {
    for (const subscription of this.#subscriptions) yield* of(subscription);
  }

  #gone(tags: readonly string[]): void {
    const gone = new Set(tags);
    for (const subscription of [...this.#subscriptions]) subscription.gone(gone);
  }

  #onConnection(state: RedisState, cause: Error | null): void {
    if (this.#state.value === 'stopped') return;
    switch (state) {
      case 'connected':
        this.#restorer.reconnected();
        this.#lease.reconnected();
        this.#watch.reconnected();
        this.#redeclare();
        this.#state.set('connected', null);
        return;
      case 'lost':
        this.#state.set('lost', cause === null ? null : brokerUnavailable(cause));
        return;
      case 'connecting':
        return;
      case 'stopped':
        // It gave up reconnecting, or somebody dropped it; an orderly stop has stopped listening by now.
        this.#watch.stop();
        this.#stopped(cause === null ? null : brokerUnavailable(cause));
        return;
    }
  }

  /** A server without persistence has forgotten the bindings. */
  #redeclare(): void {
    const commands = this.#routing.again();
    const bound = [...this.#listeners].map((listener) => listener.bind());
    if (commands.length > 0) bound.push(this.connection.commit(commands, { keep: false }).then(() => {}));
    Promise.all(bound).catch((error: unknown) => {
      if (this.connection.state === 'connected')
        this.#log.warning('broker.redeclare', `Queues could not be declared again: ${messageOf(error)}`);
    });
  }

  #stopped(cause: Error | null): void {
    this.#restorer.stop();
    this.#lease.stop();
    this.#subscriptions.clear();
    this.#listeners.clear();
    this.#state.set('stopped', cause);
  }
}

function noHeaders(where: string): UmbelError {
  return new UmbelError('NOT_SUPPORTED', `the Redis broker has no headers exchanges (${where})`);
}

function sum(replies: readonly unknown[]): number {
  return replies.reduce<number>((total, reply) => total + Number(reply), 0);
}
