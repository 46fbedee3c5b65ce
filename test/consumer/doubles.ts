/**
 * Stand-ins for what the settling code talks to. Each call is written down in one common list, in the order in which it was made,
 * and ends when the test says so: with `hold` calls stay open until `pass` or `refuse`.
 */
import type { ResultBackend } from '../../src/backend/backend.ts';
import type { JoinOutcome } from '../../src/backend/group-join.ts';
import type { ChordOutcome, ChordPart, GroupStore } from '../../src/backend/group-store.ts';
import type { Broker, BrokerFeatures, BrokerState, Delivery, Destination, SettleOutcome, Subscription } from '../../src/broker/broker.ts';
import { DeadLetters } from '../../src/broker/dead-letters.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Poison, type PoisonParams } from '../../src/consumer/poison.ts';
import type { Settler } from '../../src/consumer/settle.ts';
import { UnknownTasks, type UnknownTasksParams } from '../../src/consumer/unknown-tasks.ts';
import { UmbelError } from '../../src/errors.ts';
import type { TaskOffer } from '../../src/ipc/exchange.ts';
import type { Logger } from '../../src/log/logger.ts';
import type { ChildHandle } from '../../src/pool/child-handle.ts';
import type { ChildExit, Job } from '../../src/pool/job.ts';
import type { ChildReport, Pool } from '../../src/pool/pool.ts';
import { noTimeLimit, type TimeLimit } from '../../src/pool/time-limits.ts';
import { QueueTable, type QueueTableParams } from '../../src/producer/queue-table.ts';
import type { Message } from '../../src/protocol/message.ts';
import type { ResultDocument, ResultRecord } from '../../src/protocol/result.ts';
import type { ResultTuple } from '../../src/protocol/result-tuple.ts';

/** One call that was made. */
export interface Call {
  /** publish, store, ack, requeue, drop, defer, … */
  readonly name: string;
  readonly detail: string;
}

export class Recorder {
  readonly calls: Call[] = [];
  readonly #held = new Map<string, { resolve(): void; reject(error: Error): void }[]>();
  readonly #holding = new Set<string>();
  readonly #failing = new Map<string, Error>();

  /** Names of the calls so far. */
  get names(): string[] {
    return this.calls.map(({ name }) => name);
  }

  /** From now on calls of this name stay open. */
  hold(...names: readonly string[]): void {
    for (const name of names) this.#holding.add(name);
  }

  /** From now on calls of this name fail; null: succeed again. */
  fail(name: string, error: Error | null): void {
    if (error === null) this.#failing.delete(name);
    else this.#failing.set(name, error);
  }

  /** Let the oldest open call of this name succeed. */
  async pass(name: string): Promise<void> {
    this.#take(name).resolve();
    await settled();
  }

  async refuse(name: string, error: Error): Promise<void> {
    this.#take(name).reject(error);
    await settled();
  }

  call(name: string, detail: string): Promise<void> {
    this.calls.push({ name, detail });
    const failure = this.#failing.get(name);
    if (failure !== undefined) return Promise.reject(failure);
    if (!this.#holding.has(name)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const held = this.#held.get(name) ?? [];
      held.push({ resolve, reject });
      this.#held.set(name, held);
    });
  }

  #take(name: string): { resolve(): void; reject(error: Error): void } {
    const call = this.#held.get(name)?.shift();
    if (call === undefined) throw new Error(`no call of ${name} is open; there were ${this.names.join(', ')}`);
    return call;
  }
}

