/**
 * A broker inside this process: for tests, for `memory://`, and as the plainest reading of the broker contract.
 *
 * Owns: its state and its subscriptions. Brokers that are given one hub see each other's messages; nothing survives the process.
 */
import { UmbelError } from '../../errors.ts';
import type { Message } from '../../protocol/message.ts';
import type { Timer } from '../../std/clock.ts';
import type {
  Broker,
  BrokerFeatures,
  BrokerState,
  ConsumeParams,
  Destination,
  Listener,
  ListenParams,
  QueueDeclaration,
  Subscription,
} from '../broker.ts';
import type { MemoryReport } from '../broker-report.ts';
import { noQueueTakes } from '../no-queue.ts';
import type { OperatorChannel } from '../operator-channel.ts';
import { type BrokerTables, PlainOperatorChannel } from '../plain-operator-channel.ts';
import { bindingsOf } from '../queue-bindings.ts';
import { settledAtOnce } from '../settled-at-once.ts';
import { StateSignal } from '../state-signal.ts';
import { MemoryHub } from './memory-hub.ts';
import { MemorySubscription } from './memory-subscription.ts';

export interface MemoryBrokerParams {
  /** Default: one of its own. */
  readonly hub?: MemoryHub;
}

const foreverMs = 2 ** 40;

export class MemoryBroker implements Broker {
  readonly displayUrl = 'memory://';
  readonly where = this.displayUrl;
  readonly features: BrokerFeatures = {
    priorityOrder: 'higher-first',
    delayedDelivery: true,
    countsDeliveries: true,
    shared: false,
    visibilityTimeoutMs: null,
  };
  readonly #hub: MemoryHub;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #listeners = new Set<ListenParams>();
  readonly #state = new StateSignal();
  #epoch = 0;
  /** Keeps the process alive for a consumer, as the socket to a broker would. */
  #alive: Timer | undefined;

  constructor(params?: MemoryBrokerParams) {
    this.#hub = params?.hub ?? new MemoryHub();
  }

  get state(): BrokerState {
    return this.#state.value;
  }

  async start(): Promise<void> {
    if (this.#state.value !== 'stopped') return;
    this.#epoch++;
    this.#state.set('connecting', null);
    this.#state.set('connected', null);
  }

  async stop(): Promise<void> {
    if (this.#state.value === 'stopped') return;
    for (const subscription of this.#subscriptions) await subscription.release();
    for (const listener of this.#listeners) this.#hub.removeListener(listener);
    this.#subscriptions.clear();
    this.#listeners.clear();
    this.#hub.clock.clearTimer(this.#alive);
    this.#alive = undefined;
    this.#state.set('stopped', null);
  }

  onStateChange(listener: (state: BrokerState, cause: Error | null) => void): () => void {
    return this.#state.onChange(listener);
  }

  /** There is none to lose; what is held stays valid. */
  reconnect(): void {
    if (this.#state.value !== 'connected') return;
    this.#state.set('lost', null);
    this.#state.set('connected', null);
    this.#hub.pump();
  }

  async declareQueue(queue: QueueDeclaration): Promise<void> {
    this.#mustBeStarted();
    const bindings = bindingsOf(queue);
    const headers = bindings.find(({ type }) => type === 'headers');
    if (headers !== undefined) refuseHeaders(headers.exchange);
    this.#hub.declare(queue.name);
    if (queue.noDeclare) return;
    for (const { exchange, type, routingKey } of bindings) this.#hub.bind(exchange, { type, routingKey, queue: queue.name });
  }

  /** The bindings say what an exchange is. */
  async declareExchange(): Promise<void> {}

  async deleteQueue(name: string): Promise<void> {
    this.#mustBeStarted();
    this.#hub.delete(name);
  }

  async purgeQueue(name: string): Promise<number> {
    this.#mustBeStarted();
    return this.#hub.purge(name);
  }

  async countReady(name: string): Promise<number> {
    this.#mustBeStarted();
    return this.#hub.count(name);
  }

  async publish(message: Message, destination: Destination): Promise<void> {
    this.#mustBeStarted();
    if (!this.#hub.publish(message, destination) && destination.mandatory === true) throw noQueueTakes(destination);
  }

  async consume(params: ConsumeParams): Promise<Subscription> {
    this.#mustBeStarted();
    const consume = settledAtOnce(params, (delivery) => subscription.ack(delivery));
    const subscription: MemorySubscription = new MemorySubscription(this.#hub, consume, this.#epoch);
    this.#subscriptions.add(subscription);
    this.#stayAlive();
    return subscription;
  }

  async diagnose(): Promise<MemoryReport> {
    return { kind: 'memory', displayUrl: this.displayUrl };
  }

  async listen(params: ListenParams): Promise<Listener> {
    this.#mustBeStarted();
    if (params.exchangeType === 'headers') refuseHeaders(params.exchange);
    // A copy: the same params may be listened with twice.
    const listener = { ...params };
    this.#listeners.add(listener);
    this.#hub.addListener(listener);
    this.#stayAlive();
    return {
      stop: async () => {
        this.#listeners.delete(listener);
        this.#hub.removeListener(listener);
      },
    };
  }

  async openOperatorChannel(): Promise<OperatorChannel> {
    this.#mustBeStarted();
    const hub = this.#hub;
    const tables: BrokerTables = {
      bindings: async () => hub.bindings,
      otherQueues: async () => hub.queues,
      unbindExchange: async (exchange) => hub.unbindExchange(exchange),
      // With the queue.
      unbindQueue: async () => {},
      bringForward: async (queue) => hub.bringForward(queue),
    };
    return new PlainOperatorChannel({ broker: this, tables, clock: hub.clock });
  }

  #stayAlive(): void {
    this.#alive ??= this.#hub.clock.setTimer(() => {}, foreverMs);
  }

  #mustBeStarted(): void {
    if (this.#state.value !== 'connected') throw new UmbelError('BROKER_UNAVAILABLE', 'the memory broker is not started');
  }
}

function refuseHeaders(exchange: string): never {
  throw new UmbelError('NOT_SUPPORTED', `the memory broker has no headers exchanges (exchange ${exchange})`);
}
