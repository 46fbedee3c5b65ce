/**
 * A connection to RabbitMQ, shared by everything in this process that is given it.
 *
 * Owns: who uses it, the search for a server among several URLs, reconnecting until stopped, and the epoch.
 *
 *   stopped ──acquire──► connecting ──► connected ⇄ lost        (lost: it is trying to reconnect, without end unless told a maximum)
 *      ▲──────last release────┴────────────────┴──────┘
 *
 * The epoch counts connections. Channels, delivery tags and unanswered requests die with theirs; nothing is sent again from here.
 */
import type { Logger } from '../log/logger.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { AmqpChannel } from './amqp-channel.ts';
import { AmqpFailure, toConnectFailure } from './amqp-failure.ts';
import { type AmqpServer, AmqpSession, type AmqpSessionParams } from './amqp-session.ts';
import { type AmqpEndpoint, type AmqpPlace, describeEndpoint, placeKey } from './amqp-url.ts';

export type AmqpState = 'stopped' | 'connecting' | 'connected' | 'lost';

/** How to connect; Celery's names for them stand in the settings table. */
export interface AmqpConnectOptions extends Omit<AmqpSessionParams, 'endpoint'> {
  /** Further rounds over all URLs when none answers at the start; null: for ever. */
  readonly startRetries: number | null;
  /** Rounds after a loss before it gives up; null: it never does. 0: a loss is final. */
  readonly reconnectRetries: number | null;
  /** Order in which several URLs are tried. */
  readonly failover: 'round-robin' | 'shuffle';
}

export const defaultAmqpOptions: AmqpConnectOptions = {
  connectTimeoutMs: 4000,
  heartbeatSeconds: 120,
  loginMethod: 'PLAIN',
  connectionName: null,
  clientProperties: {},
  channelMax: 2047,
  frameMax: 131_072,
  socketKeepalive: true,
  startRetries: 0,
  reconnectRetries: null,
  failover: 'round-robin',
};

export interface AmqpConnectionParams {
  readonly place: AmqpPlace;
  readonly options?: Partial<AmqpConnectOptions>;
  readonly log: Logger;
  readonly clock?: Clock;
}

const firstDelayMs = 50;
const lastDelayMs = 2000;
/** The same cause is said again after this long. */
const repeatLogMs = 30_000;

type StateListener = (state: AmqpState, cause: AmqpFailure | null) => void;

export class AmqpConnection {
  /** For people: passwords masked. */
  readonly displayUrl: string;
  /** Equal for connections to the same place. */
  readonly key: string;
  readonly #endpoints: readonly AmqpEndpoint[];
  readonly #options: AmqpConnectOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #stateListeners = new Set<StateListener>();
  readonly #blockedListeners = new Set<(reason: string | null) => void>();
  #state: AmqpState = 'stopped';
  #users = 0;
  #epoch = 0;
  #session: AmqpSession | null = null;
  #endpointAt = 0;
  /** Acquire and release take turns. */
  #turn: Promise<void> = Promise.resolve();
  #pause: { readonly timer: Timer; wake(): void } | null = null;

  constructor(params: AmqpConnectionParams) {
    const { place } = params;
    this.#options = { ...defaultAmqpOptions, ...params.options, ...place.options };
    this.#endpoints = this.#options.failover === 'shuffle' ? shuffled(place.endpoints) : place.endpoints;
    this.#log = params.log;
    this.#clock = params.clock ?? systemClock;
    this.displayUrl = place.endpoints.map(describeEndpoint).join(';');
    this.key = placeKey(place);
  }

  get state(): AmqpState {
    return this.#state;
  }

  /** Grows with every connection; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The server of this epoch; null when there is no connection. */
  get server(): AmqpServer | null {
    return this.#session?.server ?? null;
  }

  /** Negotiated for this epoch; null when there is no connection. */
  get heartbeatSeconds(): number | null {
    return this.#session?.heartbeatSeconds ?? null;
  }

  /** Why the server reads nothing of what is published; null: it reads. */
  get blocked(): string | null {
    return this.#session?.blocked ?? null;
  }

  /** Returns how to stop listening. */
  onStateChange(listener: StateListener): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  onBlocked(listener: (reason: string | null) => void): () => void {
    this.#blockedListeners.add(listener);
    return () => this.#blockedListeners.delete(listener);
  }