/** Everything that follows from what has happened, and needs no more than promises, has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class RecordingSubscription implements Subscription {
  readonly #recorder: Recorder;
  readonly queues: readonly string[];
  heldUntilMs = Number.POSITIVE_INFINITY;
  /** Settlements answer this. */
  outcome: SettleOutcome = 'done';
  /** Whoever decides it says that the message stays. */
  keeping = false;
  readonly prefetches: number[] = [];

  constructor(recorder: Recorder, queues: readonly string[] = ['celery']) {
    this.#recorder = recorder;
    this.queues = queues;
  }

  ack(delivery: Delivery): Promise<SettleOutcome> {
    return this.#settle('ack', delivery);
  }

  reject(delivery: Delivery, options: { readonly requeue: boolean }): Promise<SettleOutcome> {
    return this.#settle(options.requeue ? 'requeue' : 'drop', delivery);
  }

  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    return this.#settle(`defer until ${dueAtMs}`, delivery);
  }

  async #settle(name: string, delivery: Delivery): Promise<SettleOutcome> {
    const { keeping } = this;
    await this.#recorder.call(keeping ? 'keep' : name, String(delivery.tag));
    return keeping ? 'kept' : this.outcome;
  }

  hasRoom = true;
  activity = 0;

  async scheduled(): Promise<never[]> {
    return [];
  }

  rebuild(): Promise<void> {
    return this.#recorder.call('rebuild', '');
  }

  setPrefetch(count: number): void {
    this.prefetches.push(count);
  }

  async addQueue(queue: string): Promise<void> {
    await this.#recorder.call('addQueue', queue);
  }

  async cancelQueue(queue: string): Promise<void> {
    await this.#recorder.call('cancelQueue', queue);
  }

  pause(): void {
    this.#recorder.calls.push({ name: 'pause', detail: '' });
  }

  resume(): void {
    this.#recorder.calls.push({ name: 'resume', detail: '' });
  }

  cancel(): Promise<void> {
    return this.#recorder.call('cancel', '');
  }

  release(): Promise<void> {
    return this.#recorder.call('release', '');
  }
}

/** Publishes into the record; its state is the test's to set. Consuming is what the memory broker is for. */
export class RecordingBroker implements Broker {
  readonly displayUrl = 'recording://';
  readonly where = 'recording://here';
  readonly features: BrokerFeatures = {
    priorityOrder: 'higher-first',
    delayedDelivery: true,
    countsDeliveries: true,
    shared: false,
    visibilityTimeoutMs: null,
  };
  readonly published: { readonly message: Message; readonly destination: Destination }[] = [];
  readonly #recorder: Recorder;
  readonly #listeners = new Set<(state: BrokerState, cause: Error | null) => void>();
  #state: BrokerState = 'connected';

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  get state(): BrokerState {
    return this.#state;
  }

