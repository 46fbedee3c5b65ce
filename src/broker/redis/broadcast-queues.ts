/**
 * The broadcast queues of one subscription: queues bound to a fanout exchange, which Redis has no list for.
 *
 * Owns: their channels, what has arrived and waits for room, and what is held. There is no acknowledgement in Redis: what is held when the
 * process dies is gone, as for every listener that was not there. A rejected message comes again here and nowhere else.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { DecodedEnvelope } from '../../protocol/virtual-envelope.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import type { Delivery } from '../broker.ts';
import { subscribeBroadcast } from './broadcast-channel.ts';
import type { KeyLayout } from './key-layout.ts';

export interface BroadcastQueuesParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something waits. */
  onArrival(): void;
}

/** A consumer that is this far behind loses the oldest. */
const mostWaiting = 10_000;

export class BroadcastQueues {
  readonly #params: BroadcastQueuesParams;
  readonly #ends = new Map<string, () => Promise<void>>();
  readonly #held = new Set<Delivery>();
  readonly #timers = new Set<Timer>();
  #waiting: Delivery[] = [];
  #sequence = 0;
  /** Said, and it has not caught up by half. */
  #behind = false;

  constructor(params: BroadcastQueuesParams) {
    this.#params = params;
  }

  get held(): number {
    return this.#held.size;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when the server has the subscription. */
  async add(queue: string, exchange: string): Promise<void> {
    const { connection, layout, log } = this.#params;
    const end = await subscribeBroadcast({
      subscriber: connection.subscriber,
      layout,
      exchange,
      exchangeType: 'fanout',
      routingKey: '',
      onMessage: (decoded) => this.#arrived(queue, decoded),
      onGarbage: (error) => log.error('broker.undecodable', `A broadcast to queue ${queue} was dropped: ${messageOf(error)}`),
    });
    this.#ends.set(queue, end);
  }

  async remove(queue: string): Promise<void> {
    const end = this.#ends.get(queue);
    this.#ends.delete(queue);
    this.#waiting = this.#waiting.filter((delivery) => delivery.queue !== queue);
    await end?.();
  }

  /** The next one, held from now on. */
  take(): Delivery | undefined {
    const delivery = this.#waiting.shift();
    if (delivery !== undefined) this.#held.add(delivery);
    return delivery;
  }

  /** false: not one of ours, or settled before. */
  settle(delivery: Delivery): boolean {
    return this.#held.delete(delivery);
  }

  /** None of them is ours to settle any more. */
  forgetHeld(): void {
    this.#held.clear();
  }

  requeue(delivery: Delivery): void {
    this.#waiting.push({ ...delivery, tag: this.#nextTag(), redelivered: true });
    this.#params.onArrival();
  }

  defer(delivery: Delivery, dueAtMs: number): void {
    const { clock } = this.#params;
    const timer = clock.setTimer(
      () => {
        this.#timers.delete(timer);
        this.#waiting.push({ ...delivery, tag: this.#nextTag() });
        this.#params.onArrival();
      },
      Math.max(0, Math.ceil(dueAtMs) - clock.now() + 1),
      { ref: false },
    );
    this.#timers.add(timer);
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) this.#params.clock.clearTimer(timer);
    this.#timers.clear();
    this.#waiting = [];
    await Promise.all([...this.#ends.keys()].map((queue) => this.remove(queue)));
  }

  #nextTag(): string {
    return `broadcast.${++this.#sequence}`;
  }

  #arrived(queue: string, { message, exchange, routingKey, redelivered }: DecodedEnvelope): void {
    if (this.#waiting.length >= mostWaiting) {
      this.#waiting.shift();
      if (!this.#behind)
        this.#params.log.error('broker.broadcast', `Queue ${queue} is ${mostWaiting} broadcasts behind: the oldest are dropped`);
      this.#behind = true;
    } else if (this.#waiting.length < mostWaiting / 2) this.#behind = false;
    const { properties, headers, body } = message;
    const epoch = this.#params.connection.epoch;
    this.#waiting.push({
      properties,
      headers,
      body,
      tag: this.#nextTag(),
      queue,
      exchange,
      routingKey,
      redelivered,
      deliveryCount: null,
      epoch,
    });
    this.#params.onArrival();
  }
}
