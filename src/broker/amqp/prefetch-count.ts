/**
 * How many messages the server lets one subscription hold, and how it is told.
 *
 * RabbitMQ can count the channel (`global`) or each consumer. Counting the channel is exact with any number of queues and changes at once, but asks a
 * process of its own for every delivery: a third of what a message costs the server. So a single queue with nothing deferred is counted by its
 * consumer, where another count takes another consumer; as soon as deferred messages are to be left out of the count, or there are several queues, it is
 * the channel. So it is where a single active consumer must stay, or a queue would go with its last consumer. Quorum queues and RabbitMQ 4 have the
 * consumer's count only.
 *
 * Whoever tells RabbitMQ the count of consumers takes the channel's from it: then a consumer without a count of its own
 * gets all that is in the queue. So the channel's count comes after it, and such a consumer ends before.
 *
 * Owns what the server was told last. More than that may be on its way after a change; what is too much waits in the subscription.
 */
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../std/clock.ts';

export interface PrefetchCountParams {
  /** null: there is none, or it is being made. */
  channel(): AmqpChannel | null;
  /** With those set aside; 0: no limit. */
  prefetch(): number;
  /** Held and not to be counted. */
  deferred(): number;
  /** Held, and waiting for something else than room: their number changes often. */
  setAside(): number;
  /** Consumed from; 0 while paused or cancelled. */
  queues(): number;
  /** None of them minds that: a single active consumer that leaves does not come back to its place, and some queues go with their last one. */
  mayRenew(): boolean;
  /** Other consumers in the place of all there are; `before` is done before they begin, and with `endFirst` after those have ended. Never rejects. */
  renew(before: (channel: AmqpChannel) => Promise<void>, endFirst?: boolean): Promise<void>;
  readonly log: Logger;
  readonly clock: Clock;
}

const maxPrefetch = 65_535;
/** Other consumers only for a smaller count, or one that is little larger: not more often than this. */
const renewMs = 1000;
/** Worth other consumers at once. */
const muchMore = 1.5;

export class PrefetchCount {
  readonly #params: PrefetchCountParams;
  /** The server has the consumer's count only. */
  #consumersOnly = false;
  #byChannel = true;
  #told = -1;
  #scheduled = false;
  #timer: Timer | undefined;
  #saidUnlimited = false;

  constructor(params: PrefetchCountParams) {
    this.#params = params;
  }

  /** On a new channel, before it has consumers. Rejects with an AmqpFailure. */
  async begin(channel: AmqpChannel, consumersOnly: boolean, queues: number): Promise<void> {
    this.#consumersOnly = consumersOnly;
    this.#byChannel = !consumersOnly && !this.#isSimple(queues);
    this.#told = this.#count();
    await channel.qos(this.#told, this.#byChannel);
  }

  /** The channel is no more. */
  end(): void {
    this.#told = -1;
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  /** Something has changed. The server hears of it once per turn of the event loop at most. */
  recount(): void {
    const { channel, queues, clock } = this.#params;
    if (this.#scheduled || channel() === null || queues() === 0) return;
    const simple = this.#isSimple(queues());
    const soon = this.#isMuchMore() || (!this.#consumersOnly && (this.#byChannel || !simple));
    if (soon) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#tell();
      });
    }
    if (this.#byChannel ? simple : this.#count() !== this.#told) {
      this.#timer ??= clock.setTimer(() => this.#late(), renewMs, { ref: false });
    }
  }

  /** It is less now. Resolves when the server keeps to it; never rejects. */
  async narrow(): Promise<void> {
    const { channel, queues } = this.#params;
    const used = channel();
    const count = this.#count();
    if (used === null || queues() === 0 || count === this.#told) return;
    if (!this.#byChannel) return this.#renew(count);
    this.#told = count;
    await used.qos(count, true).catch(() => {});
  }

  /** Without it, whoever holds nothing but deferred messages would wait for the next one. */
  #isMuchMore(): boolean {
    return this.#told > 0 && this.#count() >= this.#told * muchMore;
  }

  #isSimple(queues: number): boolean {
    const { prefetch, deferred, setAside, mayRenew } = this.#params;
    return queues === 1 && mayRenew() && prefetch() > 0 && prefetch() <= maxPrefetch && deferred() + setAside() === 0;
  }

  /** What the server is to be told: deferred messages do not count, and beyond 65535 there is no limit. */
  #count(): number {
    const { prefetch, deferred, setAside, log } = this.#params;
    if (prefetch() === 0) return 0;
    const count = prefetch() + deferred() + (this.#consumersOnly ? roundedUp(setAside()) - setAside() : 0);
    if (count <= maxPrefetch) return count;
    if (!this.#saidUnlimited) {
      this.#saidUnlimited = true;
      log.warning(
        'broker.prefetch-unlimited',
        `AMQP counts no more than ${maxPrefetch} messages held, got ${count}: prefetch has no limit meanwhile`,
      );
    }
    return 0;
  }

  #tell(): void {
    const { channel, queues, renew } = this.#params;
    const used = channel();
    if (used === null || queues() === 0) return;
    const count = this.#count();
    if (this.#byChannel) {
      if (count === this.#told) return;
      this.#told = count;
      used.qos(count, true).catch(() => {});
    } else if (!this.#consumersOnly && !this.#isSimple(queues())) {
      this.#byChannel = true;
      this.#told = count;
      void renew(async (renewed) => {
        await renewed.qos(0, false);
        await renewed.qos(this.#told, true);
      });
    } else if (this.#isMuchMore()) void this.#renew(count);
  }

  #late(): void {
    this.#timer = undefined;
    const { channel, queues } = this.#params;
    const used = channel();
    if (used === null || queues() === 0) return;
    const count = this.#count();
    if (!this.#byChannel) {
      if (count !== this.#told) void this.#renew(count);
    } else if (!this.#consumersOnly && this.#isSimple(queues())) {
      this.#byChannel = false;
      void this.#renew(count, true).then(() => {
        if (channel() === used && !this.#byChannel) used.qos(0, true).catch(() => {});
      });
    }
  }

  /** A count per consumer holds for consumers that begin after it was set. */
  #renew(count: number, endFirst = false): Promise<void> {
    this.#told = count;
    return this.#params.renew((channel) => channel.qos(count, false), endFirst);
  }
}

/** Where another count takes another consumer, a number that grows message by message is followed in leaps. */
function roundedUp(count: number): number {
  return count === 0 ? 0 : 2 ** Math.ceil(Math.log2(count));
}
