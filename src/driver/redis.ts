/**
 * The connection to a Redis server, shared by everything in this process that uses the same URL.
 *
 * Owns: who uses it, the search for a server among several URLs, reconnecting until stopped, and the epoch. What waits meanwhile is
 * redis-outbox.ts, the second connection for subscriptions redis-subscriber.ts.
 *
 *   stopped ──acquire──► connecting ──► connected ⇄ lost        (lost: it is trying to reconnect, without end unless told a maximum)
 *      ▲──────last release────┴────────────────┴──────┘
 *
 * The epoch counts connections: what was asked over an earlier one has no answer any more.
 */
import type { Logger } from '../log/logger.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { RedisFailure, toRedisFailure } from './redis-failure.ts';
import { type RedisOperation, RedisOutbox } from './redis-outbox.ts';
import type { RedisRemoval } from './redis-removal.ts';
import { evalCommand, type RedisArgument, type RedisCommand, type RedisScript } from './redis-script.ts';
import { type RedisServer, RedisSession, type RedisSessionParams } from './redis-session.ts';
import { RedisSubscriber } from './redis-subscriber.ts';
import { describeEndpoint, placeKey, type RedisEndpoint, type RedisPlace } from './redis-url.ts';

export type RedisState = 'stopped' | 'connecting' | 'connected' | 'lost';

/** How to connect; Celery's names for them stand in the settings table. */
export interface RedisConnectOptions {
  /** Whole handshake. */
  readonly connectTimeoutMs: number;
  /** A reply that takes longer ends the connection. null: never. */
  readonly socketTimeoutMs: number | null;
  readonly socketKeepalive: boolean;
  /** An idle connection is asked for a sign of life. 0: never. */
  readonly healthCheckIntervalMs: number;
  readonly clientName: string | null;
  readonly masterName: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
  /** Further rounds over all URLs when none answers at the start; null: for ever. */
  readonly startRetries: number | null;
  /** Rounds after a loss before it gives up; null: it never does. 0: a loss is final. */
  readonly reconnectRetries: number | null;
  /** Order in which several URLs are tried. */
  readonly failover: 'round-robin' | 'shuffle';
}

export const defaultRedisOptions: RedisConnectOptions = {
  connectTimeoutMs: 4000,
  socketTimeoutMs: 10_000,
  socketKeepalive: true,
  healthCheckIntervalMs: 25_000,
  clientName: null,
  masterName: null,
  sentinelUsername: null,
  sentinelPassword: null,
  startRetries: 0,
  reconnectRetries: null,
  failover: 'round-robin',
};

export interface RedisConnectionParams {
  readonly place: RedisPlace;
  readonly options?: Partial<RedisConnectOptions>;
  readonly log: Logger;
  readonly clock?: Clock;
  /** What may wait while the server is away; see redis-outbox.ts. */
  readonly maxWaiting?: number;
  readonly maxWaitingBytes?: number;
}

export const defaultMaxWaiting = 20_000;
export const defaultMaxWaitingBytes = 64 * 1024 * 1024;
const firstDelayMs = 50;
const lastDelayMs = 2000;
/** The same cause is said again after this long. */
const repeatLogMs = 30_000;

type StateListener = (state: RedisState, cause: RedisFailure | null) => void;

export class RedisConnection {
  /** For people: passwords masked. */
  readonly displayUrl: string;
  /** Equal for connections to the same database. */
  readonly key: string;
  readonly subscriber: RedisSubscriber;
  readonly #endpoints: readonly RedisEndpoint[];
  readonly #options: RedisConnectOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #outbox: RedisOutbox;
  readonly #stateListeners = new Set<StateListener>();
  #state: RedisState = 'stopped';
  #users = 0;
  #epoch = 0;
  #session: RedisSession | null = null;
  #endpointAt = 0;
  /** Acquire and release take turns. */
  #turn: Promise<void> = Promise.resolve();
  #health: Timer | undefined;
  #pause: { readonly timer: Timer; wake(): void } | null = null;
  #warnedEviction = false;
  #removals: RedisRemoval[] | null = null;

  constructor(params: RedisConnectionParams) {
    const { place } = params;
    this.#options = { ...defaultRedisOptions, ...params.options, ...fromUrl(place) };
    this.#endpoints = this.#options.failover === 'shuffle' ? shuffled(place.endpoints) : place.endpoints;
    this.#log = params.log;
    this.#clock = params.clock ?? systemClock;
    this.displayUrl = place.endpoints.map(describeEndpoint).join(';');
    this.key = placeKey(place, this.#options.masterName);
    this.#outbox = new RedisOutbox({
      log: params.log,
      maxWaiting: params.maxWaiting ?? defaultMaxWaiting,
      maxWaitingBytes: params.maxWaitingBytes ?? defaultMaxWaitingBytes,
      onReadonly: (failure) => this.#session?.fail(failure),
    });
    this.subscriber = new RedisSubscriber({
      open: (endpoint) => RedisSession.open(this.#sessionParams(endpoint)),
      healthCheckIntervalMs: this.#options.healthCheckIntervalMs,
      log: params.log,
      clock: this.#clock,
    });
  }

