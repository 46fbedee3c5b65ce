/**
 * The second connection to the server: what we subscribe to.
 *
 * Owns: the subscriptions, who listens to each, and their renewal after a loss. It follows the first connection: to the same server,
 * and gone while that is lost. Opened when somebody first subscribes.
 *
 * Messages published while it was away are gone; `onReady` says when to look for oneself.
 */
import type { Logger } from '../log/logger.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import type { Clock, Timer } from '../std/clock.ts';
import { RedisFailure, toRedisFailure } from './redis-failure.ts';
import type { RedisSession } from './redis-session.ts';
import type { RedisEndpoint } from './redis-url.ts';

/** `payload` is a list for `__redis__:invalidate`: the keys. */
export type RedisMessageListener = (payload: string | readonly string[], channel: string) => void;

export interface RedisSubscriberParams {
  open(endpoint: RedisEndpoint): Promise<RedisSession>;
  readonly healthCheckIntervalMs: number;
  readonly log: Logger;
  readonly clock: Clock;
}

class Topic {
  readonly name: string;
  readonly pattern: boolean;
  readonly listeners = new Set<RedisMessageListener>();
  /** At the server, on the session of this moment. */
  active = false;
  waiting: { resolve(): void; reject(failure: RedisFailure): void }[] = [];

  constructor(name: string, pattern: boolean) {
    this.name = name;
    this.pattern = pattern;
  }

  activated(): void {
    this.active = true;
    const waiting = this.waiting;
    this.waiting = [];
    for (const one of waiting) one.resolve();
  }
}

export class RedisSubscriber {
  readonly #params: RedisSubscriberParams;
  /** 'c' + channel, 'p' + pattern. */
  readonly #topics = new Map<string, Topic>();
  readonly #readyListeners = new Set<(clientId: number | null) => void>();
  #endpoint: RedisEndpoint | null = null;
  #session: RedisSession | null = null;
  #running = false;
  #opening = false;
  #failures = 0;
  #timer: Timer | undefined;
  #health: Timer | undefined;
  /** Changes with every server: what was begun for an earlier one is dropped. */
  #generation = 0;

  constructor(params: RedisSubscriberParams) {
    this.#params = params;
  }

  /** Of this connection at the server; null while there is none, or where the server does not tell. */
  get clientId(): number | null {
    return this.#session?.clientId ?? null;
  }

  get connected(): boolean {
    return this.#session !== null;
  }

  /** Called each time everything has been subscribed on a new connection. Returns how to stop listening. */
  onReady(listener: (clientId: number | null) => void): () => void {
    this.#readyListeners.add(listener);
    return () => this.#readyListeners.delete(listener);
  }

  /** Resolves when the server has it, with the way to end it. Waits through a loss; rejects when the connection is stopped. */
  subscribe(channel: string, listener: RedisMessageListener): Promise<() => Promise<void>> {
    return this.#listen(channel, false, listener);
  }

  psubscribe(pattern: string, listener: RedisMessageListener): Promise<() => Promise<void>> {
    return this.#listen(pattern, true, listener);
  }

