/**
 * The embedded broker: queues in one SQLite file, shared by any number of processes on this machine.
 *
 * Owns: its state, its subscriptions and listeners, and who is told of a change in the file. The rows are the business of
 * message-table.ts and routing-table.ts, being alive that of lease.ts.
 *
 *   stopped ──start──► connecting ──► connected ⇄ lost        (lost: the file fails as a whole; the store repairs it)
 *      ▲──────────────────stop────────────┴─────────┘
 *
 * In `lost` deliveries stay valid and settlements wait; `onLost` alone takes deliveries away.
 */
import { randomUUID } from 'node:crypto';

import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { type SqliteStore, type SqliteStoreState, sqliteTopic } from '../../driver/sqlite-store.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Message } from '../../protocol/message.ts';
import { envelopeOf } from '../../protocol/virtual-envelope.ts';
import { type Clock, systemClock, type Timer } from '../../std/clock.ts';
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
import type { DiagnosisParams, EmbeddedReport } from '../broker-report.ts';
import type { OperatorChannel } from '../operator-channel.ts';
import { PlainOperatorChannel } from '../plain-operator-channel.ts';
import { bindingsOf } from '../queue-bindings.ts';
import { settledAtOnce } from '../settled-at-once.ts';
import { StateSignal } from '../state-signal.ts';
import { diagnoseSqlite } from './diagnosis.ts';
import { DueTimer } from './due-timer.ts';
import { Lease } from './lease.ts';
import { SqliteListener } from './listener.ts';
import { addQueue, countReady, emptyQueue, purgeUnheld, sweepDeadRows } from './message-table.ts';
import { PublishOperation } from './publish.ts';
import { bindQueue, sweepBroadcasts, unbindQueue } from './routing-table.ts';
import { installBrokerTables } from './schema.ts';
import { SqliteTables } from './sqlite-tables.ts';
import { SqliteSubscription } from './subscription.ts';
import { consumeTransient } from './transient-queues.ts';
import { brokerUnavailable } from './unavailable.ts';

export interface SqliteBrokerParams {
  readonly store: SqliteStore;
  /** How long a consumer that shows no sign of life keeps what it holds. */
  readonly leaseMs: number;
  readonly log: Logger;
  readonly clock?: Clock;
}

const housekeepingMs = 30_000;

export class SqliteBroker implements Broker {
  readonly features: BrokerFeatures = {
    priorityOrder: 'higher-first',
    delayedDelivery: true,
    countsDeliveries: true,
    shared: true,
    visibilityTimeoutMs: null,
  };
  readonly displayUrl: string;
  readonly where: string;
  /** A result backend on the same store commits together with this broker. */
  readonly store: SqliteStore;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #lease: Lease;
  readonly #due: DueTimer;
  readonly #subscriptions = new Set<SqliteSubscription>();
  readonly #listeners = new Set<SqliteListener>();
  readonly #state = new StateSignal();
  /** Queues declared here that go with their last consumer. */
  readonly #transient = new Set<string>();
  /** An own schema function, since the store counts its users by it. */
  readonly #schema = (database: SqliteDatabase): void => installBrokerTables(database);
  /** Start and stop take turns. */
  #turn: Promise<void> = Promise.resolve();
  #unsubscribe: (() => void)[] = [];
  #housekeeping: Timer | undefined;

