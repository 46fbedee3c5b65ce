/**
 * The RabbitMQ broker, on kombu's topology, shared with Python producers and workers.
 *
 * Owns: its state, its subscriptions and listeners, and two connections: one to consume over, one to publish over (which the server may stop reading
 * from when it is short of memory or disk). The state is that of the first.
 *
 *   stopped ──start──► connecting ──► connected ⇄ lost        (lost: the connection repairs itself; every delivery is lost with it)
 *      ▲──────────────────stop────────────┴─────────┘
 */
import { AmqpConnection, type AmqpConnectOptions, type AmqpState } from '../../driver/amqp.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import { AmqpPublisher } from '../../driver/amqp-publisher.ts';
import type { RawPublish } from '../../driver/amqp-raw.ts';
import type { AmqpPlace } from '../../driver/amqp-url.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Message } from '../../protocol/message.ts';
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
import type { DiagnosisParams, RabbitmqReport } from '../broker-report.ts';
import type { OperatorChannel } from '../operator-channel.ts';
import { StateSignal } from '../state-signal.ts';
import { AmqpListener } from './amqp-listener.ts';
import { AmqpOperatorChannel } from './amqp-operator-channel.ts';
import { DelayQueues } from './delay-queues.ts';
import { diagnoseAmqp } from './diagnosis.ts';
import { NativeDelay, nativeDelayExchange } from './native-delay.ts';
import { AmqpSubscription } from './subscription.ts';
import { Topology } from './topology.ts';
import { brokerUnavailable, brokerUnstarted } from './unavailable.ts';
import { toWire } from './wire-message.ts';

export interface AmqpBrokerOptions {
  /** The server confirms each message before it counts as published. Default: true. */
  readonly confirmPublish?: boolean;
  /** How long a message waits for a server that is away before publishing it fails; null: for ever. Default: Celery's retry policy, 0.6 s. */
  readonly publishPatienceMs?: number | null;
  /** Messages due later than this are parked in the broker. Must be well below the broker's consumer timeout. Default: 10 minutes. */
  readonly holdDeferredMs?: number;
  /** Count the prefetch per consumer even where the server could count per channel. Default: when a queue or the server needs it. */
  readonly perConsumerPrefetch?: boolean;
  /** Count per consumer when a declared queue is a quorum queue. Otherwise a refusal of the server has to say so. Default: true. */
  readonly detectQuorumQueues?: boolean;
  /** Some queue of the installation is a quorum queue, so that Celery's delay queues are used. Default: when one that is declared here is. */
  readonly nativeDelay?: boolean;
  /** Of Celery's delay queues. Default: quorum. */
  readonly nativeDelayQueueType?: 'quorum' | 'classic';
}

export interface AmqpBrokerParams {
  readonly place: AmqpPlace;
  readonly connection?: Partial<AmqpConnectOptions>;
  readonly options?: AmqpBrokerOptions;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** max_retries 3, interval_start 0, interval_step 0.2, interval_max 1. */
const defaultPatienceMs = 600;
const defaultHoldDeferredMs = 600_000;
/** More than the publisher gives the last confirmations. */
const stopGraceMs = 7000;
/** Older servers count per channel what AMQP calls global; RabbitMQ 4 is about to stop. */
const perConsumerFrom = 4;

export class AmqpBroker implements Broker {
  readonly features: BrokerFeatures = {
    priorityOrder: 'higher-first',
    delayedDelivery: false,
    countsDeliveries: false,
    redelivers: true,
    shared: true,
    visibilityTimeoutMs: null,
  };
  readonly displayUrl: string;
  /** Over which it consumes; others may open channels on it while it is started. */
  readonly connection: AmqpConnection;
  readonly topology: Topology;
  readonly #params: AmqpBrokerParams;
  readonly #options: AmqpBrokerOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #delayQueues: DelayQueues;
  readonly #nativeDelay: NativeDelay;
  readonly #subscriptions = new Set<AmqpSubscription>();
  readonly #listeners = new Set<AmqpListener>();
  readonly #blockedListeners = new Set<() => void>();
  #publisher: AmqpPublisher;
  readonly #state = new StateSignal();
  /** Start and stop take turns. */
  #turn: Promise<void> = Promise.resolve();
  #unlisten: (() => void) | null = null;
  /** Of channels with deliveries. */
  #epoch = 0;
  /** A quorum queue refused a prefetch per channel. */
  #perConsumer = false;