  /** The first connection has this server now; null: none. */
  serverIs(endpoint: RedisEndpoint | null): void {
    this.#generation++;
    this.#endpoint = endpoint;
    if (endpoint !== null) this.#running = true;
    this.#drop();
    this.#failures = 0;
    this.#opening = false;
    if (endpoint !== null && this.#topics.size > 0) this.#open();
  }

  stop(): void {
    this.serverIs(null);
    this.#running = false;
    const failure = new RedisFailure('stopped', 'the connection to Redis was stopped');
    for (const topic of this.#topics.values()) for (const one of topic.waiting) one.reject(failure);
    this.#topics.clear();
  }

  async #listen(name: string, pattern: boolean, listener: RedisMessageListener): Promise<() => Promise<void>> {
    if (!this.#running) throw new RedisFailure('stopped', 'the connection to Redis is not started');
    const key = `${pattern ? 'p' : 'c'}${name}`;
    let topic = this.#topics.get(key);
    const isNew = topic === undefined;
    if (topic === undefined) {
      topic = new Topic(name, pattern);
      this.#topics.set(key, topic);
    }
    const one = topic;
    one.listeners.add(listener);
    if (!one.active) {
      const active = Promise.withResolvers<void>();
      one.waiting.push(active);
      if (this.#session === null) this.#open();
      else if (isNew) this.#send(this.#session, one);
      try {
        await active.promise;
      } catch (error) {
        one.listeners.delete(listener);
        throw error;
      }
    }
    return () => this.#unlisten(key, one, listener);
  }

  async #unlisten(key: string, topic: Topic, listener: RedisMessageListener): Promise<void> {
    if (!topic.listeners.delete(listener) || topic.listeners.size > 0 || this.#topics.get(key) !== topic) return;
    this.#topics.delete(key);
    if (this.#session === null) return;
    try {
      await (topic.pattern ? this.#session.punsubscribe(topic.name) : this.#session.unsubscribe(topic.name));
    } catch {
      // It went with the connection.
    }
  }

  #send(session: RedisSession, topic: Topic): void {
    const sent = topic.pattern ? session.psubscribe([topic.name]) : session.subscribe([topic.name]);
    sent.then(
      () => {
        if (session === this.#session) topic.activated();
      },
      (error: unknown) => this.#refused(session, topic, error),
    );
  }

  /** The server does not let us: say it to those who wait. A broken connection is repaired by `onClose`. */
  #refused(session: RedisSession, topic: Topic, error: unknown): void {
    const failure = toRedisFailure(error, session.where);
    if (failure.kind === 'lost') return;
    const waiting = topic.waiting;
    topic.waiting = [];
    this.#topics.delete(`${topic.pattern ? 'p' : 'c'}${topic.name}`);
    for (const one of waiting) one.reject(failure);
  }

  #open(): void {
    const endpoint = this.#endpoint;
    if (endpoint === null || this.#opening || this.#session !== null) return;
    this.#opening = true;
    this.#params.clock.clearTimer(this.#timer);
    const generation = this.#generation;
    this.#params.open(endpoint).then(
      (session) => {
        if (generation !== this.#generation) {
          session.drop();
          return;
        }
        this.#opening = false;
        this.#opened(session);
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        this.#opening = false;
        this.#again(toRedisFailure(error, 'subscriptions'));
      },
    );
  }

  #opened(session: RedisSession): void {
    this.#session = session;
    session.onClose((cause) => {
      if (session !== this.#session) return;
      this.#drop();
      this.#again(cause);
    });
    session.onMessage((name, isPattern, channel, payload) => {
      const topic = this.#topics.get(`${isPattern ? 'p' : 'c'}${name}`);
      if (topic !== undefined) for (const listener of [...topic.listeners]) listener(payload, channel);
    });
    this.#armHealth(session);
    this.#resubscribe(session);
  }

  #resubscribe(session: RedisSession): void {
    const topics = [...this.#topics.values()];
    const channels = topics.filter((topic) => !topic.pattern);
    const patterns = topics.filter((topic) => topic.pattern);
    const sent: Promise<void>[] = [];
    if (channels.length > 0) sent.push(session.subscribe(channels.map((topic) => topic.name)));
    if (patterns.length > 0) sent.push(session.psubscribe(patterns.map((topic) => topic.name)));
    Promise.all(sent).then(
      () => {
        if (session !== this.#session) return;
        this.#failures = 0;
        for (const topic of topics) topic.activated();
        for (const listener of [...this.#readyListeners]) listener(session.clientId);
      },
      (error: unknown) => {
        if (session !== this.#session) return;
        // One refused subscription must not take the others along.
        if (toRedisFailure(error, session.where).kind !== 'lost') for (const topic of topics) this.#send(session, topic);
      },
    );
  }

  #again(cause: RedisFailure): void {
    if (this.#endpoint === null || this.#topics.size === 0) return;
    if (this.#failures === 0)
      this.#params.log.warning('redis.subscriptions-lost', `The subscriptions were lost: ${cause.message}. Reconnecting`);
    const delayMs = backoffDelayMs({ attempt: this.#failures++, baseMs: 20, maxMs: 1000 });
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = this.#params.clock.setTimer(() => this.#open(), delayMs);
  }

  #drop(): void {
    const { clock } = this.#params;
    clock.clearTimer(this.#timer);
    clock.clearTimer(this.#health);
    this.#session?.drop();
    this.#session = null;
    for (const topic of this.#topics.values()) topic.active = false;
  }

  #armHealth(session: RedisSession): void {
    const { healthCheckIntervalMs, clock } = this.#params;
    if (healthCheckIntervalMs <= 0) return;
    const check = (): void => {
      // The socket timeout ends a connection that does not answer.
      session.ping().catch(() => {});
      this.#armHealth(session);
    };
    this.#health = clock.setTimer(check, healthCheckIntervalMs, { ref: false });
  }
}
