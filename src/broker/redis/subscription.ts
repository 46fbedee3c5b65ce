/**
 * One consumption from queues in Redis: reserves, hands over, settles.
 *
 * Owns: what it holds, what it has deferred, and the decision when to reserve. It reserves when it has room and the queues were not
 * empty at the last look (`#asleep`); then it waits for ready-watch.ts.
 *
 * A reservation whose reply got lost with the connection is not lost: its tags are known beforehand, and are looked up on the next
 * connection (`#due`), where deferred messages that are due are looked up as well.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import type { RedisFailure } from '../../driver/redis-failure.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { ChurnMap } from '../../std/churn-map.ts';
import type { Clock } from '../../std/clock.ts';
import { Shortest } from '../../std/shortest.ts';
import type { ConsumeParams, Delivery, RejectOptions, ScheduledMessage, SettleOutcome, Subscription } from '../broker.ts';
import { BroadcastQueues } from './broadcast-queues.ts';
import { type DeferredTag, DelayedTags } from './delayed-tags.ts';
import type { KeyLayout } from './key-layout.ts';
import { fetchScript } from './lease-scripts.ts';
import type { QueueList } from './queue-list.ts';
import { QueueOrder, type QueueOrderStrategy } from './queue-order.ts';
import { readDelivery } from './read-delivery.ts';
import type { ReadyWatch, Watched } from './ready-watch.ts';
import { RefusalNotice } from './refusal-notice.ts';
import { listOfEntry, type Reservation, reserveCommand, tagsOf } from './reservation.ts';
import type { Routing } from './routing.ts';
import { scheduledMessages } from './scheduled-messages.ts';
import type { Unsettled } from './settle-batch.ts';
import { UnackedMessages } from './unacked-messages.ts';
import { brokerUnavailable } from './unavailable.ts';
import type { WorkerLease } from './worker-lease.ts';

export interface RedisSubscriptionParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly lease: WorkerLease;
  readonly watch: ReadyWatch;
  readonly routing: Routing;
  readonly queueOrderStrategy: QueueOrderStrategy;
  readonly clock: Clock;
  readonly log: Logger;
  readonly consume: ConsumeParams;
  /** Sequence numbers of tags; returns the first of `count`. */
  takeSequence(count: number): number;
  /** It was cancelled and holds nothing. */
  ended(subscription: RedisSubscription): void;
  /** After `ended`: an acknowledgement came to nothing. */
  holdsAgain(subscription: RedisSubscription): void;
}

/** Messages in one reservation, and in one look-up. */
const reserveAtOnce = 64;
const stale: Promise<SettleOutcome> = Promise.resolve('stale');
const done: Promise<SettleOutcome> = Promise.resolve('done');

/** So few that their bytes take no time of their own. */
const fewMessages = 8;

export class RedisSubscription implements Subscription {
  readonly #params: RedisSubscriptionParams;
  readonly #connection: RedisConnection;
  readonly #order: QueueOrder;
  readonly #watched: Watched;
  readonly #held = new ChurnMap<string, Unsettled>();
  readonly #unacked: UnackedMessages;
  readonly #broadcasts: BroadcastQueues;
  /** Queues that come by broadcast, and not from a list. */
  #broadcastQueues: string[] = [];
  readonly #delayed: DelayedTags;
  /** In `unacked` under our tags, to be fetched when there is room. */
  #due: DeferredTag[] = [];
  #prefetch: number;
  #paused = false;
  #cancelled = false;
  #asleep = false;
  /** The next reservation is made from this list, and the more urgent ones of its queue; null: from all. */
  #only: string | null = null;
  /** The reservation or look-up under way: what it takes is ours before we hear of it. A late answer to an earlier one is not acted on. */
  #claiming: Reservation | readonly DeferredTag[] | null = null;
  #activity = 0;
  /** Of the connection with this epoch. */
  #roundTrip = { epoch: -1, shortest: new Shortest() };
  readonly #notice: RefusalNotice;
  /** Changes when deliveries under way may have become unwelcome: pause, cancel, a queue cancelled. */
  #generation = 0;