  enter(state: BrokerState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state, null);
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  onStateChange(listener: (state: BrokerState, cause: Error | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  reconnect(reason: string): void {
    this.#recorder.calls.push({ name: 'reconnect', detail: reason });
  }

  declareQueue({ name }: { readonly name: string }): Promise<void> {
    return this.#recorder.call('declare', name);
  }

  async publish(message: Message, destination: Destination): Promise<void> {
    await this.#recorder.call('publish', destination.routingKey);
    this.published.push({ message, destination });
  }

  async declareExchange(): Promise<void> {}

  deleteQueue(): Promise<void> {
    return notHere();
  }

  purgeQueue(): Promise<number> {
    return notHere();
  }

  /** Of every queue. */
  ready = 0;

  async countReady(name: string): Promise<number> {
    await this.#recorder.call('count', name);
    return this.ready;
  }

  consume(): Promise<never> {
    return notHere();
  }

  openOperatorChannel(): Promise<never> {
    return notHere();
  }

  listen(): Promise<never> {
    return notHere();
  }

  diagnose(): Promise<never> {
    return notHere();
  }
}

/** It has the exchange of the crash notices no more, as RabbitMQ after a restart. */
export class RefusingBroker extends MemoryBroker {
  override publish(): Promise<void> {
    return Promise.reject(new UmbelError('BROKER_REFUSED', "no exchange 'umbel.crashes'"));
  }
}

/** Says of a chord what the test has said of its group; otherwise that others are missing. */
export class RecordingGroups implements GroupStore {
  sizeTimeoutMs = 300_000;
  readonly parts: { readonly record: ResultRecord; readonly part: ChordPart }[] = [];
  readonly outcomes = new Map<string, ChordOutcome>();
  readonly #recorder: Recorder;
  readonly #subscription: RecordingSubscription;

  constructor(recorder: Recorder, subscription: RecordingSubscription) {
    this.#recorder = recorder;
    this.#subscription = subscription;
  }

  async storeChordPart(record: ResultRecord, part: ChordPart, settle?: () => Promise<unknown>): Promise<ChordOutcome> {
    this.parts.push({ record, part });
    const outcome = this.outcomes.get(part.groupId) ?? { kind: 'counted' };
    const counting = this.#recorder.call('count', record.taskId);
    this.#subscription.keeping = outcome.kind === 'complete' || outcome.kind === 'failed';
    const settled = settle?.();
    this.#subscription.keeping = false;
    await Promise.all([counting, settled]);
    return outcome;
  }

  endChord(groupId: string): Promise<void> {
    return this.#recorder.call('end', groupId);
  }

  async giveUpChord(groupId: string, taskId: string, counted: number): Promise<ChordOutcome> {
    await this.#recorder.call('give up', `${groupId} ${taskId} ${counted}`);
    return this.outcomes.get(`${groupId} given up`) ?? { kind: 'counted' };
  }

  setChordSize(groupId: string, size: number): Promise<void> {
    return this.#recorder.call('size', `${groupId} ${size}`);
  }

  saveGroup(groupId: string, group: ResultTuple): Promise<void> {
    return this.#recorder.call('group', `${groupId} ${JSON.stringify(group)}`);
  }

  claimRun(): Promise<'first' | 'same' | 'other'> {
    return notHere();
  }

  addToChord(): Promise<void> {
    return notHere();
  }

  restoreGroup(): Promise<ResultTuple | null> {
    return notHere();
  }

  deleteGroup(): Promise<void> {
    return notHere();
  }

  join(): Promise<JoinOutcome> {
    return notHere();
  }
}

export class RecordingBackend implements ResultBackend {
  readonly displayUrl = 'recording://';
  groups: RecordingGroups | null = null;
  readonly records: ResultRecord[] = [];
  readonly #recorder: Recorder;
  readonly #joint: boolean;

  constructor(recorder: Recorder, joint = false) {
    this.#recorder = recorder;
    this.#joint = joint;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  commitsWith(_broker: Broker): boolean {
    return this.#joint;
  }

  store(record: ResultRecord): Promise<void> {
    this.records.push(record);
    return this.#recorder.call('store', record.status);
  }

  storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown> {
    return Promise.all([...records.map((record) => this.store(record)), settle()]);
  }

  /** Nothing is read back. */
  async get(): Promise<ResultDocument | null> {
    return null;
  }

  wait(): Promise<ResultDocument> {
    return notHere();
  }

  forget(): Promise<void> {
    return notHere();
  }

  cleanup(): Promise<number> {
    return notHere();
  }
}

/** Keeps the jobs it gets; the test ends them through their listeners. */
export class FakePool implements Pool {
  readonly name = 'prefork';
  readonly features = { resize: true, terminate: true, memoryLimits: true };
  size: number;
  tasks: ReadonlyMap<string, TaskOffer>;
  reserve = 0;
  /** With which the reserve was asked for. */
  roundTripMs = 0;
  usefulReserve(brokerRoundTripMs: number): number {
    this.roundTripMs = brokerRoundTripMs;
    return this.reserve;
  }

  readonly pids: readonly number[] = [];
  readonly written: ReadonlyMap<number, number> = new Map();
  readonly jobs: Job[] = [];
  readonly aborted: Job[] = [];
  /** Calls of `held`. */
  timesHeld = 0;
  readonly #waiting: { readonly count: number; resolve(): void }[] = [];

  constructor(size: number, offers: readonly TaskOffer[]) {
    this.size = size;
    this.tasks = new Map(offers.map((offer) => [offer.name, offer]));
  }

  get jobCount(): number {
    return this.jobs.length;
  }

  /** Resolves when the pool holds so many jobs. */
  async holding(count: number): Promise<readonly Job[]> {
    if (this.jobs.length < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.jobs;
  }

  async start(): Promise<void> {}

  submit(job: Job): void {
    this.jobs.push(job);
    for (const waiting of this.#waiting) if (this.jobs.length >= waiting.count) waiting.resolve();
  }

  /** The job is out of the pool, and has ended. */
  succeed(job: Job): void {
    if (!job.started) this.startJob(job);
    this.#forget(job);
    job.child = null;
    job.listener.onSucceeded(job, 0.001, null, 'null');
  }

  /** Its child has died. */
  lose(job: Job, exit: ChildExit): void {
    this.#forget(job);
    job.listener.onWorkerLost(job, exit);
  }

  startJob(job: Job): void {
    job.startedAtMs = performance.now();
    job.child = { jobs: new Map([[job.id, job]]) } as unknown as ChildHandle;
    job.listener.onStarted(job, 1, Date.now() / 1000);
  }

  held(): void {
    this.timesHeld += 1;
  }

  /** It does not hear that jobs are withdrawn. */
  deaf = false;

  withdraw(): void {
    if (this.deaf) return;
    for (const job of this.jobs.filter(({ withdrawn, started }) => withdrawn && !started)) {
      this.#forget(job);
      job.listener.onReturned(job);
    }
  }

  abort(job: Job): void {
    this.aborted.push(job);
  }

  async kill(): Promise<boolean> {
    return false;
  }

  readonly timeLimits = new Map<string, TimeLimit>();

  timeLimitOf(taskName: string): TimeLimit {
    return this.timeLimits.get(taskName) ?? noTimeLimit;
  }

  changeTimeLimit(taskName: string, limit: TimeLimit): void {
    this.timeLimits.set(taskName, limit);
  }

  readonly cancelled: Job[] = [];

  cancel(job: Job): void {
    this.cancelled.push(job);
  }

  readonly terminated: { readonly job: Job; readonly signal: string }[] = [];

  terminate(job: Job, { name }: { readonly name: string }): void {
    this.terminated.push({ job, signal: name });
  }

  abortAll(): void {
    this.aborted.push(...this.jobs);
  }

  get sizeLimit(): number {
    return this.size;
  }

  restart(): void {}

  grow(count: number): void {
    this.size += count;
  }

  shrink(count: number): void {
    this.size -= count;
  }

  quiet(): void {
    for (const job of this.jobs.filter(({ started }) => !started)) {
      this.#forget(job);
      job.listener.onReturned(job);
    }
  }

  async drain(): Promise<boolean> {
    return this.jobs.length === 0;
  }

  async stop(): Promise<void> {}

  async report(): Promise<ChildReport[]> {
    return [];
  }

  #forget(job: Job): void {
    this.jobs.splice(this.jobs.indexOf(job), 1);
  }
}

function notHere(): Promise<never> {
  return Promise.reject(new Error('this double does not do that'));
}

export function taskOffer(name: string, more: Partial<TaskOffer> = {}): TaskOffer {
  return {
    name,
    acksLate: false,
    acksOnFailureOrTimeout: true,
    rejectOnWorkerLost: false,
    ignoreResult: false,
    storeErrorsEvenIfIgnored: false,
    trackStarted: false,
    rateLimit: null,
    ...more,
  };
}

/** A message as it is delivered. */
export function deliveryOf(message: Partial<Message>, more: Partial<Delivery> = {}): Delivery {
  return {
    properties: { contentType: 'application/json', contentEncoding: 'utf-8' },
    headers: {},
    body: Buffer.from('[[], {}, {}]'),
    ...message,
    tag: 1,
    queue: 'celery',
    exchange: '',
    routingKey: 'celery',
    redelivered: false,
    deliveryCount: 0,
    epoch: 1,
    ...more,
  };
}

/** Every queue there is by its name, made when it is named. */
export function queueTable(params: Partial<QueueTableParams> = {}): QueueTable {
  return new QueueTable({ queues: [], defaultQueue: { name: 'celery' }, createMissing: true, ...params });
}

/** Messages are counted and put aside in the queue `umbel.dead`; those of unknown tasks are rejected. */
export function setAside(
  broker: Broker,
  log: Logger,
  more: Partial<PoisonParams & Omit<UnknownTasksParams, 'storeNotRegistered'>> = {},
): { readonly poison: Poison; unknownTasks(settler: () => Settler): UnknownTasks } {
  const deadLetters = new DeadLetters({ broker, queue: 'umbel.dead' });
  const base = { broker, log, deadLetters, nodeName: 'worker@test', isBroadcast: () => false, maxCrashes: 3 };
  const waiting = { policy: 'reject', delayMs: 5000, timeoutMs: 60_000 } as const;
  return {
    poison: new Poison({ notices: null, ...base, ...more }),
    unknownTasks: (settler) =>
      new UnknownTasks({ ...base, ...waiting, ...more, storeNotRegistered: (task) => settler().storeNotRegistered(task) }),
  };
}
