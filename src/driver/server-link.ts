/**
 * The way to a server, shared by everything in this process that is given it. Knows no protocol: what a session is, and what its failures mean, is said
 * by driver/redis.ts and driver/amqp.ts.
 *
 * Owns: who uses it, the search for a server among several endpoints, reconnecting until stopped, and the epoch.
 *
 *   stopped ──acquire──► connecting ──► connected ⇄ lost        (lost: it is trying to reconnect, without end unless told a maximum)
 *      ▲──────last release────┴────────────────┴──────┘
 *
 * The epoch counts sessions: what was asked over an earlier one has no answer any more.
 */
import type { Logger } from '../log/logger.ts';
import { backoffDelayMs } from '../std/backoff.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';

export type LinkState = 'stopped' | 'connecting' | 'connected' | 'lost';

export interface LinkOptions {
  /** Further rounds over all endpoints when none answers at the start; null: for ever. */
  readonly startRetries: number | null;
  /** Rounds after a loss before it gives up; null: it never does. 0: a loss is final. */
  readonly reconnectRetries: number | null;
  /** Order in which several endpoints are tried. */
  readonly failover: 'round-robin' | 'shuffle';
}

export interface LinkFailure extends Error {
  readonly kind: string;
}

/** One live connection to one server. */
export interface LinkSession<F> {
  /** The server for people. */
  readonly where: string;
  /** Called once, when it has ended by itself; in the same turn when that is so already. */
  onClose(listener: (cause: F) => void): void;
  /** At once, without a word; `onClose` is not called. */
  drop(): void;
}

export interface LinkParams<E, S extends LinkSession<F>, F extends LinkFailure> {
  /** For people. */
  readonly service: string;
  readonly endpoints: readonly E[];
  /** All of them for people: passwords masked. */
  readonly displayUrl: string;
  readonly options: LinkOptions;
  /** Names of what is logged. */
  readonly events: { readonly unreachable: string; readonly skipped: string; readonly lost: string; readonly connected: string };
  /** Rejects with anything that `failureOf` understands. */
  open(endpoint: E): Promise<S>;
  describe(endpoint: E): string;
  failureOf(thrown: unknown, where: string): F;
  newFailure(kind: F['kind'] | 'lost' | 'stopped', message: string, cause?: F): F;
  /** No further attempt will help. `atStart`: there has been no session since the link was stopped. */
  isFinal(failure: F, atStart: boolean): boolean;
  /** There is a session; nobody has heard of it. */
  onUp?(session: S): void;
  /** It has ended by itself; nobody has heard of it. */
  onDown?(cause: F): void;
  /** It is stopped, as everybody knows; there is no session any more. */
  onStopped?(why: F): void;
  /** Before a user goes, while there is a session. */
  drained?(): Promise<void>;
  /** An orderly end. Default: drop. */
  farewell?(session: S): Promise<void>;
  /** Another link to the same server says what becomes of it: this one does so at level debug. */
  readonly quiet?: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

const shortestDelayMs = 25;
const firstDelayMs = 50;
const lastDelayMs = 2000;
/** The same cause is said again after this long. */
const repeatLogMs = 30_000;

export class ServerLink<E, S extends LinkSession<F>, F extends LinkFailure> {
  readonly #params: LinkParams<E, S, F>;
  readonly #endpoints: readonly E[];
  readonly #clock: Clock;
  readonly #listeners = new Set<(state: LinkState, cause: F | null) => void>();
  #state: LinkState = 'stopped';
  #users = 0;
  #epoch = 0;
  #session: S | null = null;
  #endpointAt = 0;
  #isTrying = false;
  /** Acquire and release take turns. */
  #turn: Promise<void> = Promise.resolve();
  #pause: { readonly timer: Timer; wake(): void } | null = null;

  constructor(params: LinkParams<E, S, F>) {
    this.#params = params;
    this.#endpoints = params.options.failover === 'shuffle' ? shuffled(params.endpoints) : params.endpoints;
    this.#clock = params.clock ?? systemClock;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Grows with every session; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Of this epoch; null when there is none. */
  get session(): S | null {
    return this.#session;
  }

  /** A server has been asked, and may answer yet: this is no pause between attempts. */
  get isTrying(): boolean {
    return this.#isTrying;
  }

  /** The server of the session for people; all of them when there is none. */
  get where(): string {
    return this.#session?.where ?? this.#params.displayUrl;
  }

  /** That of the session, or of the last one. */
  get endpoint(): E | undefined {
    return this.#endpoints[this.#endpointAt] ?? this.#endpoints[0];
  }

  /** Returns how to stop listening. */
  onStateChange(listener: (state: LinkState, cause: F | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The first user connects. Rejects with a failure when no endpoint leads to a server that takes us. */
  acquire(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'stopped') {
        this.#users = 0;
        this.#setState('connecting', null);
        try {
          this.#connected(await this.#search(this.#params.options.startRetries, true, () => this.#state === 'connecting'));
        } catch (error) {
          const failure = this.#params.failureOf(error, this.#params.displayUrl);
          this.#setState('stopped', failure);
          throw failure;
        }
      }
      this.#users++;
    });
  }