  constructor(params: AmqpBrokerParams) {
    const { place, connection: options, log } = params;
    this.#params = params;
    this.#options = params.options ?? {};
    this.#log = log;
    this.#clock = params.clock ?? systemClock;
    this.connection = new AmqpConnection({ place, options: { ...options }, log, clock: this.#clock });
    this.displayUrl = this.connection.displayUrl;
    this.topology = new Topology({ connection: this.connection, log });
    this.#publisher = this.#newPublisher();
    this.#delayQueues = new DelayQueues({
      topology: this.topology,
      publisher: () => this.#publisher,
      server: () => this.connection.server,
    });
    const { nativeDelayQueueType: queueType = 'quorum' } = this.#options;
    this.#nativeDelay = new NativeDelay({ topology: this.topology, queueType, log, clock: this.#clock });
  }

  get where(): string {
    return this.connection.where;
  }

  get state(): BrokerState {
    return this.#state.value;
  }

  get blocked(): string | null {
    return this.#publisher.blocked;
  }

  onBlocked(listener: () => void): () => void {
    this.#blockedListeners.add(listener);
    return () => this.#blockedListeners.delete(listener);
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
      this.#unlisten = this.connection.onStateChange((state, cause) => this.#onConnection(state, cause));
      if (this.#publisher.stopped) this.#publisher = this.#newPublisher();
      this.#state.set(this.connection.state === 'lost' ? 'lost' : 'connected', null);
    });
  }

  stop(): Promise<void> {
    // One that is still looking for a server would keep us waiting for as long as there is none.
    if (this.#state.value === 'connecting' && this.connection.state === 'connecting') this.connection.abandon();
    return this.#inTurn(async () => {
      if (this.#state.value === 'stopped') return;
      // Without a connection nothing can be given back, and need not: the server did so when it was lost.
      const connected = this.connection.state === 'connected';
      const endings = [this.#publisher.stop(), ...(connected ? this.#endings() : [])];
      for (const result of await this.#inTime(Promise.allSettled(endings))) {
        if (result.status === 'rejected')
          this.#log.warning('broker.stop', `The RabbitMQ broker did not stop cleanly: ${messageOf(result.reason)}`);
      }
      this.#unlisten?.();
      this.#unlisten = null;
      this.#abandonAll();
      await this.connection.release();
      this.#state.set('stopped', null);
    });
  }

  /** A server that does not answer, and whose connection is not found out, is not waited for: it gives back what is held when the connection ends. */
  #inTime<T>(endings: Promise<PromiseSettledResult<T>[]>): Promise<PromiseSettledResult<T>[]> {
    const { promise: late, resolve } = Promise.withResolvers<PromiseSettledResult<T>[]>();
    const reason = new Error(`no answer within ${stopGraceMs / 1000} s`);
    const timer = this.#clock.setTimer(() => resolve([{ status: 'rejected', reason }]), stopGraceMs);
    return Promise.race([endings, late]).finally(() => this.#clock.clearTimer(timer));
  }

  reconnect(reason: string): void {
    if (this.#state.value === 'connected') this.connection.reconnect(reason);
  }

  /** As a crash would: nothing is given back, nothing is said. For tests. */
  abandon(): void {
    this.#unlisten?.();
    this.#unlisten = null;
    this.connection.abandon();
    this.#publisher.abandon();
    this.#abandonAll();
    this.#state.set('stopped', null);
  }

  async declareQueue(queue: QueueDeclaration, forSending = false): Promise<void> {
    await this.#ask(() => (forSending ? this.topology.declareForSending(queue) : this.topology.declare(queue)));
  }

  async declareExchange(exchange: string, type: ExchangeType, durable: boolean): Promise<void> {
    await this.#ask(() => this.topology.declareExchange(exchange, type, durable));
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#ask(() => this.topology.delete(name));
  }

  purgeQueue(name: string): Promise<number> {
    return this.#ask(() => this.topology.purge(name));
  }

  async countReady(name: string): Promise<number> {
    return (await this.#ask(() => this.topology.look(name)))?.messages ?? 0;
  }

  publish(message: Message, destination: Destination): Promise<void> {
    const { exchange, routingKey, dueAtMs } = destination;
    if (dueAtMs === undefined || exchange === '' || !this.#delaysNatively()) return this.#publish(message, destination);
    return this.#nativeDelay.routingKey(exchange, routingKey, dueAtMs).then(
      (delayed) => (delayed === null ? this.#publish(message, destination) : this.#publishDelayed(message, destination, delayed)),
      (error: unknown) => {
        throw brokerUnavailable(error);
      },
    );
  }

  #publish(message: Message, destination: Destination): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#state.started) throw this.#notStarted();
      const { mandatory = false, queue, confirm, impatient = false } = destination;
      const { exchange, routingKey } = queue === undefined ? destination : { exchange: '', routingKey: queue };
      let wire: RawPublish;
      try {
        wire = toWire(queue === undefined ? message : uncopied(message), exchange, routingKey, mandatory);
      } catch (error) {
        throw brokerUnavailable(error);
      }
      const done = (failure: AmqpFailure | null): void => {
        if (failure === null) resolve();
        else reject(brokerUnavailable(failure));
      };
      if (confirm !== undefined && exchange === '' && !mandatory)
        this.#publisher.publishTogether(wire, message.body, confirm === 'soon' || this.#isFull(), done);
      else this.#publisher.publish(wire, message.body, done, impatient);
    });
  }

  /** The server gives nothing more until something is acknowledged, and that may wait for what is published. */
  #isFull(): boolean {
    for (const subscription of this.#subscriptions) if (!subscription.hasRoom) return true;
    return false;
  }

  /** Somebody may have deleted the delay queues since: then it goes where it would go without them, and a worker holds it. */
  async #publishDelayed(message: Message, destination: Destination, routingKey: string): Promise<void> {
    try {
      const { impatient = false } = destination;
      await this.#publish(message, { exchange: nativeDelayExchange, routingKey, mandatory: true, impatient });
    } catch (error) {
      if (!(error instanceof UmbelError) || (error.code !== 'BROKER_REFUSED' && error.code !== 'BROKER_FULL')) throw error;
      this.#nativeDelay.missed();
      await this.#publish(message, destination);
    }
  }