  get state(): RedisState {
    return this.#state;
  }

  /** Grows with every connection; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The server of this epoch; null when there is no connection. */
  get server(): RedisServer | null {
    return this.#session?.server ?? null;
  }

  /** The database number of the server in use. */
  get db(): number {
    return (this.#endpoints[this.#endpointAt] ?? this.#endpoints[0])?.db ?? 0;
  }

  /** Operations kept for a server that is lost or refuses. */
  get waiting(): number {
    return this.#outbox.waiting;
  }

  /** Returns how to stop listening. */
  onStateChange(listener: StateListener): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** The first user connects. Rejects with a RedisFailure when no URL leads to a server that takes us. */
  acquire(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'stopped') {
        this.#users = 0;
        this.#setState('connecting', null);
        try {
          this.#connected(await this.#search(this.#options.startRetries, () => true));
        } catch (error) {
          const failure = toRedisFailure(error, this.displayUrl);
          this.#setState('stopped', failure);
          throw failure;
        }
      }
      this.#users++;
    });
  }

  /** What was enqueued is sent and answered, as long as there is a connection; the last user closes it. */
  release(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#users === 0) return;
      if (this.#state === 'connected') await this.#outbox.drained();
      if (--this.#users === 0) this.#stop(new RedisFailure('stopped', `the connection to Redis was stopped (${this.displayUrl})`), null);
    });
  }

  /** Drop everything at once, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    this.#users = 0;
    this.#stop(new RedisFailure('stopped', `the connection to Redis was dropped (${this.displayUrl})`), null);
  }

  /** Give this connection up and make another, as if the network had failed. */
  reconnect(reason: string): void {
    this.#session?.fail(new RedisFailure('lost', `the connection to Redis was given up: ${reason} (${this.displayUrl})`));
  }

  enqueue(operation: RedisOperation): void {
    this.#outbox.add(operation);
  }

  /** Whoever asked for these removals within `step` leaves them to the caller, to go with what it writes. */
  removalsOf(step: () => void): readonly RedisRemoval[] {
    const outer = this.#removals;
    const removals: RedisRemoval[] = [];
    this.#removals = removals;
    try {
      step();
    } finally {
      this.#removals = outer;
    }
    return removals;
  }

  /** Where removals go just now; null: each is sent by who wants it. */
  get removals(): RedisRemoval[] | null {
    return this.#removals;
  }

  /** One command with the others of this turn, not in their MULTI, never kept. Rejects with a RedisFailure. */
  async call(...command: RedisCommand): Promise<unknown> {
    const [reply] = await this.commit([command], { keep: false, atomic: false });
    return reply;
  }

  /** As `call`. */
  run(script: RedisScript, keys: readonly RedisArgument[], args: readonly RedisArgument[]): Promise<unknown> {
    return this.call(...evalCommand(script, keys, args));
  }

  /** These commands, in the MULTI of this turn unless `atomic` is false. One reply each. Rejects with a RedisFailure. */
  commit(commands: readonly RedisCommand[], options: { readonly keep: boolean; readonly atomic?: boolean }): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      let bytes = 64;
      for (const command of commands) for (const part of command) bytes += typeof part === 'number' ? 8 : part.length;
      this.enqueue({ keep: options.keep, atomic: options.atomic ?? true, bytes, commands: () => commands, done: resolve, failed: reject });
    });
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #sessionParams(endpoint: RedisEndpoint): RedisSessionParams {
    return { ...this.#options, endpoint };
  }

  /** Round after round over all endpoints; null retries: for ever. `wanted` is asked after every wait. */
  async #search(retries: number | null, wanted: () => boolean): Promise<RedisSession> {
    let lastText = '';
    let saidAtMs = 0;
    for (let round = 0; ; round++) {
      const failures: RedisFailure[] = [];
      for (let step = 0; step < this.#endpoints.length; step++) {
        const at = (this.#endpointAt + step) % this.#endpoints.length;
        const endpoint = this.#endpoints[at];
        if (endpoint === undefined) continue;
        try {
          const session = await RedisSession.open(this.#sessionParams(endpoint));
          this.#endpointAt = at;
          return session;
        } catch (error) {
          failures.push(toRedisFailure(error, describeEndpoint(endpoint)));
        }
        if (!wanted()) throw new RedisFailure('stopped', `the connection to Redis was stopped (${this.displayUrl})`);
      }
      const failure = together(failures, this.displayUrl);
      if (failure.kind === 'cluster' || failure.kind === 'version' || (retries !== null && round >= retries)) throw failure;
      const delayMs = backoffDelayMs({ attempt: round, baseMs: firstDelayMs, maxMs: lastDelayMs });
      const nowMs = this.#clock.monotonic();
      if (failure.message !== lastText || nowMs - saidAtMs > repeatLogMs) {
        const of = retries === null ? '' : ` (${round + 1}/${retries})`;
        this.#log.error('redis.unreachable', `Cannot connect to ${this.displayUrl}: ${failure.message}. Trying again${of}`);
        lastText = failure.message;
        saidAtMs = nowMs;
      }
      await this.#sleep(delayMs);
      if (!wanted()) throw new RedisFailure('stopped', `the connection to Redis was stopped (${this.displayUrl})`);
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

  #connected(session: RedisSession): void {
    const epoch = ++this.#epoch;
    this.#session = session;
    session.onClose((cause) => {
      if (this.#epoch === epoch && this.#session === session) this.#onLost(cause);
    });
    if (this.#session === null) return;
    this.#outbox.connected(session);
    this.subscriber.serverIs(session.endpoint);
    this.#checkEviction(session);
    this.#armHealth();
    this.#setState('connected', null);
  }

  #onLost(cause: RedisFailure): void {
    this.#session = null;
    this.#clock.clearTimer(this.#health);
    this.#outbox.lost(cause.kind === 'lost' ? cause : new RedisFailure('lost', cause.message, { cause }));
    this.subscriber.serverIs(null);
    const retries = this.#options.reconnectRetries;
    if (retries === 0) {
      this.#log.error('redis.lost', cause.message);
      this.#stop(cause, cause);
      return;
    }
    this.#log.error('redis.lost', `${cause.message}. Reconnecting`);
    this.#setState('lost', cause);
    const { epoch } = this;
    const wanted = (): boolean => this.#state === 'lost' && this.#epoch === epoch;
    this.#search(retries, wanted).then(
      (session) => {
        if (!wanted()) {
          session.close();
          return;
        }
        this.#connected(session);
        this.#log.info('redis.connected', `Connected again to ${session.where}`);
      },
      (error: unknown) => {
        if (wanted()) this.#stop(toRedisFailure(error, this.displayUrl), toRedisFailure(error, this.displayUrl));
      },
    );
  }

  /** `cause` null: it was asked for. */
  #stop(failure: RedisFailure, cause: RedisFailure | null): void {
    if (this.#state === 'stopped') return;
    const session = this.#session;
    this.#session = null;
    this.#clock.clearTimer(this.#health);
    this.#setState('stopped', cause);
    if (this.#pause !== null) {
      this.#clock.clearTimer(this.#pause.timer);
      this.#pause.wake();
    }
    session?.close();
    this.#outbox.lost(new RedisFailure('stopped', failure.message, { cause: failure }));
    this.subscriber.stop();
  }

  #armHealth(): void {
    const { healthCheckIntervalMs } = this.#options;
    if (healthCheckIntervalMs <= 0) return;
    this.#clock.clearTimer(this.#health);
    const check = (): void => {
      // The socket timeout ends a connection that does not answer.
      this.call('PING').catch(() => {});
      this.#armHealth();
    };
    this.#health = this.#clock.setTimer(check, healthCheckIntervalMs, { ref: false });
  }

  #checkEviction(session: RedisSession): void {
    const policy = session.server.maxmemoryPolicy;
    if (policy === null || policy === 'noeviction' || this.#warnedEviction) return;
    this.#warnedEviction = true;
    const text = `Redis may drop tasks and results when its memory is full: maxmemory-policy should be noeviction, got ${policy} (${session.where})`;
    this.#log.warning('redis.eviction', text);
  }

  #setState(state: RedisState, cause: RedisFailure | null): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of [...this.#stateListeners]) listener(state, cause);
  }
}

function fromUrl({ options }: RedisPlace): Partial<RedisConnectOptions> {
  return {
    ...(options.socketTimeoutMs === undefined ? {} : { socketTimeoutMs: options.socketTimeoutMs }),
    ...(options.socketConnectTimeoutMs === undefined ? {} : { connectTimeoutMs: options.socketConnectTimeoutMs }),
    ...(options.socketKeepalive === undefined ? {} : { socketKeepalive: options.socketKeepalive }),
    ...(options.healthCheckIntervalMs === undefined ? {} : { healthCheckIntervalMs: options.healthCheckIntervalMs }),
    ...(options.clientName === undefined ? {} : { clientName: options.clientName }),
  };
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}

function together(failures: readonly RedisFailure[], where: string): RedisFailure {
  const [first] = failures;
  if (first === undefined) return new RedisFailure('lost', `no Redis URL to connect to (${where})`);
  if (failures.length === 1) return first;
  return new RedisFailure(first.kind, failures.map((failure) => failure.message).join('; '), { cause: first });
}
