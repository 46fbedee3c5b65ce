/**
 * The connection to a Redis server, shared by everything in this process that uses the same URL.
 *
 * Owns: what is asked over it, and the look at the health of the connection. States, search and reconnecting are server-link.ts; what waits meanwhile is
 * redis-outbox.ts, the second connection for subscriptions redis-subscriber.ts.
 */
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { RedisFailure, type RedisFailureKind, toRedisFailure } from './redis-failure.ts';
import { type RedisOperation, RedisOutbox } from './redis-outbox.ts';
import type { RedisRemoval } from './redis-removal.ts';
import { evalCommand, type RedisArgument, type RedisCommand, type RedisScript } from './redis-script.ts';
import { type RedisServer, RedisSession } from './redis-session.ts';
import { RedisSubscriber } from './redis-subscriber.ts';
import { describeEndpoint, placeKey, type RedisEndpoint, type RedisPlace } from './redis-url.ts';
import { type LinkOptions, type LinkState, ServerLink } from './server-link.ts';

export type RedisState = LinkState;

/** How to connect; Celery's names for them stand in the settings table. */
export interface RedisConnectOptions extends LinkOptions {
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
}

const defaultRedisOptions: RedisConnectOptions = {
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

const defaultMaxWaiting = 20_000;
const defaultMaxWaitingBytes = 64 * 1024 * 1024;
/** No attempt will ever help; and none at the start, before it has worked once. */
const finalKinds: ReadonlySet<RedisFailureKind> = new Set(['cluster', 'version']);
const finalAtStart: ReadonlySet<RedisFailureKind> = new Set(['cluster', 'version', 'config']);

type StateListener = (state: RedisState, cause: RedisFailure | null) => void;

export class RedisConnection {
  /** For people: passwords masked. */
  readonly displayUrl: string;
  /** Equal for connections to the same database. */
  readonly key: string;
  readonly subscriber: RedisSubscriber;
  readonly #options: RedisConnectOptions;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #outbox: RedisOutbox;
  readonly #link: ServerLink<RedisEndpoint, RedisSession, RedisFailure>;
  #health: Timer | undefined;
  #warnedEviction = false;
  #removals: RedisRemoval[] | null = null;

  constructor(params: RedisConnectionParams) {
    const { place, log } = params;
    this.#options = { ...defaultRedisOptions, ...params.options, ...fromUrl(place) };
    this.#log = log;
    this.#clock = params.clock ?? systemClock;
    this.displayUrl = place.endpoints.map(describeEndpoint).join(';');
    this.key = placeKey(place, this.#options.masterName);
    this.#outbox = new RedisOutbox({
      log,
      maxWaiting: params.maxWaiting ?? defaultMaxWaiting,
      maxWaitingBytes: params.maxWaitingBytes ?? defaultMaxWaitingBytes,
      onReadonly: (failure) => this.#link.session?.fail(failure),
    });
    const open = (endpoint: RedisEndpoint): Promise<RedisSession> => RedisSession.open({ ...this.#options, endpoint });
    this.subscriber = new RedisSubscriber({ open, healthCheckIntervalMs: this.#options.healthCheckIntervalMs, log, clock: this.#clock });
    this.#link = new ServerLink({
      service: 'Redis',
      endpoints: place.endpoints,
      displayUrl: this.displayUrl,
      options: this.#options,
      events: { unreachable: 'redis.unreachable', skipped: 'redis.skipped', lost: 'redis.lost', connected: 'redis.connected' },
      open,
      describe: describeEndpoint,
      failureOf: toRedisFailure,
      newFailure: (kind, message, cause) => new RedisFailure(kind, message, { cause }),
      isFinal: ({ kind }, atStart) => (atStart ? finalAtStart : finalKinds).has(kind),
      onUp: (session) => {
        this.#outbox.connected(session);
        this.subscriber.serverIs(session.endpoint);
        this.#checkEviction(session);
        this.#armHealth();
      },
      onDown: (cause) => {
        this.#clock.clearTimer(this.#health);
        this.#outbox.lost(cause.kind === 'lost' ? cause : new RedisFailure('lost', cause.message, { cause }));
        this.subscriber.serverIs(null);
      },
      onStopped: (why) => {
        this.#clock.clearTimer(this.#health);
        this.#outbox.lost(new RedisFailure('stopped', why.message, { cause: why }));
        this.subscriber.stop();
      },
      drained: () => this.#outbox.drained(),
      log,
      clock: this.#clock,
    });
  }

  get state(): RedisState {
    return this.#link.state;
  }

  /** The server for people; all URLs when there is no connection. */
  get where(): string {
    return this.#link.where;
  }

  /** Grows with every connection; 0 before the first. */
  get epoch(): number {
    return this.#link.epoch;
  }

  /** The server of this epoch; null when there is no connection. */
  get server(): RedisServer | null {
    return this.#link.session?.server ?? null;
  }

  /** The database number of the server in use. */
  get db(): number {
    return this.#link.endpoint?.db ?? 0;
  }

  /** Operations kept for a server that is lost or refuses. */
  get waiting(): number {
    return this.#outbox.waiting;
  }

  /** Returns how to stop listening. */
  onStateChange(listener: StateListener): () => void {
    return this.#link.onStateChange(listener);
  }

  /** The first user connects. Rejects with a RedisFailure when no URL leads to a server that takes us. */
  acquire(): Promise<void> {
    return this.#link.acquire();
  }

  /** What was enqueued is sent and answered, as long as there is a connection; the last user closes it. */
  release(): Promise<void> {
    return this.#link.release();
  }

  /** Drop everything at once, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    this.#link.abandon();
  }

  /** Give this connection up and make another, as if the network had failed. */
  reconnect(reason: string): void {
    this.#link.session?.fail(new RedisFailure('lost', `the connection to Redis was given up: ${reason} (${this.displayUrl})`));
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