  constructor(params: SqliteBrokerParams) {
    this.store = params.store;
    this.displayUrl = `sqlite:///${params.store.path}`;
    this.where = this.displayUrl;
    this.#log = params.log;
    this.#clock = params.clock ?? systemClock;
    this.#due = new DueTimer({ store: params.store, clock: this.#clock });
    this.#lease = new Lease({
      store: params.store,
      leaseMs: params.leaseMs,
      clock: this.#clock,
      log: params.log,
      onLost: () => {
        for (const subscription of [...this.#subscriptions]) subscription.lost();
      },
      onTake: (database, id) => {
        for (const listener of this.#listeners) listener.register(database, id);
        for (const { queues } of this.#subscriptions) this.#noteTransient(database, queues, id);
      },
      onTaken: () => {
        for (const subscription of this.#subscriptions) subscription.resumeClaims();
      },
      onHeld: () => {
        for (const subscription of this.#subscriptions) subscription.held();
      },
    });
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
        await this.store.acquire(this.#schema);
      } catch (error) {
        const unavailable = brokerUnavailable(error);
        this.#state.set('stopped', unavailable);
        throw unavailable;
      }
      this.#unsubscribe = [
        this.store.onChange((topics) => this.#onChange(topics)),
        this.store.onStateChange((state, cause) => this.#onStoreState(state, cause)),
      ];
      this.#state.set(this.store.state === 'lost' ? 'lost' : 'connected', null);
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state.value === 'stopped') return;
      this.#due.stop();
      this.#clock.clearTimer(this.#housekeeping);
      this.#housekeeping = undefined;
      await this.#lease.settled();
      // All enqueued in one turn, so in one transaction: what is held goes back before the lease is given up.
      const endings: Promise<unknown>[] = [...this.#subscriptions].map((subscription) => subscription.release());
      endings.push(...[...this.#listeners].map((listener) => listener.stop()), this.#lease.drop());
      const ended = Promise.allSettled(endings);
      // The store commits what is enqueued or, as its last user leaves, gives it up.
      const [released] = await Promise.allSettled([this.store.release(this.#schema)]);
      // With another user left on a failing file the endings would wait for the disk; the leases run out by themselves.
      const results = this.store.state === 'lost' ? [] : await ended;
      for (const result of [released, ...results]) {
        if (result.status === 'rejected')
          this.#log.warning('broker.stop', `The embedded broker did not stop cleanly: ${messageOf(result.reason)}`);
      }
      this.#stopped(null);
    });
  }

  reconnect(reason: string): void {
    if (this.#state.value === 'connected') this.store.reopen(reason);
  }

  async declareQueue(queue: QueueDeclaration): Promise<void> {
    const bindings = bindingsOf(queue);
    const headers = bindings.find(({ type }) => type === 'headers');
    if (headers !== undefined) {
      throw new UmbelError(
        'NOT_SUPPORTED',
        `the embedded broker has no headers exchanges (queue ${queue.name}, exchange ${headers.exchange})`,
      );
    }
    await this.#write((database) => {
      addQueue(database, queue.name);
      if (queue.noDeclare) return;
      if (queue.autoDelete) this.#transient.add(queue.name);
      for (const { exchange, type, routingKey } of bindings) bindQueue(database, exchange, type, routingKey, queue.name);
    });
  }

  #noteTransient(database: SqliteDatabase, queues: readonly string[], consumer: number | null): void {
    if (consumer === null) return;
    for (const queue of queues) if (this.#transient.has(queue)) consumeTransient(database, queue, consumer);
  }

  /** The bindings say what an exchange is. */
  async declareExchange(): Promise<void> {}

  deleteQueue(name: string): Promise<void> {
    return this.#write((database) => {
      emptyQueue(database, name);
      unbindQueue(database, name);
    });
  }

  purgeQueue(name: string): Promise<number> {
    return this.#write((database) => purgeUnheld(database, name));
  }

  async countReady(name: string): Promise<number> {
    try {
      return await this.store.read((database) => countReady(database, name));
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  publish(message: Message, destination: Destination): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#state.started) throw this.#notStarted();
      const { exchange, routingKey, redelivered = false } = destination;
      const payload = envelopeOf(message, { exchange, routingKey, deliveryTag: randomUUID(), redelivered });
      this.store.enqueue(new PublishOperation(payload, message.properties.priority ?? 0, destination, this.#clock.now(), resolve, reject));
    });
  }

  async consume(params: ConsumeParams): Promise<Subscription> {
    await this.#write((database) => {
      for (const queue of params.queues) addQueue(database, queue);
    });
    await this.#holdLease();
    if (params.queues.some((queue) => this.#transient.has(queue)))
      await this.#write((database) => this.#noteTransient(database, params.queues, this.#lease.id));
    const subscription: SqliteSubscription = new SqliteSubscription({
      store: this.store,
      lease: this.#lease,
      log: this.#log,
      consume: settledAtOnce(params, (delivery) => subscription.ack(delivery)),
      ended: (ended) => this.#subscriptions.delete(ended),
    });
    this.#subscriptions.add(subscription);
    this.#due.start();
    subscription.claim();
    return subscription;
  }

  async diagnose(params: DiagnosisParams): Promise<EmbeddedReport> {
    return diagnoseSqlite(this.store.path, this.displayUrl, params);
  }

  async listen(params: ListenParams): Promise<Listener> {
    if (params.exchangeType === 'headers') {
      throw new UmbelError('NOT_SUPPORTED', `the embedded broker has no headers exchanges (exchange ${params.exchange})`);
    }
    await this.#holdLease();
    const listener = new SqliteListener(this.store, params, this.#log, (stopped) => this.#listeners.delete(stopped));
    this.#listeners.add(listener);
    try {
      await this.#write((database) => {
        // Without a lease at this moment it registers with the next one.
        if (this.#lease.id !== null) listener.register(database, this.#lease.id);
      });
    } catch (error) {
      this.#listeners.delete(listener);
      throw error;
    }
    return listener;
  }

  async openOperatorChannel(): Promise<OperatorChannel> {
    if (!this.#state.started) throw this.#notStarted();
    return new PlainOperatorChannel({ broker: this, tables: new SqliteTables(this.store), clock: this.#clock });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #notStarted(): UmbelError {
    return new UmbelError('BROKER_UNAVAILABLE', `the embedded broker is not started (${this.store.path})`);
  }

  async #write<T>(work: (database: SqliteDatabase) => T): Promise<T> {
    if (!this.#state.started) throw this.#notStarted();
    try {
      return await this.store.write(work);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  async #holdLease(): Promise<void> {
    try {
      await this.#lease.hold();
    } catch (error) {
      throw brokerUnavailable(error);
    }
    if (this.#housekeeping === undefined) this.#keepHouse();
  }

  #onChange(topics: number): void {
    if ((topics & sqliteTopic.message) !== 0) {
      this.#due.refresh();
      for (const subscription of this.#subscriptions) subscription.wake();
    }
    if ((topics & sqliteTopic.broadcast) !== 0) for (const listener of this.#listeners) listener.read();
  }

  #onStoreState(state: SqliteStoreState, cause: Error | null): void {
    if (this.#state.value === 'stopped') return;
    switch (state) {
      case 'open':
        this.#state.set('connected', null);
        this.#lease.renew();
        this.#due.refresh();
        for (const subscription of this.#subscriptions) subscription.resumeClaims();
        return;
      case 'lost':
        this.#state.set('lost', cause === null ? null : brokerUnavailable(cause));
        return;
      case 'closed':
        // Somebody took the file from under us (abandon); an orderly stop has stopped listening by now.
        this.#stopped(cause);
        return;
    }
  }

  #stopped(cause: Error | null): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unsubscribe = [];
    this.#due.stop();
    this.#lease.stop();
    this.#clock.clearTimer(this.#housekeeping);
    this.#housekeeping = undefined;
    this.#subscriptions.clear();
    this.#listeners.clear();
    this.#state.set('stopped', cause);
  }

  /** Delete dead rows, a step at a time, until there are none; then again after a while. */
  #keepHouse(): void {
    const again = (delayMs: number) => {
      if (this.#state.value !== 'stopped') this.#housekeeping = this.#clock.setTimer(sweep, delayMs, { ref: false });
    };
    const sweep = () => {
      this.store
        .write((database) => sweepDeadRows(database) + sweepBroadcasts(database, this.#clock.now()))
        .then(
          (deleted) => again(deleted > 0 ? 50 : housekeepingMs),
          () => again(housekeepingMs),
        );
    };
    this.#housekeeping = this.#clock.setTimer(sweep, housekeepingMs, { ref: false });
  }
}
