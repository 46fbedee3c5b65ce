/**
 * One consumption from queues of RabbitMQ, on a channel of its own.
 *
 * Owns: its channel (opened again when it ends, by itself or with the connection), what it holds, the prefetch count, and which queues are
 * consumed. Everything of a channel that has ended is 'stale': its tags mean nothing any more, and its messages come again.
 *
 *   closed ──open──► opening ──► open ──channel or connection lost──► closed          ended: cancelled and nothing held, or released
 *
 * What arrives and is not wanted right now (a pause, more consumers than the prefetch allows for) waits here undelivered. What the server is told of
 * the prefetch is prefetch-count.ts; until when what is held is ours is channel-lease.ts; when a channel is opened, and for how long that may take, is
 * channel-opening.ts.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import type { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { RawMessage } from '../../driver/amqp-raw.ts';
import { messageOf, UmbelError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { readPlainFrames } from '../../protocol/plain-frames.ts';
import { ChurnSet } from '../../std/churn-set.ts';
import type { Clock } from '../../std/clock.ts';
import { PendingWork } from '../../std/pending-work.ts';
import { taskLabel } from '../../std/task-label.ts';
import type { ConsumeParams, Delivery, RejectOptions, ScheduledMessage, SettleOutcome, Subscription } from '../broker.ts';
import { PlainDelivery } from '../plain-delivery.ts';
import { AckWindow } from './ack-window.ts';
import { AmqpDelivery } from './amqp-delivery.ts';
import { ChannelLease } from './channel-lease.ts';
import { type Attempt, ChannelOpening } from './channel-opening.ts';
import { type Consumer, ConsumerSet } from './consumer-set.ts';
import { Deferrals } from './deferrals.ts';
import type { DelayQueues } from './delay-queues.ts';
import { refusalToConsume, unlessRefused } from './may-consume.ts';
import { PrefetchCount } from './prefetch-count.ts';
import type { Topology } from './topology.ts';
import { brokerUnavailable } from './unavailable.ts';

export interface AmqpSubscriptionParams {
  readonly connection: AmqpConnection;
  readonly topology: Topology;
  readonly delayQueues: DelayQueues;
  readonly consume: ConsumeParams;
  /** Longer waits are parked in the broker. */
  readonly holdDeferredMs: number;
  /** Must the prefetch be counted per consumer, for these queues on this server? */
  countsPerConsumer(queues: Iterable<string>): boolean;
  nextEpoch(): number;
  readonly log: Logger;
  readonly clock: Clock;
  /** The queue was declared once more, and may have been made anew by that. Never rejects. */
  onDeclaredAgain(queue: string): Promise<void>;
  /** It will never deliver again and holds nothing. */
  ended(subscription: AmqpSubscription): void;
}

const noQueues: ReadonlySet<string> = new Set();
const stale: Promise<SettleOutcome> = Promise.resolve('stale');
const done: Promise<SettleOutcome> = Promise.resolve('done');

export class AmqpSubscription implements Subscription {
  readonly #params: AmqpSubscriptionParams;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #queues: Set<string>;
  readonly #consumers: ConsumerSet;
  /** Delivered and not settled. */
  readonly #held = new ChurnSet<Delivery>();
  /** Arrived and not yet delivered, in order. */
  #buffer: Delivery[] = [];
  readonly #deferrals: Deferrals;
  /** On their way into a delay queue. */
  readonly #parking = new PendingWork();
  #channel: AmqpChannel | null = null;
  #window: AckWindow | null = null;
  #epoch = 0;
  #started = false;
  #paused = false;
  #cancelled = false;
  #released = false;
  /** With those set aside. */
  #prefetch: number;
  #setAside = 0;
  readonly #count: PrefetchCount;
  /** Messages that came, and refusals that were logged. */
  #activity = 0;
  readonly #lease: ChannelLease;
  readonly #opening: ChannelOpening;
  /** Less is to come, which the server has not confirmed: an acknowledgement that overtook it would let one message more come. */
  #narrowing: Promise<unknown> | null = null;
  #saidParking = false;

