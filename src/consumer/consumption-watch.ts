/**
 * Notices a worker that is alive and consumes nothing, and does something about it: a new subscription, then a new connection, then the end.
 *
 * Owns the suspicion and the steps taken. Knows no broker beyond the contract; ends nothing itself (`onStuck`).
 *
 * It is suspicious when it would be wrong to wait: the broker is connected, the subscription has room, a child is free, and for a
 * whole interval the broker gave the subscription no answer of any kind (`activity`). Then, and once per interval from there on, it
 * asks how much is ready. Ready at one look and, a whole interval of the same silence later, at the next: one step. Whatever breaks
 * the silence ends the suspicion and forgets the steps.
 *
 * Not taken for a standstill: queues that others empty (whoever looks and finds nothing has been answered), or that the broker lets one
 * consumer alone empty (`countOwed`), refusals (they are activity, and logged), pauses, a full prefetch, busy children, messages that wait for their time (not ready), a lost connection.
 * An interval is made of ticks, and only those count that came on time: a process that stood still has not watched.
 *
 * A look that is not answered for an interval says nothing about the queue, so it never ends the worker; two in a row are worth a new
 * connection.
 */
import type { Broker, Subscription } from '../broker/broker.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';

/** How far it may go, in the order in which it goes. */
const consumptionSteps = ['rebuild', 'reconnect', 'exit'] as const;
export type ConsumptionStep = (typeof consumptionSteps)[number];

export interface ConsumptionWatchParams {
  readonly broker: Broker;
  /** What is consumed with now; null: nothing. */
  subscription(): Subscription | null;
  /** A child could take a task at once. */
  hasFreeSlot(): boolean;
  /** 0: off. */
  readonly intervalMs: number;
  /** The last step it may take; after that it begins again. */
  readonly limit: ConsumptionStep;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Nothing has helped. Called once. */
  onStuck(error: UmbelError): void;
}

const ticksPerInterval = 10;
/** A tick that comes later than this many of its lengths after the last one does not count. */
const lateAfter = 2;

export class ConsumptionWatch {
  readonly name = 'consumption-watch';
  readonly #params: ConsumptionWatchParams;
  readonly #clock: Clock;
  readonly #tickMs: number;
  #timer: Timer | undefined;
  #lastTickMs = 0;
  /** Of the subscription, when last looked at. */
  #activity = -1;
  /** Ticks of silence, on time, since the interval began. */
  #silentTicks = 0;
  /** The last look found ready messages. */
  #suspicious = false;
  /** Looks in a row that were not answered. */
  #unansweredLooks = 0;
  /** Steps taken since the last activity. */
  #steps = 0;
  /** The last step it may take was taken, and did not help. */
  #spent = false;
  #helpless = false;
  /** The look under way. */
  #look: object | null = null;
  #lookFailed = false;

  constructor(params: ConsumptionWatchParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#tickMs = params.intervalMs / ticksPerInterval;
  }

  /** Messages were ready at the last look, and nothing has come for an interval or more. */
  get stalled(): boolean {
    return this.#suspicious;
  }

  /** Nothing comes, there is no reason for it, and all steps it may take were taken. */
  get helpless(): boolean {
    const subscription = this.#params.subscription();
    return this.#helpless && subscription !== null && subscription.activity === this.#activity && this.#shouldGet(subscription);
  }

  async start(): Promise<void> {
    if (this.#params.intervalMs <= 0) return;
    this.#lastTickMs = this.#clock.monotonic();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#look = null;
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(() => this.#tick(), this.#tickMs, { ref: false });
  }

  #tick(): void {
    this.#arm();
    const nowMs = this.#clock.monotonic();
    const isOnTime = nowMs - this.#lastTickMs <= this.#tickMs * lateAfter;
    this.#lastTickMs = nowMs;
    const subscription = this.#silent();
    if (subscription === null || !isOnTime) return;
    this.#silentTicks += 1;
    if (this.#silentTicks < ticksPerInterval) return;
    this.#silentTicks = 0;
    if (this.#look === null) this.#lookAt(subscription);
    else this.#unanswered(subscription);
  }

  /** The subscription, if it should be getting messages and has heard nothing since the last call; else the interval begins again. */
  #silent(): Subscription | null {
    const subscription = this.#params.subscription();
    if (subscription !== null && subscription.activity !== this.#activity) {
      this.#activity = subscription.activity;
      this.#answered();
    } else if (subscription !== null && this.#shouldGet(subscription)) {
      return subscription;
    }
    this.#silentTicks = 0;
    this.#suspicious = false;
    this.#unansweredLooks = 0;
    this.#look = null;
    return null;
  }

  #shouldGet({ hasRoom }: Subscription): boolean {
    const { broker, hasFreeSlot } = this.#params;
    return broker.state === 'connected' && hasRoom && hasFreeSlot();
  }

  #forgetSteps(): void {
    this.#steps = 0;
    this.#spent = false;
    this.#helpless = false;
  }

