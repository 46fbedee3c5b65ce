/**
 * One channel to publish over, and what goes over it or waits for it.
 *
 *   idle ──first item──► opening ──► open ──channel or connection lost──► idle        ended: by its owner, for good or until the next item
 *
 * Owns: its channel, the order of what waits, what is in flight and what the server is asked. How many lanes there are, what goes over which, and when those
 * that have waited long enough are looked for, is amqp-publisher.ts.
 */
import { ChurnSet } from '../std/churn-set.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { AmqpConnection } from './amqp.ts';
import type { AmqpChannel } from './amqp-channel.ts';
import { AmqpFailure } from './amqp-failure.ts';
import type { RawMessage, RawPublish } from './amqp-raw.ts';

export interface AmqpLaneParams {
  readonly connection: AmqpConnection;
  /** Messages ahead of their confirmations. */
  readonly windowSize?: number;
  /** More may not wait. */
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
}

/**
 * How the server is asked whether it has a message. `each`: it says so of each. `together`: it answers one question, a moment later, for all that
 * were sent before it; on an idle server a confirmation of its own comes between the message and whoever waits for it. `never`: not at all.
 */
export type Confirmation = 'each' | 'together' | 'never';

export interface Item {
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

/** How long what is confirmed together waits for others. */
const gatherMs = 1;
const defaultWindowSize = 2000;
const defaultMaxWaiting = 100_000;
const defaultMaxWaitingBytes = 256 * 1024 * 1024;

export interface LaneOwner {
  /** Something is about to be sent. Called with each message. */
  onSending(): void;
  /** Something waits for a server that is away, as long as that; Infinity: for ever. */
  onWaiting(patienceMs: number): void;
  /** Resolves when something may be sent over the connection of this epoch. Never rejects. */
  prepared(epoch: number): Promise<void>;
}

export class AmqpLane {
  readonly #params: AmqpLaneParams;
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
  /** Without confirmations: something was sent and nothing has been answered since. */
  #isUnsure = false;
  #drainedWaiters: (() => void)[] = [];

  constructor(params: AmqpLaneParams, clock: Clock, confirmation: Confirmation, owner: LaneOwner) {
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

  /** The server has not answered all that was sent. */
  get isOwed(): boolean {
    return this.#opening || this.#isUnsure || this.#inFlight.size > 0;
  }

  /** Something that is answered at once. A channel that is being opened is such a question already. */
  ask(): void {
    const channel = this.#channel;
    const answered = (): void => {
      if (this.#channel === channel) this.#isUnsure = false;
    };
    // A channel's end is dealt with as a whole, in #onClose.
    channel?.barrier().then(answered, () => {});
  }

  /** Resolves when nothing waits or is in flight; also when the connection goes. */
  drained(): Promise<void> {
    if (this.#isEmpty())
      return this.#confirmation !== 'never' || this.#channel === null ? Promise.resolve() : this.#channel.barrier().catch(() => {});
    return new Promise((resolve) => this.#drainedWaiters.push(resolve));
  }

  /** Those that have waited as long as they would, and so long at least, fail. The shortest patience of the others. */
  giveUp(atLeastMs: number): number {
    const nowMs = this.#clock.monotonic();
    const left: Item[] = [];
    for (const item of this.#takeWaiting()) {
      if (nowMs - item.sinceMs < Math.max(atLeastMs, item.patienceMs ?? Number.POSITIVE_INFINITY)) left.push(item);
      else this.#finish(item, this.#connection.unavailable());
    }
    for (const item of left) this.#keep(item);
    this.#tellDrained();
    return this.#shortestPatienceMs();
  }

  /** Of those that wait; Infinity: there is none. */
  #shortestPatienceMs(): number {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (let at = this.#at; at < this.#waiting.length; at += 1) {
      const patienceMs = this.#waiting[at]?.patienceMs ?? Number.POSITIVE_INFINITY;
      if (patienceMs < shortestMs) shortestMs = patienceMs;
    }
    return shortestMs;
  }

  end(failure: AmqpFailure): void {
    this.#channel = null;
    this.#isUnsure = false;
    const items = [...this.#inFlight, ...this.#takeWaiting()];
    this.#inFlight.clear();
    this.#forgetUnasked();
    for (const item of items) this.#finish(item, failure);
    this.#tellDrained();
  }

  #open(): void {
    this.#opening = true;
    this.#owner.onSending();
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
          this.#owner.onWaiting(this.#shortestPatienceMs());
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
    this.#owner.onSending();
    if (this.#confirmation !== 'each') {
      try {
        channel.publishUnconfirmed(item.message, item.content);
      } catch (error) {
        this.#finish(item, error instanceof AmqpFailure ? error : this.#connection.unavailable());
        return;
      }
      if (this.#confirmation === 'never') {
        this.#isUnsure = true;
        this.#finish(item, null);
      } else this.#askLater(item);
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
        this.#askTogether();
      });
    } else this.#gathering ??= this.#clock.setTimer(() => this.#askTogether(), gatherMs);
  }

  #askTogether(): void {
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
    this.#isUnsure = false;
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
        else this.#owner.onWaiting(this.#shortestPatienceMs());
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
