/**
 * A connection to RabbitMQ, shared by everything in this process that is given it.
 *
 * Owns: its channels' way in, and what is said of a server that does not read. States, search, reconnecting and epochs are server-link.ts. Channels,
 * delivery tags and unanswered requests die with their epoch; nothing is sent again from here.
 */
import type { Logger } from '../log/logger.ts';
import type { Clock } from '../std/clock.ts';
import { AmqpChannel } from './amqp-channel.ts';
import { AmqpFailure, type AmqpFailureKind, toConnectFailure } from './amqp-failure.ts';
import { type AmqpServer, AmqpSession, type AmqpSessionParams, type AmqpTraffic } from './amqp-session.ts';
import { type AmqpEndpoint, type AmqpPlace, describeEndpoint } from './amqp-url.ts';
import { type LinkOptions, type LinkState, ServerLink } from './server-link.ts';

export type AmqpState = LinkState;

/** How to connect; Celery's names for them stand in the settings table. */
export interface AmqpConnectOptions extends Omit<AmqpSessionParams, 'endpoint'>, LinkOptions {}

const defaultAmqpOptions: AmqpConnectOptions = {
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
  /** Beside another one, which says what becomes of the server. Default: false. */
  readonly forPublishing?: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** As with Celery a wrong password ends the start. Once it was right it is waited for: it may be about to change everywhere. */
const finalAtStart: ReadonlySet<AmqpFailureKind> = new Set(['auth', 'config']);

const events = { unreachable: 'amqp.unreachable', skipped: 'amqp.skipped', lost: 'amqp.lost', connected: 'amqp.connected' };
const publishingEvents = {
  unreachable: 'amqp.publisher-unreachable',
  skipped: 'amqp.publisher-skipped',
  lost: 'amqp.publisher-lost',
  connected: 'amqp.publisher-connected',
};

type StateListener = (state: AmqpState, cause: AmqpFailure | null) => void;

export class AmqpConnection {
  /** For people: passwords masked. */
  readonly displayUrl: string;
  /** How long a server may take to answer a connection. */
  readonly connectTimeoutMs: number;
  readonly #log: Logger;
  readonly #blockedListeners = new Set<(reason: string | null) => void>();
  readonly #link: ServerLink<AmqpEndpoint, AmqpSession, AmqpFailure>;

  constructor(params: AmqpConnectionParams) {
    const { place, log, clock, forPublishing = false } = params;
    const options = { ...defaultAmqpOptions, ...params.options, ...place.options };
    this.#log = log;
    const describe = (endpoint: AmqpEndpoint): string => describeEndpoint(endpoint, options.loginMethod);
    this.displayUrl = place.endpoints.map(describe).join(';');
    this.connectTimeoutMs = options.connectTimeoutMs;
    this.#link = new ServerLink({
      service: 'RabbitMQ',
      endpoints: place.endpoints,
      displayUrl: this.displayUrl,
      options,
      events: forPublishing ? publishingEvents : events,
      quiet: forPublishing,
      open: (endpoint) => AmqpSession.open({ ...options, endpoint }),
      describe,
      failureOf: (error, where) => toConnectFailure(error, where, options.loginMethod),
      newFailure: (kind, message, cause) => new AmqpFailure(kind, message, { cause }),
      isFinal: ({ kind }, atStart) => atStart && finalAtStart.has(kind),
      onUp: (session) =>
        session.onBlocked((reason) => {
          if (this.#link.session === session) this.#sayBlocked(reason);
        }),
      farewell: (session) => session.close(),
      log,
      ...(clock === undefined ? null : { clock }),
    });
  }

  get state(): AmqpState {
    return this.#link.state;
  }

  /** There is none, but a server has been asked and may answer yet. */
  get isTrying(): boolean {
    return this.#link.isTrying;
  }

  /** Grows with every connection; 0 before the first. */
  get epoch(): number {
    return this.#link.epoch;
  }

  /** The server for people; all URLs when there is no connection. */
  get where(): string {
    return this.#link.where;
  }

  /** The server of this epoch; null when there is no connection. */
  get server(): AmqpServer | null {
    return this.#link.session?.server ?? null;
  }

  /** Negotiated for this epoch; null when there is no connection. */
  get heartbeatSeconds(): number | null {
    return this.#link.session?.heartbeatSeconds ?? null;
  }

  /** Why the server reads nothing of what is published; null: it reads. */
  get blocked(): string | null {
    return this.#link.session?.blocked ?? null;
  }

  /** Of this epoch; null when there is no connection. */
  get traffic(): AmqpTraffic | null {
    return this.#link.session?.traffic ?? null;
  }

  /** Returns how to stop listening. */
  onStateChange(listener: StateListener): () => void {
    return this.#link.onStateChange(listener);
  }

  onBlocked(listener: (reason: string | null) => void): () => void {
    this.#blockedListeners.add(listener);
    return () => this.#blockedListeners.delete(listener);
  }

  /** The first user connects. Rejects with an AmqpFailure when no URL leads to a server that takes us. */
  acquire(): Promise<void> {
    return this.#link.acquire();
  }

  /** The last user closes it, with a farewell. */
  release(): Promise<void> {
    return this.#link.release();
  }

  /** Drop everything at once, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    this.#link.abandon();
  }

  /** Give this connection up and make another, as if the network had failed. */
  reconnect(reason: string): void {
    this.#link.session?.fail(new AmqpFailure('lost', `the connection to RabbitMQ was given up: ${reason} (${this.displayUrl})`));
  }

  /** The server is known to be back. */
  hurry(): void {
    this.#link.hurry();
  }

  /** Rejects with an AmqpFailure; at once when there is no connection. */
  async openChannel(options: { readonly confirm?: boolean } = {}): Promise<AmqpChannel> {
    const { session } = this.#link;
    if (session === null) throw this.unavailable();
    return AmqpChannel.open(session, options);
  }

  /** What to say when there is no connection. */
  unavailable(): AmqpFailure {
    return this.#link.unavailable();
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
}