  constructor(params: AmqpSubscriptionParams) {
    this.#params = params;
    this.#log = params.log;
    this.#clock = params.clock;
    this.#queues = new Set(params.consume.queues);
    this.#prefetch = params.consume.prefetch;
    this.#deferrals = new Deferrals(params.clock, (delivery) => this.#due(delivery));
    this.#lease = new ChannelLease({
      ...params,
      onHeld: () => {
        // At the start nothing has passed.
        if (this.#started) params.consume.onHeld();
      },
    });
    this.#opening = new ChannelOpening({
      ...params,
      isWanted: () => !this.#cancelled,
      hasChannel: () => this.#channel !== null,
      open: (attempt) => this.#open(attempt),
      answers: () => params.topology.answers + (this.#channel?.answers ?? 0),
      opened: (isFirst) => this.#opened(isFirst),
      failed: (error) => {
        if (params.connection.state !== 'connected') return;
        const what = `No channel to consume from ${this.queues.join(', ')}`;
        this.#log.error('broker.consume-failed', `${what}: ${messageOf(error)}. Trying again`);
      },
      what: () => `consuming from ${this.queues.join(', ')}`,
    });
    this.#count = new PrefetchCount({
      ...params,
      channel: () => (this.#opening.isUnderWay ? null : this.#channel),
      prefetch: () => this.#prefetch,
      deferred: () => this.#deferrals.size + this.#parking.size,
      setAside: () => this.#setAside,
      queues: () => (this.#paused || this.#cancelled ? 0 : this.#queues.size),
      // The channel's count changes at once, without other consumers.
      mayRenew: () => params.consume.exact !== true && this.#queuesMayBeLeft(),
      renew: (before, endFirst) => this.#consumers.renew(before, endFirst),
    });
    this.#consumers = new ConsumerSet({
      ...params,
      noAck: params.consume.noAck === true,
      channel: () => (this.#opening.isUnderWay ? null : this.#channel),
      wanted: () => this.#wanted(),
      belongs: (queue) => !this.#cancelled && this.#queues.has(queue),
      onMessage: (consumer, message) => this.#onMessage(consumer, message),
      unlessRefused: (queue, failure, begin) =>
        unlessRefused(params.connection, { queue, failure, prefetch: this.#prefetch > 0 ? 1 : 0 }, begin),
      onDeclaredAgain: (queue) => params.onDeclaredAgain(queue),
      onRefused: () => {
        this.#activity += 1;
        // At the start that is for the caller to know.
        return this.#started;
      },
    });
  }

  get queues(): readonly string[] {
    return [...this.#queues];
  }

  get hasRoom(): boolean {
    return !this.#paused && !this.#cancelled && (this.#prefetch === 0 || this.#held.size < this.#prefetch);
  }

  get activity(): number {
    return this.#activity;
  }

  get roundTripMs(): number {
    return this.#channel?.roundTripMs ?? 0;
  }

  get refusedQueues(): readonly string[] {
    return [...this.#queues].filter((queue) => this.#consumers.isRefused(queue));
  }

  get refusal(): string | null {
    const refused = this.refusedQueues;
    return refused.length === 0 ? null : `RabbitMQ does not let it consume from ${refused.join(', ')}`;
  }

  /** A queue with a single active consumer owes us something only when nobody else consumes from it. */
  async countOwed(): Promise<number> {
    const { topology } = this.#params;
    let owed = 0;
    for (const queue of this.#queues) {
      if (this.#consumers.isRefused(queue)) continue;
      const state = await topology.look(queue);
      if (state !== null && (state.consumers <= 1 || !topology.hasSingleActiveConsumer(queue))) owed += state.messages;
    }
    return owed;
  }

  /** What a queue that is not declared here is like nobody knows. */
  #queuesMayBeLeft(): boolean {
    const { topology } = this.#params;
    for (const queue of this.#queues) {
      if (topology.hasSingleActiveConsumer(queue) || topology.isAutoDelete(queue) || topology.declaration(queue).noDeclare === true)
        return false;
    }
    return true;
  }

  /** In a pause, those that the server would delete with their last consumer, and all that waits in them: what comes from them waits here. */
  #wanted(): ReadonlySet<string> {
    if (this.#cancelled) return noQueues;
    if (!this.#paused) return this.#queues;
    const { topology } = this.#params;
    return new Set([...this.#queues].filter((queue) => topology.isAutoDelete(queue)));
  }

  get heldUntilMs(): number {
    return this.#lease.untilMs;
  }

  /** Rejects with an AmqpFailure; then it has no channel. Nothing is delivered in this turn of the event loop. */
  async start(): Promise<void> {
    for (const [queue, failure] of this.#params.consume.refused ?? []) this.#consumers.leaveOut(queue, failure);
    try {
      await this.#opening.first();
    } catch (error) {
      this.#cancelled = true;
      this.#drop();
      throw error;
    }
    setImmediate(() => {
      this.#started = true;
      this.#handOver();
    });
  }

  /** There is a connection again. */
  reconnected(): void {
    this.#started = true;
    this.#consumers.forgive();
    // One that has not heard of its end belongs to the connection before.
    if (this.#channel !== null) this.#drop();
    this.#opening.anew();
  }

  /** The broker stops, or was dropped: without a word to the server. */
  abandon(): void {
    this.#cancelled = true;
    this.#released = true;
    this.#drop();
  }

  ack(delivery: Delivery): Promise<SettleOutcome> {
    const window = this.#take(delivery);
    if (window === null) return stale;
    const tag = delivery.tag as number;
    const settled = this.#narrowing === null ? window.ack(tag) : this.#narrowing.then(() => window.ack(tag));
    this.#settled();
    return settled;
  }

  reject(delivery: Delivery, { requeue, headers }: RejectOptions): Promise<SettleOutcome> {
    if (headers !== undefined)
      return Promise.reject(
        new UmbelError('NOT_SUPPORTED', `a message in RabbitMQ cannot be given other headers (queue ${delivery.queue})`),
      );
    const window = this.#take(delivery);
    if (window === null) return stale;
    const settled = window.reject(delivery.tag as number, requeue);
    this.#settled();
    return settled;
  }

  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    const window = this.#take(delivery);
    if (window === null) return stale;
    const waitMs = dueAtMs - this.#clock.now();
    const again = AmqpDelivery.of(delivery).fresh();
    let outcome = done;
    if (waitMs > this.#params.holdDeferredMs && waitMs >= 1000) outcome = this.#park(window, again, dueAtMs, waitMs);
    else this.#deferrals.add(again, dueAtMs);
    this.#settled();
    this.#count.recount();
    return outcome;
  }

  async scheduled(limit: number): Promise<ScheduledMessage[]> {
    return this.#deferrals.next(limit);
  }

  setPrefetch(count: number, setAside = 0): void {
    const before = this.#prefetch;
    this.#prefetch = count === 0 ? 0 : count + setAside;
    this.#setAside = setAside;
    const isLess = count !== 0 && (before === 0 || this.#prefetch < before);
    if (this.#window !== null) this.#window.prefetch = this.#prefetch;
    if (isLess && this.#params.consume.exact === true) this.#narrow(this.#count.narrow());
    else this.#count.recount();
    this.#handOver();
  }

  async addQueue(queue: string): Promise<void> {
    const { topology, connection } = this.#params;
    await topology.ensure(queue);
    await this.#params.onDeclaredAgain(queue);
    const refusal = await refusalToConsume(connection, queue);
    if (refusal !== null) throw brokerUnavailable(refusal);
    if (this.#cancelled) return;
    this.#queues.add(queue);
    this.#consumers.forgive(queue);
    this.#count.recount();
    await this.#consumers.align();
  }

  async cancelQueue(queue: string): Promise<void> {
    this.#queues.delete(queue);
    const kept: Delivery[] = [];
    for (const delivery of this.#buffer) {
      if (delivery.queue === queue) this.#giveBack(delivery);
      else kept.push(delivery);
    }
    this.#buffer = kept;
    this.#consumers.end(queue);
    this.#count.recount();
    await this.#consumers.align();
  }

  pause(): void {
    this.#paused = true;
    this.#narrow(this.#consumers.align());
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#handOver();
    void this.#consumers.align();
    this.#count.recount();
  }

  /** Other consumers on the same channel. */
  async rebuild(): Promise<void> {
    if (this.#cancelled) return;
    if (this.#channel === null) this.#opening.now();
    else await this.#consumers.renew();
  }

  async cancel(): Promise<void> {
    this.#cancelled = true;
    this.#consumers.end();
    for (const delivery of this.#buffer) this.#giveBack(delivery);
    this.#buffer = [];
    // Nobody will take them when they are due.
    for (const delivery of this.#deferrals.clear()) this.#giveBack(delivery);
    await this.#consumers.align();
    this.#settled();
  }

  /** The channel is closed behind the last acknowledgement; RabbitMQ puts back in order what is left. */
  async release(): Promise<void> {
    this.#cancelled = true;
    this.#released = true;
    this.#held.clear();
    this.#buffer = [];
    this.#deferrals.clear();
    // What a delay queue has by then must not come back as well.
    await this.#parking.idle();
    const channel = this.#channel;
    const window = this.#window;
    this.#channel = null;
    this.#window = null;
    this.#stopTimers();
    await this.#narrowing;
    window?.flush();
    const isOrderly = await channel?.close();
    window?.end(isOrderly === true ? 'done' : 'stale');
    this.#params.ended(this);
  }

  /** The channel or its connection has ended. */
  #lost(channel: AmqpChannel, cause: AmqpFailure): void {
    if (this.#channel !== channel) return;
    const isOver = this.#released || this.#cancelled;
    // What ends the first one is for the caller to know: nothing was held, and there is no other.
    if (cause.kind !== 'lost' && !this.#opening.isFirst) {
      const what = cause.kind === 'timeout' ? 'broker.consumer-timeout' : 'broker.channel-lost';
      const then = isOver ? 'to whoever takes it now: this worker takes no more' : 'and consuming goes on with another channel';
      const oldest = cause.kind === 'timeout' ? this.#heldLongest() : '';
      this.#log.error(what, `${cause.message}${oldest}. What was held comes again, ${then}`);
    }
    this.#drop();
    if (isOver) this.#params.ended(this);
    else this.#opening.soon();
  }

  /** What the server has waited for, for people; forgets what is deferred. Nothing of one that is being parked. */
  #heldLongest(): string {
    const oldestTag = this.#window?.oldestTag;
    const all = [...this.#held, ...this.#buffer, ...this.#deferrals.clear()];
    const oldest = all.find(({ tag }) => tag === oldestTag);
    if (oldest === undefined) return '';
    const { task, id } = oldest.headers ?? {};
    return `; held longest: ${typeof task === 'string' ? `task ${taskLabel(task, String(id))}` : 'a message'} from queue ${oldest.queue}`;
  }

  /** Forget everything of this channel; what was delivered is lost. */
  #drop(): void {
    const window = this.#window;
    this.#channel = null;
    this.#window = null;
    this.#consumers.clear();
    this.#buffer = [];
    this.#deferrals.clear();
    this.#parking.forget();
    this.#count.end();
    this.#stopTimers();
    window?.end('stale');
    const deliveries = [...this.#held];
    this.#held.clear();
    if (deliveries.length > 0 && !this.#released) this.#params.consume.onLost(deliveries);
  }

  #stopTimers(): void {
    this.#opening.stop();
    this.#lease.stop();
  }

  async #open(attempt: Attempt): Promise<void> {
    const { connection } = this.#params;
    // Those that are not there any more would end the channel.
    for (const queue of this.#queues) if (this.#epoch > 0 && !this.#consumers.isRefused(queue)) await this.#consumers.ensure(queue);
    const channel = await connection.openChannel();
    if (this.#cancelled || attempt.isOver) {
      void channel.close();
      return;
    }
    this.#channel = channel;
    this.#epoch = this.#params.nextEpoch();
    this.#window = new AckWindow(channel, this.#clock);
    this.#window.prefetch = this.#prefetch;
    let cause: AmqpFailure | null = null;
    channel.onClose((failure) => {
      cause = failure;
      this.#lost(channel, failure);
    });
    if (cause !== null) throw cause;
    try {
      const sentAtMs = this.#clock.monotonic();
      await this.#count.begin(channel, this.#params.countsPerConsumer(this.#queues), this.#queues.size);
      if (this.#channel !== channel) throw cause ?? connection.unavailable();
      this.#lease.begin(channel, sentAtMs);
      await this.#consumers.begin(channel);
    } catch (error) {
      // One that is not closed would be taken for one that is consumed from.
      if (this.#channel === channel) {
        this.#drop();
        void channel.close();
      }
      throw error;
    }
  }

  #opened(isFirst: boolean): void {
    if (this.#channel === null) return;
    // For what was wanted meanwhile.
    void this.#consumers.align();
    this.#count.recount();
    if (isFirst) return;
    const consumed = this.#consumers.queues.join(', ');
    // A worker that is quiet, or has no child free.
    const text =
      consumed === ''
        ? `Nothing is taken from ${this.queues.join(', ')} for now; there is a channel again`
        : `Consuming again from ${consumed}`;
    this.#log.info('broker.consuming', text);
  }

  #onMessage(consumer: Consumer, raw: RawMessage): void {
    const window = this.#window;
    if (window === null) return;
    this.#activity += 1;
    const plain = raw.frames === undefined ? null : readPlainFrames(raw.frames);
    const deliveryTag = plain?.deliveryTag ?? raw.fields.deliveryTag;
    const noAck = this.#params.consume.noAck === true;
    if (!noAck) window.delivered(deliveryTag);
    if (consumer.ended || this.#cancelled) {
      if (!noAck) void window.reject(deliveryTag, true);
      return;
    }
    if (plain !== null) {
      this.#offer(new PlainDelivery(plain, deliveryTag, consumer.queue, this.#epoch));
      return;
    }
    if (raw.properties.headersProblem !== undefined)
      this.#log.error(
        'broker.undecodable',
        `The headers of a message in queue ${consumer.queue} cannot be read: ${raw.properties.headersProblem}`,
      );
    this.#offer(AmqpDelivery.received(raw, consumer.queue, this.#epoch));
  }

  #offer(delivery: Delivery): void {
    if (this.#buffer.length > 0 || !this.#mayDeliver()) {
      this.#buffer.push(delivery);
      return;
    }
    this.#deliver(delivery);
  }

  #deliver(delivery: Delivery): void {
    if (this.#params.consume.noAck !== true) this.#held.add(delivery);
    this.#params.consume.onDelivery(delivery);
  }

  #mayDeliver(): boolean {
    return this.#started && this.hasRoom;
  }

  #handOver(): void {
    while (this.#buffer.length > 0 && this.#mayDeliver()) {
      const delivery = this.#buffer.shift();
      if (delivery === undefined) return;
      this.#deliver(delivery);
    }
  }

  /** The window to settle it in, or null when it is not ours (any more). */
  #take(delivery: Delivery): AckWindow | null {
    return this.#held.delete(delivery) ? this.#window : null;
  }

  #giveBack(delivery: Delivery): void {
    void this.#window?.reject(delivery.tag as number, true);
  }

  #settled(): void {
    if (this.#buffer.length > 0) this.#handOver();
    if (this.#cancelled && this.#held.size === 0 && this.#parking.size === 0 && !this.#released) this.#endQuietly();
  }

  /** Cancelled and empty: its channel has no more use, once what was settled is with the server. */
  #endQuietly(): void {
    void this.release();
  }

  #due(delivery: AmqpDelivery): void {
    this.#count.recount();
    this.#offer(delivery);
  }

  async #park(window: AckWindow, delivery: AmqpDelivery, dueAtMs: number, waitMs: number): Promise<SettleOutcome> {
    this.#parking.begun();
    let failure: unknown = null;
    try {
      await this.#params.delayQueues.park(delivery, waitMs);
    } catch (error) {
      failure = error ?? new Error('unknown');
    }
    // The channel may have ended meanwhile: then the message comes again, and maybe twice.
    if (this.#window !== window) return 'stale';
    let outcome = done;
    if (failure === null) outcome = window.ack(delivery.tag);
    else this.#keepUnparked(delivery, dueAtMs, failure);
    this.#parking.done();
    if (failure === null) this.#count.recount();
    this.#settled();
    return outcome;
  }

  #keepUnparked(delivery: AmqpDelivery, dueAtMs: number, failure: unknown): void {
    if (!this.#saidParking) {
      this.#saidParking = true;
      this.#log.warning(
        'broker.parking-failed',
        `A message that is due much later could not be parked in the broker and is held here: ${messageOf(failure)}. The broker takes it back after its consumer timeout`,
      );
    }
    if (this.#cancelled) this.#giveBack(delivery);
    else this.#deferrals.add(delivery, dueAtMs);
  }

  #narrow(step: Promise<unknown>): void {
    this.#narrowing = step;
    void step.then(() => {
      if (this.#narrowing === step) this.#narrowing = null;
    });
  }
}