  #answered(): void {
    if (this.#steps > 0 || this.#spent)
      this.#params.log.info('consumer.recovered', 'consumer: the broker answers again, messages are taken');
    this.#forgetSteps();
  }

  #lookAt(subscription: Subscription): void {
    const look = {};
    this.#look = look;
    const counted = subscription.countOwed === undefined ? this.#countReady(subscription) : subscription.countOwed();
    counted.then(
      (ready) => this.#looked(look, ready),
      (error: unknown) => this.#failed(look, error),
    );
  }

  async #countReady({ queues }: Subscription): Promise<number> {
    const counts = await Promise.all(queues.map((queue) => this.#params.broker.countReady(queue)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  #looked(look: object, ready: number): void {
    if (this.#look !== look) return;
    this.#look = null;
    this.#lookFailed = false;
    this.#unansweredLooks = 0;
    const subscription = this.#silent();
    if (subscription === null) return;
    if (ready === 0) {
      this.#suspicious = false;
      this.#forgetSteps();
    } else if (this.#suspicious) {
      this.#takeStep(subscription, ready);
    } else {
      this.#suspicious = true;
      this.#helpless ||= this.#spent;
    }
  }

  /** Said once: without looks nothing is watched. It proves nothing, so the next look begins anew. */
  #failed(look: object, error: unknown): void {
    if (this.#look !== look) return;
    this.#look = null;
    this.#suspicious = false;
    this.#unansweredLooks = 0;
    if (this.#lookFailed || this.#params.broker.state !== 'connected') return;
    this.#lookFailed = true;
    this.#params.log.warning('consumer.look-failed', `consumer: ready messages cannot be counted: ${messageOf(error)}`);
  }

  #unanswered(subscription: Subscription): void {
    this.#look = null;
    this.#suspicious = false;
    this.#unansweredLooks += 1;
    if (this.#unansweredLooks < 2 || this.#params.limit === 'rebuild') {
      this.#lookAt(subscription);
      return;
    }
    this.#unansweredLooks = 0;
    this.#steps = 0;
    this.#reconnect(`the broker has not answered for ${this.#seconds(3)}`, null);
  }

  #takeStep(subscription: Subscription, ready: number): void {
    const step = consumptionSteps[this.#steps];
    const what = `${ready} messages are ready and a child is free, but nothing was delivered for ${this.#seconds(this.#steps + 2)}`;
    this.#steps += 1;
    switch (step) {
      case 'rebuild':
        this.#params.log.warning('consumer.stalled', `consumer: ${what}. Consuming anew`, { step, ready });
        subscription.rebuild().catch((error: unknown) => {
          this.#params.log.warning('consumer.rebuild-failed', `consumer: it could not be consumed anew: ${messageOf(error)}`);
        });
        break;
      case 'reconnect':
        this.#reconnect(what, ready);
        break;
      case 'exit':
        void this.stop();
        this.#params.onStuck(
          new UmbelError('CONSUMPTION_STUCK', `${what}, and neither a new subscription nor a new connection has helped`),
        );
        return;
    }
    if (step !== this.#params.limit) return;
    this.#steps = 0;
    this.#suspicious = false;
    this.#spent = true;
  }

  #reconnect(what: string, ready: number | null): void {
    this.#params.log.error('consumer.stalled', `consumer: ${what}. Connecting anew`, { step: 'reconnect', ready });
    this.#params.broker.reconnect(what);
  }

  #seconds(intervals: number): string {
    return `${Math.round((this.#params.intervalMs * intervals) / 100) / 10}s`;
  }
}