  /** The last user ends it, in good order. */
  release(): Promise<void> {
    const { drained, farewell, service, displayUrl } = this.#params;
    return this.#inTurn(async () => {
      if (this.#users === 0) return;
      if (this.#state === 'connected') await drained?.();
      if (--this.#users > 0) return;
      const session = this.#session;
      this.#stop(this.#stopped(`the connection to ${service} was stopped (${displayUrl})`), null);
      if (session === null) return;
      if (farewell === undefined) session.drop();
      else await farewell(session);
    });
  }

  /** Drop everything at once, as a crash would. For tests, and for processes that end at once. */
  abandon(): void {
    const { service, displayUrl } = this.#params;
    this.#users = 0;
    const session = this.#session;
    this.#stop(this.#stopped(`the connection to ${service} was dropped (${displayUrl})`), null);
    session?.drop();
  }

  /** The server is known to be back: whoever waits before the next attempt need not. */
  hurry(): void {
    const pause = this.#pause;
    if (pause === null) return;
    this.#clock.clearTimer(pause.timer);
    pause.wake();
  }

  /** What to say when there is no session. */
  unavailable(): F {
    const { service, displayUrl } = this.#params;
    if (this.#state === 'stopped') return this.#stopped(`there is no connection to ${service} any more (${displayUrl})`);
    return this.#params.newFailure('lost', `there is no connection to ${service} at present (${displayUrl})`);
  }

  #stopped(message: string): F {
    return this.#params.newFailure('stopped', message);
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Round after round over all endpoints; null retries: for ever. `wanted` is asked after every wait. */
  async #search(retries: number | null, atStart: boolean, wanted: () => boolean): Promise<S> {
    const { displayUrl, describe, failureOf, isFinal, events } = this.#params;
    let lastText = '';
    let saidAtMs = 0;
    for (let round = 0; ; round++) {
      const failures: F[] = [];
      const skipped: string[] = [];
      const beganAtMs = this.#clock.monotonic();
      for (let step = 0; step < this.#endpoints.length; step++) {
        const at = (this.#endpointAt + step) % this.#endpoints.length;
        const endpoint = this.#endpoints[at];
        if (endpoint === undefined) continue;
        let session: S | null = null;
        this.#isTrying = true;
        try {
          session = await this.#params.open(endpoint);
        } catch (error) {
          failures.push(failureOf(error, describe(endpoint)));
          skipped.push(describe(endpoint));
        } finally {
          this.#isTrying = false;
        }
        if (!wanted()) {
          session?.drop();
          throw this.unavailable();
        }
        if (session !== null) {
          this.#endpointAt = at;
          if (failures.length > 0) {
            const why = this.#together(failures).message;
            this.#say('warning', events.skipped, `Cannot connect to ${skipped.join(';')}: ${why}. Taking ${session.where} instead`);
          }
          return session;
        }
      }
      const failure = this.#together(failures);
      if (failures.every((one) => isFinal(one, atStart)) || (retries !== null && round >= retries)) throw failure;
      const nowMs = this.#clock.monotonic();
      if (failure.message !== lastText || nowMs - saidAtMs > repeatLogMs) {
        const of = retries === null ? '' : ` (${round + 1}/${retries})`;
        this.#say('error', events.unreachable, `Cannot connect to ${displayUrl}: ${failure.message}. Trying again${of}`);
        lastText = failure.message;
        saidAtMs = nowMs;
      }
      // From the beginning of the round: a server that did not answer was waited for long enough.
      const delayMs = backoffDelayMs({ attempt: round, baseMs: firstDelayMs, maxMs: lastDelayMs });
      await this.#sleep(Math.max(shortestDelayMs, delayMs - (nowMs - beganAtMs)));
      if (!wanted()) throw this.unavailable();
    }
  }

  #together(failures: readonly F[]): F {
    const { service, displayUrl, newFailure } = this.#params;
    const [first] = failures;
    if (first === undefined) return newFailure('lost', `no ${service} URL to connect to (${displayUrl})`);
    if (failures.length === 1) return first;
    return newFailure(first.kind, failures.map((failure) => failure.message).join('; '), first);
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

  #connected(session: S): void {
    const epoch = ++this.#epoch;
    this.#session = session;
    session.onClose((cause) => {
      if (this.#epoch === epoch && this.#session === session) this.#onLost(cause);
    });
    if (this.#session !== session) return;
    this.#params.onUp?.(session);
    if (this.#session === session) this.#setState('connected', null);
  }

  #onLost(cause: F): void {
    const { options, events, displayUrl, failureOf, onDown } = this.#params;
    this.#session = null;
    onDown?.(cause);
    const retries = options.reconnectRetries;
    if (retries === 0) {
      this.#say('error', events.lost, cause.message);
      this.#stop(cause, cause);
      return;
    }
    this.#say('error', events.lost, `${cause.message}. Reconnecting`);
    this.#setState('lost', cause);
    const epoch = this.#epoch;
    const wanted = (): boolean => this.#state === 'lost' && this.#epoch === epoch;
    this.#search(retries, false, wanted).then(
      (session) => {
        // Whoever was told of the wait may have ended it since.
        if (!wanted()) {
          session.drop();
          return;
        }
        this.#connected(session);
        this.#say('info', events.connected, `Connected again to ${session.where}`);
      },
      (error: unknown) => {
        if (!wanted()) return;
        const failure = failureOf(error, displayUrl);
        this.#stop(failure, failure);
      },
    );
  }

  /** `cause` null: it was asked for. */
  #stop(why: F, cause: F | null): void {
    if (this.#state === 'stopped') return;
    this.#session = null;
    this.#setState('stopped', cause);
    this.hurry();
    this.#params.onStopped?.(why);
  }

  #say(level: 'error' | 'warning' | 'info', event: string, message: string): void {
    this.#params.log[this.#params.quiet === true ? 'debug' : level](event, message);
  }

  #setState(state: LinkState, cause: F | null): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state, cause);
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}
