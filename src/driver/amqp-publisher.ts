/**
 * Publishing over a connection of its own, with confirms.
 *
 * A connection of its own, because a server that is short of memory or disk stops reading from connections that publish: acknowledgements and
 * consuming must not stand behind that. It connects with the first message.
 *
 * Owns: the lanes, one channel each. Messages for the default exchange never end their channel; one for an exchange that does not exist
 * ends the channel of all in flight with it, so those have another; so have those that are confirmed together. A lane sends up to `windowSize` messages ahead of their
 * confirmations and keeps the others in order. While the server is away or refuses to read, messages wait: for as long as their patience lasts,
 * without limit when it is null. What was in flight when a connection broke is sent again and may arrive twice.
 */
import type { Logger } from '../log/logger.ts';
import { ChurnSet } from '../std/churn-set.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { AmqpConnection } from './amqp.ts';
import type { AmqpChannel } from './amqp-channel.ts';
import { AmqpFailure } from './amqp-failure.ts';
import type { RawMessage, RawPublish } from './amqp-raw.ts';

export interface AmqpPublisherParams {
  readonly connection: AmqpConnection;
  /** Ask the server to confirm each message. Without, a message counts as published when it is written, and those with `mandatory` are confirmed all the same. */
  readonly confirm: boolean;
  /** How long a message waits for a server that is away, unless its sender is impatient; null: for ever. */
  readonly patienceMs: number | null;
  readonly windowSize?: number;
  /** More may not wait. */
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
  /**
   * Done on each further connection before anything is sent: its server may lack what the last one had, and messages for a queue that is not there vanish.
   * Never rejects.
   */
  prepare?(): Promise<void>;
  readonly log: Logger;
  readonly clock?: Clock;
}

/**
 * How the server is asked whether it has a message. `each`: it says so of each. `together`: it answers one question, a moment later, for all that
 * were sent before it; on an idle server a confirmation of its own comes between the message and whoever waits for it. `never`: not at all.
 */
type Confirmation = 'each' | 'together' | 'never';

interface Item {
  readonly message: RawPublish;
  readonly content: Buffer;
  readonly done: (failure: AmqpFailure | null) => void;
  /** Of those confirmed together: the question does not wait for others. */
  readonly soon: boolean;
  /** How long it waits for a server that is away; null: for ever. */
  readonly patienceMs: number | null;
  /** When its patience began: it was published, or the connection broke. */
  sinceMs: number;
  returned: AmqpFailure | null;
  finished: boolean;
}

/** How long the last confirmations may take at the end. */
const stopGraceMs = 5000;
/** How long what is confirmed together waits for others. */
const gatherMs = 1;
const shortestLookMs = 20;
const defaultWindowSize = 2000;
const defaultMaxWaiting = 100_000;
const defaultMaxWaitingBytes = 256 * 1024 * 1024;

export class AmqpPublisher {
  readonly #params: AmqpPublisherParams;
  readonly #connection: AmqpConnection;
  readonly #clock: Clock;
  readonly #unconfirmed: Lane | null;
  readonly #toQueues: Lane;
  readonly #toExchanges: Lane;
  readonly #together: Lane;
  #acquired: Promise<void> | null = null;
  #acquiredAtMs = 0;
  /** The connection that has been, or is being, prepared. */
  #preparedEpoch = 0;
  #prepared: Promise<void> = Promise.resolve();
  #stopped = false;
  #unlisten: (() => void)[] = [];
  #impatience: { readonly dueMs: number; readonly timer: Timer } | undefined;

  constructor(params: AmqpPublisherParams) {
    this.#params = params;
    this.#connection = params.connection;
    this.#clock = params.clock ?? systemClock;
    const lane = (confirmation: Confirmation): Lane =>
      new Lane(params, this.#clock, confirmation, {
        onWaiting: (patienceMs) => this.#armImpatience(patienceMs),
        prepared: (epoch) => this.#prepare(epoch),
      });
    this.#unconfirmed = params.confirm ? null : lane('never');
    this.#toQueues = lane('each');
    this.#toExchanges = lane('each');
    this.#together = lane('together');
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** The server is known to be back. */
  hurry(): void {
    this.#connection.hurry();
  }

