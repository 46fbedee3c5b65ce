/** A consumer on the memory broker with a fake clock, and a pool the test plays. */
import type { Test } from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { ConsumeParams, Delivery, Subscription } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { Consumer } from '../../src/consumer/consumer.ts';
import { RevokedTasks } from '../../src/consumer/revoked-tasks.ts';
import { Revokes } from '../../src/consumer/revokes.ts';
import { Settler } from '../../src/consumer/settle.ts';
import type { TaskOffer } from '../../src/ipc/exchange.ts';
import { Producer } from '../../src/producer/producer.ts';
import type { Message } from '../../src/protocol/message.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { StateDb } from '../../src/statedb/state-db.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { FakePool, queueTable, setAside, settled, taskOffer } from './doubles.ts';

export interface BenchOptions {
  readonly poolSize?: number;
  readonly childConcurrency?: number;
  readonly prefetchMultiplier?: number;
  readonly adaptivePrefetch?: boolean;
  readonly exactPrefetch?: boolean;
  readonly rateLimitReserve?: number;
  readonly queues?: readonly string[];
  readonly offers?: readonly TaskOffer[];
  readonly setAside?: Parameters<typeof setAside>[2];
}

/** The memory broker, with its subscription's calls and parameters in view, and an alarm that is the test's to raise. */
export class WatchedBroker extends MemoryBroker {
  readonly settlements: string[] = [];
  readonly delivered: Delivery[] = [];
  consumed: ConsumeParams | null = null;
  subscription: Subscription | null = null;
  blocked: string | null = null;
  readonly #blockedListeners = new Set<() => void>();

  onBlocked(listener: () => void): () => void {
    this.#blockedListeners.add(listener);
    return () => this.#blockedListeners.delete(listener);
  }

  /** null: it takes messages again. */
  block(reason: string | null): void {
    this.blocked = reason;
    for (const listener of this.#blockedListeners) listener();
  }

  override async consume(params: ConsumeParams): Promise<Subscription> {
    const onDelivery = (delivery: Delivery): void => {
      this.delivered.push(delivery);
      params.onDelivery(delivery);
    };
    const subscription = await super.consume({ ...params, onDelivery });
    this.consumed = params;
    this.subscription = subscription;
    for (const name of ['ack', 'reject', 'defer'] as const) {
      const original = subscription[name].bind(subscription) as (delivery: Delivery, more?: unknown) => Promise<'done' | 'stale'>;
      Object.assign(subscription, {
        [name]: (delivery: Delivery, more?: { requeue?: boolean }) => {
          this.settlements.push(name === 'reject' ? (more?.requeue === true ? 'requeue' : 'drop') : name);
          return original(delivery, more);
        },
      });
    }
    return subscription;
  }
}

export class Bench {
  readonly clock = new FakeClock(Date.now());
  readonly broker: WatchedBroker;
  readonly backend = new MemoryBackend({ resultExpiresMs: null });
  readonly pool: FakePool;
  readonly log = new RecordingLog();
  readonly settler: Settler;
  readonly consumer: Consumer;
  readonly state = new StateDb({ path: null, log: this.log, clock: this.clock, lock: () => ({ heldBy: 'nobody' }) });
  readonly revoked = new RevokedTasks(this.state);
  readonly revokes: Revokes;
  readonly #queue: string;
  #ids = 0;

  private constructor(options: BenchOptions) {
    const { poolSize = 2, childConcurrency = 1, prefetchMultiplier = 4, adaptivePrefetch = false, queues = ['celery'] } = options;
    this.#queue = queues[0]!;
    this.broker = new WatchedBroker({ hub: new MemoryHub(this.clock) });
    this.pool = new FakePool(poolSize, options.offers ?? [taskOffer('tasks.add', { acksLate: true })]);
    const producer = new Producer({ broker: this.broker, queues: queueTable() });
    const aside = setAside(this.broker, this.log, { now: () => this.clock.now(), ...options.setAside });
    this.settler = new Settler({
      broker: this.broker,
      backend: this.backend,
      producer,
      poison: aside.poison,
      nodeName: 'worker@test',
      resultExtended: false,
      log: this.log,
      revoked: this.revoked,
      onSettled: (request) => this.consumer.onSettled(request),
    });
    this.consumer = new Consumer({
      broker: this.broker,
      pool: this.pool,
      settler: this.settler,
      queues: queues.map((name) => ({ name })),
      childConcurrency,
      prefetchMultiplier,
      adaptivePrefetch,
      exactPrefetch: options.exactPrefetch ?? false,
      acceptContent: ['json'],
      cancelOnConnectionLoss: false,
      unknownTasks: aside.unknownTasks(() => this.settler),
      isRevoked: (task) => this.revoked.has(task),
      suspicion: aside.poison,
      log: this.log,
      clock: this.clock,
      rateLimitReserve: options.rateLimitReserve ?? 1000,
    });
    this.revokes = new Revokes({ state: this.state, consumer: this.consumer, pool: this.pool, log: this.log, clock: this.clock });
  }

  static async started(t: Test, options: BenchOptions = {}): Promise<Bench> {
    const bench = await Bench.create(t, options);
    await bench.consumer.start();
    return bench;
  }

  /** Its consumer is not started. */
  static async create(t: Test, options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(options);
    await bench.broker.start();
    t.teardown(async () => {
      await bench.consumer.stop();
      await bench.broker.stop();
    });
    return bench;
  }

  message(more: Partial<OutgoingTask> = {}): Message {
    this.#ids += 1;
    return encodeTask({ task: 'tasks.add', id: `task-${this.#ids}`, args: [1, 2], kwargs: {}, origin: 'gen1@test', ...more });
  }

  async send(...messages: readonly Message[]): Promise<void> {
    for (const message of messages) await this.broker.publish(message, { exchange: '', routingKey: this.#queue });
    await settled();
    await settled();
  }

  /** Turn by turn, each change of the prefetch has brought what it brings. */
  async calm(): Promise<void> {
    for (let turn = 0; turn < 100; turn += 1) await settled();
  }

  async sendMany(count: number): Promise<void> {
    await this.send(...Array.from({ length: count }, () => this.message()));
  }

  /** Messages neither settled nor held. */
  ready(): Promise<number> {
    return this.broker.countReady(this.#queue);
  }
}