  /** The first user connects. Rejects with an AmqpFailure when no URL leads to a server that takes us. */
  acquire(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'stopped') {
        this.#users = 0;
        this.#setState('connecting', null);
        try {
          this.#connected(await this.#search(this.#options.startRetries, () => this.#state === 'connecting'));
        } catch (error) {
          const failure = toConnectFailure(error, this.displayUrl);
          this.#setState('stopped', failure);
          throw failure;
        }
      }
      this.#users++;
    });
  }

  /** The last user closes it, with a farewell. */
  release(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#users === 0 || --this.#users > 0) return;
      const session = this.#session;
      this.#stop(null);
      await session?.close();
    });
  }

  /** Drop everything at once, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    this.#users = 0;
    const session = this.#session;
    this.#stop(null);
    session?.drop();
  }

  /** Give this connection up and make another, as if the network had failed. */
  reconnect(reason: string): void {
    this.#session?.fail(new AmqpFailure('lost', `the connection to RabbitMQ was given up: ${reason} (${this.displayUrl})`));
  }

  /** Rejects with an AmqpFailure; at once when there is no connection. */
  async openChannel(options: { readonly confirm?: boolean } = {}): Promise<AmqpChannel> {
    const session = this.#session;
    if (session === null) throw this.unavailable();
    return AmqpChannel.open(session, options);
  }

  /** What to say when there is no connection. */
  unavailable(): AmqpFailure {
    const stopped = this.#state === 'stopped';
    return new AmqpFailure(
      stopped ? 'stopped' : 'lost',
      `there is no connection to RabbitMQ ${stopped ? 'any more' : 'at present'} (${this.displayUrl})`,
    );
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Round after round over all endpoints; null retries: for ever. `wanted` is asked after every wait. */
  async #search(retries: number | null, wanted: () => boolean): Promise<AmqpSession> {
    let lastText = '';
    let saidAtMs = 0;
    for (let round = 0; ; round++) {
      const failures: AmqpFailure[] = [];
      for (let step = 0; step < this.#endpoints.length; step++) {
        const at = (this.#endpointAt + step) % this.#endpoints.length;
        const endpoint = this.#endpoints[at];
        if (endpoint === undefined) continue;
        try {
          const session = await AmqpSession.open({ ...this.#options, endpoint });
          if (!wanted()) {
            session.drop();
            throw this.unavailable();
          }
          this.#endpointAt = at;
          return session;
        } catch (error) {
          if (!wanted()) throw this.unavailable();
          failures.push(toConnectFailure(error, describeEndpoint(endpoint)));
        }
      }
      const failure = together(failures, this.displayUrl);
      if (retries !== null && round >= retries) throw failure;
      const nowMs = this.#clock.monotonic();
      if (failure.message !== lastText || nowMs - saidAtMs > repeatLogMs) {
        const of = retries === null ? '' : ` (${round + 1}/${retries})`;
        this.#log.error('amqp.unreachable', `Cannot connect to ${this.displayUrl}: ${failure.message}. Trying again${of}`);
        lastText = failure.message;
        saidAtMs = nowMs;
      }
      await this.#sleep(backoffDelayMs({ attempt: round, baseMs: firstDelayMs, maxMs: lastDelayMs }));
      if (!wanted()) throw this.unavailable();
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#pause = null;
        resolve();
      };
      this.#pause = { timer: this.#clock.setTimer(wake, delayMs), wake };
    });
  }

  #connected(session: AmqpSession): void {
    const epoch = ++this.#epoch;
    this.#session = session;
    session.onBlocked((reason) => {
      if (this.#epoch === epoch) this.#sayBlocked(reason);
    });
    session.onClose((cause) => {
      if (this.#epoch === epoch && this.#session === session) this.#onLost(cause);
    });
    if (this.#session === session) this.#setState('connected', null);
  }

  #sayBlocked(reason: string | null): void {
    if (reason !== null)
      this.#log.warning(
        'amqp.blocked',
        `RabbitMQ takes no messages for the moment: ${reason}. What is published waits (${this.displayUrl})`,
      );
    else this.#log.info('amqp.unblocked', `RabbitMQ takes messages again (${this.displayUrl})`);
    for (const listener of [...this.#blockedListeners]) listener(reason);
  }

  #onLost(cause: AmqpFailure): void {
    this.#session = null;
    const retries = this.#options.reconnectRetries;
    if (retries === 0) {
      this.#log.error('amqp.lost', cause.message);
      this.#stop(cause);
      return;
    }
    this.#log.error('amqp.lost', `${cause.message}. Reconnecting`);
    this.#setState('lost', cause);
    const epoch = this.#epoch;
    const wanted = (): boolean => this.#state === 'lost' && this.#epoch === epoch;
    this.#search(retries, wanted).then(
      (session) => {
        if (!wanted()) {
          session.drop();
          return;
        }
        this.#connected(session);
        this.#log.info('amqp.connected', `Connected again to ${session.where}`);
      },
      (error: unknown) => {
        if (wanted()) this.#stop(toConnectFailure(error, this.displayUrl));
      },
    );
  }

  /** `cause` null: it was asked for. */
  #stop(cause: AmqpFailure | null): void {
    if (this.#state === 'stopped') return;
    this.#session = null;
    this.#setState('stopped', cause);
    if (this.#pause !== null) {
      this.#clock.clearTimer(this.#pause.timer);
      this.#pause.wake();
    }
  }

  #setState(state: AmqpState, cause: AmqpFailure | null): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of [...this.#stateListeners]) listener(state, cause);
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}

function together(failures: readonly AmqpFailure[], where: string): AmqpFailure {
  const [first] = failures;
  if (first === undefined) return new AmqpFailure('lost', `no RabbitMQ URL to connect to (${where})`);
  if (failures.length === 1) return first;
  return new AmqpFailure(first.kind, failures.map((failure) => failure.message).join('; '), { cause: first });
}