  /** `done` is called exactly once. `impatient`: a server that is away is not waited for, only the first connection. */
  publish(message: RawPublish, content: Buffer, done: (failure: AmqpFailure | null) => void, impatient = false): void {
    const unconfirmed = message.mandatory ? null : this.#unconfirmed;
    const lane = unconfirmed ?? (message.exchange === '' ? this.#toQueues : this.#toExchanges);
    this.#add(lane, message, content, false, impatient ? 0 : this.#params.patienceMs, done);
  }

  /**
   * As `publish`, to a queue, for a message whose confirmation is in no hurry: it comes a millisecond later, with that of others, or `soon`. The server
   * has then given it to its queue; one that refuses it does not say so.
   */
  publishTogether(message: RawPublish, content: Buffer, soon: boolean, done: (failure: AmqpFailure | null) => void): void {
    this.#add(this.#unconfirmed ?? this.#together, message, content, soon, this.#params.patienceMs, done);
  }

  #add(
    lane: Lane,
    message: RawPublish,
    content: Buffer,
    soon: boolean,
    patienceMs: number | null,
    done: (failure: AmqpFailure | null) => void,
  ): void {
    if (this.#stopped) {
      done(new AmqpFailure('stopped', `the connection to RabbitMQ was stopped (${this.#connection.displayUrl})`));
      return;
    }
    if (this.#acquired === null) this.#acquire();
    lane.add({ message, content, done, soon, patienceMs, sinceMs: this.#clock.monotonic(), returned: null, finished: false });
  }

  /** What was given is with the server, as long as there is one; then the connection is given back. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const lanes = this.#lanes();
    if (this.#acquired !== null) {
      await this.#acquired.catch(() => {});
      await this.#flushed(lanes);
    }
    this.#end();
    if (this.#acquired !== null && this.#connection.state !== 'stopped') await this.#connection.release();
  }

  /** As a crash would. */
  abandon(): void {
    this.#stopped = true;
    this.#end();
    this.#connection.abandon();
  }

  /** Once for all lanes. */
  #prepare(epoch: number): Promise<void> {
    if (epoch > this.#preparedEpoch) {
      this.#preparedEpoch = epoch;
      this.#prepared = epoch === 1 ? Promise.resolve() : (this.#params.prepare?.() ?? Promise.resolve());
    }
    return this.#prepared;
  }

  #lanes(): readonly Lane[] {
    // News of a retry go before its message, also when both have waited.
    const lanes = [this.#together, this.#toQueues, this.#toExchanges];
    return this.#unconfirmed === null ? lanes : [this.#unconfirmed, ...lanes];
  }

  /** A connection that goes is not waited for, and a server that does not read for no longer than the grace: what is left fails. */
  #flushed(lanes: readonly Lane[]): Promise<void> {
    if (this.#connection.state !== 'connected') return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        unlisten();
        this.#clock.clearTimer(timer);
        resolve();
      };
      const unlisten = this.#connection.onStateChange(finish);
      const timer = this.#clock.setTimer(finish, stopGraceMs);
      void Promise.all(lanes.map((lane) => lane.drained())).then(finish);
    });
  }

  #end(): void {
    for (const unlisten of this.#unlisten) unlisten();
    this.#unlisten = [];
    this.#clock.clearTimer(this.#impatience?.timer);
    for (const lane of this.#lanes()) {
      lane.end(new AmqpFailure('stopped', `the connection to RabbitMQ was stopped (${this.#connection.displayUrl})`));
    }
  }

  #acquire(): void {
    const lanes = this.#lanes();
    this.#unlisten = [
      this.#connection.onStateChange((state, cause) => {
        if (state === 'connected') for (const lane of lanes) lane.wake();
        if (state === 'stopped' && !this.#stopped) {
          for (const unlisten of this.#unlisten) unlisten();
          this.#acquired = null;
          for (const lane of lanes) lane.end(cause ?? this.#connection.unavailable());
        }
      }),
      this.#connection.onBlocked((reason) => {
        if (reason === null) for (const lane of lanes) lane.wake();
      }),
    ];
    this.#acquiredAtMs = this.#clock.monotonic();
    this.#acquired = this.#connection.acquire();
    // Whoever waits was told as the state changed, and may have asked again since.
    this.#acquired.catch(() => {});
  }

  /** Messages wait for a server that is away: look again before long for those that have waited long enough. */
  #armImpatience(patienceMs: number): void {
    if (patienceMs === Number.POSITIVE_INFINITY || this.#stopped) return;
    const inMs = Math.max(shortestLookMs, patienceMs / 4);
    const dueMs = this.#clock.monotonic() + inMs;
    if (this.#impatience !== undefined && this.#impatience.dueMs <= dueMs) return;
    this.#clock.clearTimer(this.#impatience?.timer);
    this.#impatience = { dueMs, timer: this.#clock.setTimer(() => this.#look(), inMs) };
  }

  #look(): void {
    this.#impatience = undefined;
    const { state, connectTimeoutMs } = this.#connection;
    if (state === 'connected') return;
    const nowMs = this.#clock.monotonic();
    // The first connection is waited for by all, as long as it may take.
    const isBeginning = state === 'connecting' && nowMs - this.#acquiredAtMs < connectTimeoutMs;
    const shortestMs = this.#lanes().map((lane) => (isBeginning ? lane.shortestPatienceMs() : lane.giveUp(nowMs)));
    this.#armImpatience(Math.min(...shortestMs));
  }
}

