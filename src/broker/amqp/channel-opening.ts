/**
 * How a subscription or a listener comes to its channel: opened, and opened again after each loss, one attempt at a time.
 *
 * Owns the attempt under way, when the next one comes, and the patience with a server that answers nothing on a connection that looks well: then that
 * connection is given up for another. Nothing else would notice before the heartbeats do, and they do not where only this channel is stuck.
 * An attempt that was given up may still be waiting somewhere; `Attempt.isOver` tells it to touch nothing any more.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { Logger } from '../../log/logger.ts';
import { backoffDelayMs } from '../../std/backoff.ts';
import type { Clock, Timer } from '../../std/clock.ts';

export interface Attempt {
  readonly isOver: boolean;
}

export interface ChannelOpeningParams {
  readonly connection: Pick<AmqpConnection, 'state' | 'reconnect' | 'connectTimeoutMs'>;
  /** There is to be a channel. */
  isWanted(): boolean;
  hasChannel(): boolean;
  /** Rejects with an AmqpFailure. */
  open(attempt: Attempt): Promise<void>;
  /** How much the server has answered so far of what `open` asks. */
  answers(): number;
  opened(isFirst: boolean): void;
  /** It is tried again. Not called for the first attempt. */
  failed(error: unknown): void;
  /** For people: 'consuming from mail'. */
  what(): string;
  readonly log: Logger;
  readonly clock: Clock;
}

const firstRetryMs = 100;
const lastRetryMs = 5000;
/** A process that stood still finds one look overdue, and the answers unread: one look alone says nothing. */
const looks = 4;
/** A server that needs longer than the connection's timeout is given twice the time at each attempt, up to this. */
const longestPatienceMs = 60_000;

interface UnderWay {
  isOver: boolean;
  readonly giveUp: (cause: AmqpFailure) => void;
}

class GivenUp extends AmqpFailure {}

export class ChannelOpening {
  readonly #params: ChannelOpeningParams;
  #attempt: UnderWay | null = null;
  #isFirst = false;
  #retryTimer: Timer | undefined;
  #retries = 0;
  /** Connections given up since a channel was last opened. */
  #stalls = 0;

  constructor(params: ChannelOpeningParams) {
    this.#params = params;
  }

  get isUnderWay(): boolean {
    return this.#attempt !== null;
  }

  /** The one under way is the first, which is not tried again. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  /** Rejects with an AmqpFailure, and nothing is tried again. */
  async first(): Promise<void> {
    this.#isFirst = true;
    try {
      await this.#attemptOnce();
    } finally {
      this.#isFirst = false;
    }
    this.#params.opened(true);
  }

  /** In a later turn: when it is the connection that has gone, that is known by then, and its return wakes us. */
  soon(): void {
    const delayMs = this.#retries === 0 ? 0 : backoffDelayMs({ attempt: this.#retries - 1, baseMs: firstRetryMs, maxMs: lastRetryMs });
    this.#retries += 1;
    this.#params.clock.clearTimer(this.#retryTimer);
    this.#retryTimer = this.#params.clock.setTimer(() => this.now(), delayMs);
  }

  now(): void {
    const { isWanted, hasChannel, connection, opened, failed } = this.#params;
    if (this.#attempt !== null || !isWanted() || hasChannel() || connection.state !== 'connected') return;
    this.#attemptOnce().then(
      () => {
        this.#retries = 0;
        opened(false);
      },
      (error: unknown) => {
        // Over another connection another one has begun.
        if (error instanceof GivenUp || !isWanted()) return;
        failed(error);
        this.soon();
      },
    );
  }

  /** There is another connection: what is under way belongs to the one before, and gets no answer any more. */
  anew(): void {
    this.#retries = 0;
    this.#giveUp('the connection it had begun on is no more');
    if (!this.#isFirst) this.now();
  }

  /** Nothing is tried again. */
  stop(): void {
    this.#params.clock.clearTimer(this.#retryTimer);
  }

  async #attemptOnce(): Promise<void> {
    const { open, isWanted, hasChannel, what } = this.#params;
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
    const attempt: UnderWay = { isOver: false, giveUp };
    this.#attempt = attempt;
    const endWatch = this.#watch();
    try {
      await Promise.race([open(attempt), givenUp]);
      // Whoever heard of its end meanwhile found this attempt under way.
      if (isWanted() && !hasChannel()) throw new AmqpFailure('lost', `the channel for ${what()} ended as it was opened`);
      this.#stalls = 0;
    } finally {
      endWatch();
      attempt.isOver = true;
      if (this.#attempt === attempt) this.#attempt = null;
    }
  }

  #giveUp(why: string): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#attempt = null;
    attempt.isOver = true;
    attempt.giveUp(new GivenUp('lost', `${this.#params.what()} was not begun: ${why}`));
  }

  /** Returns what ends it. */
  #watch(): () => void {
    const { clock, isWanted, answers, connection, log, what } = this.#params;
    const patienceMs = Math.min(connection.connectTimeoutMs * 2 ** this.#stalls, Math.max(longestPatienceMs, connection.connectTimeoutMs));
    let answered = answers();
    let silentLooks = 0;
    let timer: Timer | undefined;
    const look = (): void => {
      timer = clock.setTimer(look, patienceMs / looks, { ref: false });
      if (answers() !== answered || connection.state !== 'connected' || !isWanted()) silentLooks = 0;
      else silentLooks += 1;
      answered = answers();
      if (silentLooks < looks) return;
      silentLooks = 0;
      this.#stalls += 1;
      const why = `no answer within ${patienceMs / 1000} s while ${what()} was begun`;
      log.error('broker.unanswered', `RabbitMQ: ${why}, over a connection that looks well. Connecting anew`);
      connection.reconnect(why);
    };
    timer = clock.setTimer(look, patienceMs / looks, { ref: false });
    return () => clock.clearTimer(timer);
  }
}