  #delaysNatively(): boolean {
    return this.#options.nativeDelay ?? this.topology.known.some(({ name }) => this.topology.isQuorum(name));
  }

  async consume(params: ConsumeParams): Promise<Subscription> {
    this.#mustBeStarted();
    if (this.#delaysNatively()) await this.#nativeDelay.declare(params.queues.map((queue) => this.topology.declaration(queue)));
    try {
      return await this.#consume(params);
    } catch (error) {
      if (!(error instanceof AmqpFailure) || error.kind !== 'global-qos') throw brokerUnavailable(error);
    }
    // The server has ended the connection for it; the next one counts per consumer.
    this.#noteQuorum();
    try {
      await this.#connectedAgain();
      return await this.#consume(params);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  async diagnose({ queues }: DiagnosisParams): Promise<RabbitmqReport> {
    const { place, connection: options = {}, log } = this.#params;
    try {
      return await diagnoseAmqp({ place, options, log, queues });
    } catch (error) {
      throw brokerUnstarted(error);
    }
  }

  async listen(params: ListenParams): Promise<Listener> {
    this.#mustBeStarted();
    const listener = new AmqpListener({
      connection: this.connection,
      topology: this.topology,
      listen: params,
      log: this.#log,
      clock: this.#clock,
      stopped: (stopped) => this.#listeners.delete(stopped),
    });
    this.#listeners.add(listener);
    try {
      await listener.start();
    } catch (error) {
      listener.abandon();
      this.#listeners.delete(listener);
      throw brokerUnavailable(error);
    }
    return listener;
  }

  async openOperatorChannel(): Promise<OperatorChannel> {
    this.#mustBeStarted();
    return new AmqpOperatorChannel({ connection: this.connection, broker: this });
  }

  async #consume(params: ConsumeParams): Promise<AmqpSubscription> {
    const subscription = new AmqpSubscription({
      connection: this.connection,
      topology: this.topology,
      delayQueues: this.#delayQueues,
      consume: params,
      holdDeferredMs: this.#options.holdDeferredMs ?? defaultHoldDeferredMs,
      countsPerConsumer: (queues) => this.#countsPerConsumer(queues),
      nextEpoch: () => ++this.#epoch,
      log: this.#log,
      clock: this.#clock,
      onDeclaredAgain: async (queue) => {
        if (this.#delaysNatively()) await this.#nativeDelay.declareAgain(this.topology.declaration(queue));
      },
      ended: (ended) => this.#subscriptions.delete(ended),
    });
    this.#subscriptions.add(subscription);
    try {
      await subscription.start();
    } catch (error) {
      this.#subscriptions.delete(subscription);
      throw error;
    }
    return subscription;
  }

  #newPublisher(): AmqpPublisher {
    const { place, connection: options, log } = this.#params;
    const { connectionName = null } = options ?? {};
    // Who publishes waits as long as its patience lasts; whether it goes on after a loss is for the first connection to say.
    const own = {
      startRetries: 0,
      reconnectRetries: null,
      connectionName: connectionName === null ? null : `${connectionName} (publishing)`,
    };
    const { confirmPublish = true, publishPatienceMs = defaultPatienceMs } = this.#options;
    const connection = new AmqpConnection({ place, options: { ...options, ...own }, forPublishing: true, log, clock: this.#clock });
    connection.onBlocked(() => {
      for (const listener of [...this.#blockedListeners]) listener();
    });
    return new AmqpPublisher({
      connection,
      prepare: () => this.#declareAgain(connection),
      confirm: confirmPublish,
      patienceMs: publishPatienceMs,
      log,
      clock: this.#clock,
    });
  }

  /** Everything that is declared here, as far as it can be; what is wrong with it is said for the other connection. */
  async #declareAgain(connection: AmqpConnection): Promise<void> {
    const topology = new Topology({ connection, log: null });
    const queues = this.topology.known.filter(({ noDeclare, exclusive }) => noDeclare !== true && exclusive !== true);
    for (const queue of queues) await topology.declare(queue).catch(() => {});
    if (queues.length > 0) await topology.run((channel) => channel.close()).catch(() => {});
  }

  #countsPerConsumer(queues: Iterable<string>): boolean {
    if (this.#perConsumer || this.#options.perConsumerPrefetch === true) return true;
    const { server } = this.connection;
    if (server !== null && server.product === 'RabbitMQ' && server.majorVersion >= perConsumerFrom) return true;
    if (this.#options.detectQuorumQueues ?? true) for (const queue of queues) if (this.topology.isQuorum(queue)) this.#noteQuorum();
    return this.#perConsumer;
  }

  #noteQuorum(): void {
    if (this.#perConsumer) return;
    this.#perConsumer = true;
    this.#log.info(
      'broker.per-consumer',
      'Global QoS is disabled: a quorum queue is consumed from, and each queue has a prefetch of its own',
    );
  }

  #endings(): Promise<unknown>[] {
    return [
      ...[...this.#subscriptions].map((subscription) => subscription.release()),
      ...[...this.#listeners].map((listener) => listener.stop()),
    ];
  }

  #abandonAll(): void {
    for (const subscription of this.#subscriptions) subscription.abandon();
    for (const listener of this.#listeners) listener.abandon();
    this.#subscriptions.clear();
    this.#listeners.clear();
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #notStarted(): UmbelError {
    return new UmbelError('BROKER_UNAVAILABLE', `the RabbitMQ broker is not started (${this.displayUrl})`);
  }

  #mustBeStarted(): void {
    if (!this.#state.started) throw this.#notStarted();
  }

  async #ask<T>(operation: () => Promise<T>): Promise<T> {
    this.#mustBeStarted();
    try {
      return await operation();
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  #connectedAgain(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The connection's end may not have been told yet: the first change is the loss.
      const unlisten = this.connection.onStateChange((state) => {
        if (state === 'lost' || state === 'connecting') return;
        unlisten();
        if (state === 'connected') resolve();
        else reject(this.connection.unavailable());
      });
    });
  }

  #onConnection(state: AmqpState, cause: AmqpFailure | null): void {
    if (this.#state.value === 'stopped') return;
    switch (state) {
      case 'connected': {
        this.#delayQueues.reconnected();
        this.#nativeDelay.reconnected();
        this.#publisher.hurry();
        // Whoever hears of the connection may begin something on it at once; that is not to be begun again.
        const before = { subscriptions: [...this.#subscriptions], listeners: [...this.#listeners] };
        this.#state.set('connected', null);
        this.#resume(before);
        return;
      }
      case 'lost':
        if (cause?.kind === 'global-qos') this.#noteQuorum();
        this.#state.set('lost', cause === null ? null : brokerUnavailable(cause));
        return;
      case 'connecting':
        return;
      case 'stopped':
        // It gave up reconnecting.
        this.#abandonAll();
        this.#state.set('stopped', cause === null ? null : brokerUnavailable(cause));
        return;
    }
  }

  /** Another connection, maybe another server: what was declared here is declared again before anything is consumed. */
  #resume({ subscriptions, listeners }: { subscriptions: readonly AmqpSubscription[]; listeners: readonly AmqpListener[] }): void {
    for (const subscription of subscriptions) if (this.#subscriptions.has(subscription)) subscription.reconnected();
    for (const listener of listeners) if (this.#listeners.has(listener)) listener.reconnected();
    const consumed = new Set([...this.#subscriptions].flatMap((subscription) => subscription.queues));
    const others = this.topology.known.filter(({ name }) => !consumed.has(name));
    const declared = Promise.all(others.map((queue) => this.topology.declare(queue)));
    if (this.#delaysNatively()) void this.#nativeDelay.declare([...consumed].map((queue) => this.topology.declaration(queue)));
    declared.catch((error: unknown) => {
      if (this.connection.state === 'connected')
        this.#log.warning('broker.redeclare', `Queues could not be declared again: ${messageOf(error)}`);
    });
  }
}

/** Without the headers that name further routing keys, each of which would be sent a copy. */
function uncopied(message: Message): Message {
  const { headers } = message;
  if (headers === null || !('CC' in headers || 'BCC' in headers)) return message;
  const { CC: _cc, BCC: _bcc, ...rest } = headers;
  return { ...message, headers: rest };
}