interface LaneOwner {
  /** Something waits for a server that is away, as long as that; Infinity: for ever. */
  onWaiting(patienceMs: number): void;
  /** Resolves when something may be sent over the connection of this epoch. Never rejects. */
  prepared(epoch: number): Promise<void>;
}

/**
 * One channel and what goes over it.
 *
 *   idle ──first item──► opening ──► open ──channel or connection lost──► idle        ended: by its owner, for good or until the next item
 */
class Lane {
  readonly #params: AmqpPublisherParams;
  readonly #connection: AmqpConnection;
  readonly #clock: Clock;
  readonly #confirmation: Confirmation;
  readonly #owner: LaneOwner;
  readonly #windowSize: number;
  #waiting: Item[] = [];
  /** Of #waiting, those before this are gone. */
  #at = 0;
  #waitingBytes = 0;
  readonly #inFlight = new ChurnSet<Item>();
  /** Of these, those no question has been asked for. */
  #unasked: Item[] = [];
  #gathering: Timer | undefined;
  #askingSoon = false;
  #channel: AmqpChannel | null = null;
  #opening = false;
  #drainedWaiters: (() => void)[] = [];

  constructor(params: AmqpPublisherParams, clock: Clock, confirmation: Confirmation, owner: LaneOwner) {
    this.#params = params;
    this.#connection = params.connection;
    this.#clock = clock;
    this.#confirmation = confirmation;
    this.#owner = owner;
    this.#windowSize = params.windowSize ?? defaultWindowSize;
  }

