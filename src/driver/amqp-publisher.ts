/**
 * Publishing over a connection of its own, with confirms.
 *
 * A connection of its own, because a server that is short of memory or disk stops reading from connections that publish: acknowledgements and
 * consuming must not stand behind that. It connects with the first message.
 *
 * Owns: the lanes, one channel each. Messages for the default exchange never end their channel; one for an exchange that does not exist
 * ends the channel of all in flight with it, so those have another; so have those that are confirmed together. A lane sends up to `windowSize` messages ahead of their
 * confirmations and keeps the others in order. While the server is away or refuses to read, messages wait: for as long as their patience lasts,
 * without limit when it is null. What was in flight when a connection broke is sent again and may arrive twice. A connection that is dead without having
 * broken is found out by publishing-watch.ts.
 */
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import type { AmqpConnection } from './amqp.ts';
import { AmqpFailure } from './amqp-failure.ts';
import { AmqpLane, type AmqpLaneParams, type Confirmation } from './amqp-lane.ts';
import type { RawPublish } from './amqp-raw.ts';
import { PublishingWatch } from './publishing-watch.ts';

export interface AmqpPublisherParams extends AmqpLaneParams {
  /** Ask the server to confirm each message. Without, a message counts as published when it is written, and those with `mandatory` are confirmed all the same. */
  readonly confirm: boolean;
  /** How long a message waits for a server that is away, unless its sender is impatient; null: for ever. */
  readonly patienceMs: number | null;
  /**
   * Done on each further connection before anything is sent: its server may lack what the last one had, and messages for a queue that is not there vanish.
   * Never rejects.
   */
  prepare?(): Promise<void>;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** How long the last confirmations may take at the end. */
const stopGraceMs = 5000;
const shortestLookMs = 20;

export class AmqpPublisher {
  readonly #params: AmqpPublisherParams;
  readonly #connection: AmqpConnection;
  readonly #clock: Clock;
  readonly #unconfirmed: AmqpLane | null;
  readonly #toQueues: AmqpLane;
  readonly #toExchanges: AmqpLane;
  readonly #together: AmqpLane;
  readonly #watch: PublishingWatch;
  #acquired: Promise<void> | null = null;
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
    const lane = (confirmation: Confirmation): AmqpLane =>
      new AmqpLane(params, this.#clock, confirmation, {
        onSending: () => this.#watch.begin(),
        onWaiting: (patienceMs) => this.#armImpatience(patienceMs),
        prepared: (epoch) => this.#prepare(epoch),
      });
    this.#unconfirmed = params.confirm ? null : lane('never');
    this.#toQueues = lane('each');
    this.#toExchanges = lane('each');
    this.#together = lane('together');
    this.#watch = new PublishingWatch({
      connection: params.connection,
      isOwed: () => this.#lanes().some((each) => each.isOwed),
      ask: () => {
        for (const each of this.#lanes()) if (each.isOwed) each.ask();
      },
      log: params.log,
      clock: this.#clock,
    });
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Why the server reads nothing of what is published; null: it reads. */
  get blocked(): string | null {
    return this.#connection.blocked;
  }

  /** The server is known to be back. */
  hurry(): void {
    this.#connection.hurry();
  }

  /** `done` is called exactly once. `impatient`: a server that is away is not waited for, only one that is being connected with. */
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
    lane: AmqpLane,
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

  #lanes(): readonly AmqpLane[] {
    // News of a retry go before its message, also when both have waited.
    const lanes = [this.#together, this.#toQueues, this.#toExchanges];
    return this.#unconfirmed === null ? lanes : [this.#unconfirmed, ...lanes];
  }

  /** A connection that goes is not waited for, and a server that does not read for no longer than the grace: what is left fails. */
  #flushed(lanes: readonly AmqpLane[]): Promise<void> {
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
    this.#watch.stop();
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
    const { state, isTrying, connectTimeoutMs } = this.#connection;
    if (state === 'connected') return;
    // Who is being connected with is waited for by all, as long as that may take.
    const atLeastMs = isTrying ? connectTimeoutMs : 0;
    this.#armImpatience(Math.min(...this.#lanes().map((lane) => lane.giveUp(atLeastMs))));
  }
}