  constructor(params: RedisSubscriptionParams) {
    this.#params = params;
    this.#connection = params.connection;
    this.#order = new QueueOrder(params.layout, params.queueOrderStrategy, []);
    this.#prefetch = params.consume.prefetch;
    this.#notice = new RefusalNotice(params.log);
    this.#delayed = new DelayedTags(params.clock, (due) => this.#isDue(due));
    this.#unacked = new UnackedMessages(params.connection, params.layout, params.log, (unsettled) => {
      this.#held.set(String(unsettled.delivery.tag), unsettled);
      if (this.#cancelled) params.holdsAgain(this);
    });
    this.#broadcasts = new BroadcastQueues({ ...params, onArrival: () => this.#handBroadcasts() });
    this.#watched = params.watch.add([], (key) => this.#awake(key));
  }

  /** Rejects with a RedisFailure. */
  async start(): Promise<void> {
    const { consume, routing } = this.#params;
    const lists = consume.queues.filter((queue) => routing.broadcastExchange(queue) === null);
    this.#order.set(lists);
    for (const queue of new Set(consume.queues)) await this.#addBroadcast(queue);
    this.#queuesChanged();
  }

  get queues(): readonly string[] {
    return [...this.#order.queues, ...this.#broadcastQueues];
  }

  get heldUntilMs(): number {
    return this.#params.lease.heldUntilMs;
  }

  /** `heldUntilMs` had passed and has moved on. */
  held(): void {
    this.#params.consume.onHeld();
  }

  get hasRoom(): boolean {
    return !this.#paused && !this.#cancelled && this.#room() > 0;
  }

  get roundTripMs(): number {
    return this.#roundTrip.shortest.ms;
  }

  get refusal(): string | null {
    return this.#notice.said;
  }

  get activity(): number {
    return this.#activity + this.#params.lease.refusals;
  }

  /** Tags of everything that runs or may be started. */
  *heldTags(): IterableIterator<string> {
    yield* this.#held.keys();
    const claiming = this.#claiming ?? [];
    for (const { tag } of 'first' in claiming ? tagsOf(claiming) : claiming) yield tag;
  }

  /** Tags of everything that is to be fetched, sooner or later. */
  *deferredTags(): IterableIterator<string> {
    for (const due of this.#due) yield due.tag;
    yield* this.#delayed.tags();
  }

  ack(delivery: Delivery): Promise<SettleOutcome> {
    const tag = String(delivery.tag);
    const held = this.#held.get(tag);
    if (held === undefined || !this.#forget(tag, delivery)) return this.#settleBroadcast(delivery) ? done : stale;
    const outcome = this.#unacked.acknowledge(held);
    this.#settled();
    return outcome;
  }

  reject(delivery: Delivery, { requeue, headers }: RejectOptions): Promise<SettleOutcome> {
    if (!requeue) return this.ack(delivery);
    const tag = String(delivery.tag);
    const held = this.#held.get(tag);
    if (held === undefined || !this.#forget(tag, delivery)) {
      if (!this.#settleBroadcast(delivery)) return stale;
      if (!this.#cancelled) this.#broadcasts.requeue(delivery);
      return done;
    }
    const outcome = this.#unacked.requeue('LPUSH', held.from, [delivery], headers);
    this.#settled();
    return outcome.then(
      ([one]) => one ?? 'stale',
      (error: unknown) => {
        // It is still ours: as soon as the server takes us again it is delivered from here.
        this.#due.push({ tag, from: held.from, redelivered: true });
        throw error;
      },
    );
  }

  /** The body stays where it is; only the tag and the time are kept here. */
  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    const tag = String(delivery.tag);
    const held = this.#held.get(tag);
    if (held === undefined || !this.#forget(tag, delivery)) {
      if (!this.#settleBroadcast(delivery)) return stale;
      if (!this.#cancelled) this.#broadcasts.defer(delivery, dueAtMs);
      return done;
    }
    if (this.#cancelled) void this.#unacked.giveBack([{ tag, from: held.from }]);
    else this.#delayed.add({ tag, from: held.from }, Math.ceil(dueAtMs));
    this.#settled();
    return done;
  }

  setPrefetch(count: number, setAside = 0): void {
    this.#prefetch = count === 0 ? 0 : count + setAside;
    this.claim();
  }

  async addQueue(queue: string): Promise<void> {
    if (this.#cancelled || this.queues.includes(queue)) return;
    try {
      if (await this.#addBroadcast(queue)) return;
    } catch (error) {
      throw brokerUnavailable(error);
    }
    this.#order.set([...this.#order.queues, queue]);
    this.#queuesChanged();
  }

  async cancelQueue(queue: string): Promise<void> {
    this.#order.set(this.#order.queues.filter((name) => name !== queue));
    this.#generation++;
    this.#queuesChanged();
    if (!this.#broadcastQueues.includes(queue)) return;
    this.#broadcastQueues = this.#broadcastQueues.filter((name) => name !== queue);
    await this.#broadcasts.remove(queue);
  }

  pause(): void {
    this.#paused = true;
    this.#generation++;
  }

  resume(): void {
    this.#paused = false;
    this.wake();
  }

  async scheduled(limit: number): Promise<ScheduledMessage[]> {
    const next = this.#delayed.next(limit);
    if (next.length === 0) return [];
    try {
      const entries = await this.#connection.call('HMGET', this.#params.layout.unacked, ...next.map(({ tag }) => tag));
      return scheduledMessages(next, Array.isArray(entries) ? entries : []);
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  /** What a reservation without an answer may have taken is looked up under its tags, behind it on the same connection. */
  async rebuild(): Promise<void> {
    if (this.#cancelled) return;
    const given = this.#claiming ?? [];
    this.#claiming = null;
    this.#due.unshift(...('first' in given ? tagsOf(given) : given));
    this.#params.watch.rebuild();
    this.#params.lease.reconnected();
    this.wake();
  }

  /** What is deferred goes back at once: nobody here will run it. */
  async cancel(): Promise<void> {
    await this.#end();
    this.#maybeEnded();
  }

  /** Enqueues everything before it returns. */
  async release(): Promise<void> {
    const ended = this.#end();
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#broadcasts.forgetHeld();
    // Pushed as the next ones, the last first, so that they come in the old order.
    const byList = Map.groupBy(held.reverse(), ({ from }) => from);
    const requeued = [...byList].map(([from, members]) =>
      this.#unacked.requeue(
        'RPUSH',
        from,
        members.map(({ delivery }) => delivery),
      ),
    );
    await Promise.all([ended, ...requeued]);
    this.#maybeEnded();
  }

  /** There may be something in the queues. */
  wake(): void {
    this.#awake(null);
  }

  /** Somebody else has these tags now. */
  gone(tags: ReadonlySet<string>): void {
    const lost: Delivery[] = [];
    for (const tag of tags) {
      const held = this.#held.get(tag);
      if (held === undefined) continue;
      this.#held.delete(tag);
      lost.push(held.delivery);
    }
    this.#due = this.#due.filter(({ tag }) => !tags.has(tag));
    if (lost.length > 0) this.#params.consume.onLost(lost);
    if (lost.length > 0) this.claim();
    this.#maybeEnded();
  }

  /** Reserve, if there is room and reason. */
  claim(): void {
    if (this.#broadcasts.waiting > 0) this.#handBroadcasts();
    if (this.#claiming !== null || !this.hasRoom) return;
    if (this.#connection.state !== 'connected' || !this.#params.lease.held) return;
    if (this.#due.length > 0) this.#fetch();
    else if (!this.#asleep && this.#order.queues.length > 0) this.#reserve();
  }

  /** `key`: the only list that may have something. Whatever comes into another one meanwhile is told to the watch, which has us look again. */
  #awake(key: string | null): void {
    this.#asleep = false;
    this.#only = this.#claiming === null ? key : null;
    this.claim();
    // What is not asked for at once is asked for later, of all lists.
    if (this.#claiming === null) this.#only = null;
  }

  #keys(): string[] {
    return this.#order.lists.map((list) => list.key);
  }

  #room(): number {
    return this.#prefetch === 0 ? reserveAtOnce : Math.min(reserveAtOnce, this.#prefetch - this.#held.size - this.#broadcasts.held);
  }

  async #addBroadcast(queue: string): Promise<boolean> {
    const exchange = this.#params.routing.broadcastExchange(queue);
    if (exchange === null) return false;
    await this.#broadcasts.add(queue, exchange);
    this.#broadcastQueues.push(queue);
    return true;
  }

  #handBroadcasts(): void {
    while (!this.#paused && !this.#cancelled && this.#broadcasts.waiting > 0 && this.#room() > 0) {
      const delivery = this.#broadcasts.take();
      if (delivery !== undefined) this.#params.consume.onDelivery(delivery);
    }
  }

  #settleBroadcast(delivery: Delivery): boolean {
    if (!this.#broadcasts.settle(delivery)) return false;
    this.#settled();
    return true;
  }

  #queuesChanged(): void {
    this.#watched.setKeys(this.#keys());
    this.wake();
  }

  #reserve(): void {
    const reservation: Reservation = { leaseId: this.#params.lease.id, first: 0, room: 0, lists: [], generation: this.#generation };
    this.#claiming = reservation;
    let askedAtMs = 0;
    this.#connection.enqueue({
      keep: false,
      atomic: false,
      bytes: 0,
      // Asked when it is sent: settlements of the same turn have made room, a pause has made it pointless.
      commands: () => {
        const only = this.#only === null ? [] : this.#order.upTo(this.#only);
        this.#only = null;
        const { lists } = this.#order;
        if (this.#claiming !== reservation || !this.hasRoom || lists.length === 0) return [];
        reservation.room = this.#room();
        reservation.lists = only.length > 0 ? only : lists;
        reservation.first = this.#params.takeSequence(reservation.room);
        askedAtMs = performance.now();
        return [reserveCommand(reservation, this.#order, this.#params.layout, this.#connection.server)];
      },
      done: ([reply]) => {
        if (!this.#ended(reservation)) return;
        if (reply === undefined) return;
        if (Array.isArray(reply) && reply.length <= 2 * fewMessages) this.#noteRoundTrip(performance.now() - askedAtMs);
        this.#reserved(reply, reservation);
      },
      failed: (failure) => {
        if (this.#ended(reservation)) this.#reserveFailed(failure, reservation);
      },
    });
  }

  #noteRoundTrip(ms: number): void {
    const { epoch } = this.#connection;
    if (this.#roundTrip.epoch !== epoch) this.#roundTrip = { epoch, shortest: new Shortest() };
    this.#roundTrip.shortest.note(ms);
  }

  /** false: it was given up before it was answered. */
  #ended(claim: Reservation | readonly DeferredTag[]): boolean {
    if (this.#claiming !== claim) return false;
    this.#claiming = null;
    return true;
  }

  #reserved(reply: unknown, reservation: Reservation): void {
    if (!Array.isArray(reply)) {
      this.#params.lease.revive();
      return;
    }
    this.#notice.answered(reply.length === 0);
    if (reply.length > 0) this.#watched.busy();
    this.#activity++;
    if (reply.length / 2 < reservation.room) this.#asleep = this.#watched.empty();
    this.#handOver(reply, reservation);
    this.claim();
  }

  #handOver(reply: readonly unknown[], { leaseId, first, lists, generation }: Reservation): void {
    const unwelcome: DeferredTag[] = [];
    let sequence = first;
    let last: QueueList | undefined;
    for (let at = 0; at < reply.length; at += 2) {
      const number = Number(reply[at]);
      const from = lists[Math.abs(number) - 1];
      if (from === undefined) continue;
      last = from;
      if (number < 0) {
        this.#complain(from, 'it is not a JSON object');
        continue;
      }
      const tag = `${leaseId}.${sequence++}`;
      if (this.#generation !== generation && this.#isUnwelcome(from.queue)) unwelcome.push({ tag, from });
      else this.#deliver(tag, from, String(reply[at + 1]));
    }
    if (last !== undefined) this.#order.delivered(last.queue);
    if (unwelcome.length > 0) void this.#unacked.giveBack(unwelcome);
  }

  #isUnwelcome(queue: string): boolean {
    return this.#paused || this.#cancelled || !this.#order.queues.includes(queue);
  }

  /** Without a reply the server may have done it: look for what would be there. */
  #reserveFailed(failure: RedisFailure, reservation: Reservation): void {
    if (failure.uncertain) this.#due.push(...tagsOf(reservation));
    else if (failure.kind !== 'lost' && failure.kind !== 'stopped') this.#refused(failure);
  }

  #refused(failure: RedisFailure): void {
    this.#activity++;
    this.#notice.refused(failure);
    this.#asleep = true;
    this.#watched.refused();
  }

  #isDue(due: readonly DeferredTag[]): void {
    this.#due.push(...due);
    this.claim();
  }

  /** Bodies of messages that are ours already. */
  #fetch(): void {
    const wanted = this.#due.splice(0, this.#room());
    this.#claiming = wanted;
    const tags = wanted.map(({ tag }) => tag);
    const { unacked, unackedIndex } = this.#params.layout;
    this.#connection.run(fetchScript, [unacked, unackedIndex], tags).then(
      (reply) => {
        if (!this.#ended(wanted)) return;
        this.#fetched(wanted, Array.isArray(reply) ? reply : []);
        this.claim();
      },
      (failure: RedisFailure) => {
        if (!this.#ended(wanted)) return;
        this.#due.unshift(...wanted);
        if (this.#cancelled) void this.#unacked.giveBack(this.#due.splice(0));
        else if (failure.kind !== 'lost' && failure.kind !== 'stopped') this.#refused(failure);
      },
    );
  }

  #fetched(wanted: readonly DeferredTag[], entries: readonly unknown[]): void {
    const unwelcome: DeferredTag[] = [];
    for (const [at, deferred] of wanted.entries()) {
      const entry = entries[at];
      // Never reserved, or restored by somebody while we were away.
      if (typeof entry !== 'string') continue;
      this.#activity++;
      const from = listOfEntry(entry, deferred.from, this.#order, this.#params.layout);
      if (this.#paused && !this.#cancelled) this.#due.push({ tag: deferred.tag, from });
      else if (this.#cancelled || !this.#order.queues.includes(from.queue)) unwelcome.push({ tag: deferred.tag, from });
      else this.#deliver(deferred.tag, from, from.envelopeOf(entry), deferred.redelivered, true);
    }
    if (unwelcome.length > 0) void this.#unacked.giveBack(unwelcome);
  }

  /** `again`: it was delivered before, which its envelope does not say. `wasDeferred`: by us. */
  #deliver(tag: string, from: QueueList, envelope: string, again = false, wasDeferred = false): void {
    let delivery: Delivery;
    try {
      delivery = readDelivery(envelope, tag, from.queue, this.#connection.epoch, again, wasDeferred);
    } catch (error) {
      this.#complain(from, messageOf(error));
      void this.#unacked.setAside(tag, from);
      return;
    }
    this.#held.set(tag, { delivery, from });
    this.#params.consume.onDelivery(delivery);
  }

  #complain(from: QueueList, cause: string): void {
    this.#params.log.error('broker.undecodable', `An element of queue ${from.queue} was moved to the list ${from.rejectedKey}: ${cause}`);
  }

  #forget(tag: string, delivery: Delivery): boolean {
    return this.#held.get(tag)?.delivery === delivery && this.#held.delete(tag);
  }

  #settled(): void {
    if (this.#cancelled) this.#maybeEnded();
    else this.claim();
  }

  async #end(): Promise<void> {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#generation++;
    this.#watched.stop();
    const back = [...this.#due.splice(0), ...this.#delayed.takeAll()];
    await Promise.all([this.#broadcasts.stop(), back.length > 0 ? this.#unacked.giveBack(back) : null]);
  }

  #maybeEnded(): void {
    if (this.#cancelled && this.#held.size === 0 && this.#broadcasts.held === 0) this.#params.ended(this);
  }
}