  add(item: Item): void {
    const channel = this.#channel;
    if (
      channel !== null &&
      this.#at === this.#waiting.length &&
      this.#inFlight.size < this.#windowSize &&
      this.#connection.blocked === null
    ) {
      this.#send(channel, item);
      return;
    }
    const { maxWaiting = defaultMaxWaiting, maxWaitingBytes = defaultMaxWaitingBytes } = this.#params;
    if (this.#waiting.length - this.#at >= maxWaiting || this.#waitingBytes + item.content.length > maxWaitingBytes) {
      item.done(new AmqpFailure('full', `too many messages are waiting for RabbitMQ already (${this.#connection.displayUrl})`));
      return;
    }
    this.#waiting.push(item);
    this.#waitingBytes += item.content.length;
    if (this.#connection.state !== 'connected') this.#owner.onWaiting(item.patienceMs ?? Number.POSITIVE_INFINITY);
    this.wake();
  }

  /** There may be a connection, or it reads again. */
  wake(): void {
    if (this.#at === this.#waiting.length) return;
    if (this.#channel !== null) this.#pump(this.#channel);
    else if (this.#connection.state === 'connected' && !this.#opening) this.#open();
  }

  /** Resolves when nothing waits or is in flight; also when the connection goes. */
  drained(): Promise<void> {
    if (this.#isEmpty())
      return this.#confirmation !== 'never' || this.#channel === null ? Promise.resolve() : this.#channel.barrier().catch(() => {});
    return new Promise((resolve) => this.#drainedWaiters.push(resolve));
  }

  /** Those that have waited as long as they would fail. The shortest patience of the others. */
  giveUp(nowMs: number): number {
    const left: Item[] = [];
    for (const item of this.#takeWaiting()) {
      if (item.patienceMs === null || nowMs - item.sinceMs < item.patienceMs) left.push(item);
      else this.#finish(item, this.#connection.unavailable());
    }
    for (const item of left) this.#keep(item);
    this.#tellDrained();
    return this.shortestPatienceMs();
  }

  /** Of those that wait; Infinity: there is none. */
  shortestPatienceMs(): number {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (let at = this.#at; at < this.#waiting.length; at += 1) {
      const patienceMs = this.#waiting[at]?.patienceMs ?? Number.POSITIVE_INFINITY;
      if (patienceMs < shortestMs) shortestMs = patienceMs;
    }
    return shortestMs;
  }

  end(failure: AmqpFailure): void {
    this.#channel = null;
    const items = [...this.#inFlight, ...this.#takeWaiting()];
    this.#inFlight.clear();
    this.#forgetUnasked();
    for (const item of items) this.#finish(item, failure);
    this.#tellDrained();
  }

  #open(): void {
    this.#opening = true;
    const { epoch } = this.#connection;
    const opened = this.#owner.prepared(epoch).then(() => this.#connection.openChannel({ confirm: this.#confirmation === 'each' }));
    opened.then(
      (channel) => {
        this.#opening = false;
        channel.onReturn((message) => this.#onReturn(message));
        channel.onClose((cause) => this.#onClose(channel, cause));
        if (this.#connection.epoch !== epoch || channel.closed) {
          this.wake();
          return;
        }
        this.#channel = channel;
        this.#pump(channel);
      },
      (error: unknown) => {
        this.#opening = false;
        // Without a connection its return wakes us. A server that opens no channel (all are in use) would be asked in vain again.
        if (this.#connection.state === 'connected' && this.#connection.epoch === epoch) {
          this.end(error instanceof AmqpFailure ? error : this.#connection.unavailable());
        } else {
          this.#owner.onWaiting(this.shortestPatienceMs());
          this.wake();
        }
      },
    );
  }

  #pump(channel: AmqpChannel): void {
    while (this.#at < this.#waiting.length && this.#inFlight.size < this.#windowSize && this.#connection.blocked === null) {
      const item = this.#waiting[this.#at];
      this.#at += 1;
      if (item === undefined) continue;
      this.#waitingBytes -= item.content.length;
      this.#send(channel, item);
      if (this.#channel !== channel) return;
    }
    if (this.#at === this.#waiting.length) this.#takeWaiting();
  }

  #send(channel: AmqpChannel, item: Item): void {
    if (this.#confirmation !== 'each') {
      try {
        channel.publishUnconfirmed(item.message, item.content);
      } catch (error) {
        this.#finish(item, error instanceof AmqpFailure ? error : this.#connection.unavailable());
        return;
      }
      if (this.#confirmation === 'never') this.#finish(item, null);
      else this.#askLater(item);
      return;
    }
    this.#inFlight.add(item);
    channel.publish(item.message, item.content, (failure) => {
      // A channel's end is dealt with as a whole, in #onClose.
      if (failure?.uncertain === true) return;
      if (!this.#inFlight.delete(item)) return;
      this.#finish(item, failure ?? item.returned);
      if (this.#at < this.#waiting.length && this.#channel === channel) this.#pump(channel);
      this.#tellDrained();
    });
  }

  #askLater(item: Item): void {
    this.#inFlight.add(item);
    this.#unasked.push(item);
    if (this.#askingSoon) return;
    if (item.soon) {
      this.#askingSoon = true;
      setImmediate(() => {
        this.#askingSoon = false;
        this.#ask();
      });
    } else this.#gathering ??= this.#clock.setTimer(() => this.#ask(), gatherMs);
  }

  #ask(): void {
    const channel = this.#channel;
    const asked = this.#unasked;
    this.#forgetUnasked();
    if (channel === null || asked.length === 0) return;
    const answered = (): void => {
      if (this.#channel !== channel) return;
      for (const item of asked) if (this.#inFlight.delete(item)) this.#finish(item, null);
      this.#pump(channel);
      this.#tellDrained();
    };
    // A channel's end is dealt with as a whole, in #onClose.
    channel.barrier().then(answered, () => {});
  }

  #forgetUnasked(): void {
    this.#clock.clearTimer(this.#gathering);
    this.#gathering = undefined;
    if (this.#unasked.length > 0) this.#unasked = [];
  }

  /** Comes before the confirmation of its message, and carries it: the first in flight to the same place. */
  #onReturn({ fields, properties }: RawMessage): void {
    for (const item of this.#inFlight) {
      const { mandatory, exchange, routingKey, correlationId } = item.message;
      if (!mandatory || item.returned !== null || exchange !== fields.exchange || routingKey !== fields.routingKey) continue;
      if (correlationId !== properties.correlationId) continue;
      const to = `exchange '${exchange}' with routing key '${routingKey}'`;
      item.returned = new AmqpFailure('returned', `no queue takes the message for ${to}: ${fields.replyCode} ${fields.replyText}`, {
        replyCode: fields.replyCode ?? null,
        replyText: fields.replyText ?? '',
      });
      return;
    }
  }

  /** The innocent are sent again, ahead of the others; those that named an exchange which is not there, or may not be used, have failed. */
  #onClose(channel: AmqpChannel, cause: AmqpFailure): void {
    if (this.#channel !== channel) return;
    this.#channel = null;
    const again: Item[] = [];
    const nowMs = this.#clock.monotonic();
    const isGuilty = ({ message, content }: Item): boolean =>
      cause.kind === 'message' ? content.length === cause.messageBytes : cause.replyText.includes(`'${message.exchange}'`);
    const guilty = cause.kind === 'lost' ? [] : [...this.#inFlight].filter(isGuilty);
    for (const item of this.#inFlight) {
      const failed = cause.kind !== 'lost' && (guilty.length === 0 || guilty.includes(item));
      if (failed) {
        this.#finish(item, new AmqpFailure(cause.kind, cause.message, { cause, replyCode: cause.replyCode, replyText: cause.replyText }));
        continue;
      }
      item.sinceMs = nowMs;
      item.returned = null;
      again.push(item);
    }
    this.#inFlight.clear();
    this.#forgetUnasked();
    const waiting = this.#takeWaiting();
    for (const item of [...again, ...waiting]) this.#keep(item);
    if (this.#isEmpty()) this.#tellDrained();
    // In a later turn: when it is the connection that has gone, that is not known yet.
    else
      setImmediate(() => {
        if (this.#connection.state === 'connected') this.wake();
        else this.#owner.onWaiting(this.shortestPatienceMs());
      });
  }

  #keep(item: Item): void {
    this.#waiting.push(item);
    this.#waitingBytes += item.content.length;
  }

  #takeWaiting(): Item[] {
    const waiting = this.#at === 0 ? this.#waiting : this.#waiting.slice(this.#at);
    this.#waiting = [];
    this.#at = 0;
    this.#waitingBytes = 0;
    return waiting;
  }

  #finish(item: Item, failure: AmqpFailure | null): void {
    if (item.finished) return;
    item.finished = true;
    item.done(failure);
  }

  #isEmpty(): boolean {
    return this.#inFlight.size === 0 && this.#at === this.#waiting.length;
  }

  #tellDrained(): void {
    if (this.#drainedWaiters.length === 0 || !this.#isEmpty()) return;
    const waiters = this.#drainedWaiters;
    this.#drainedWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
