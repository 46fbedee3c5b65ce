/**
 * Says when lists may have got new elements, without taking anything from them.
 *
 * Owns: the server-assisted tracking of key changes (CLIENT TRACKING in broadcasting mode, Redis 6 and later), redirected to the
 * subscriber's connection, and polling where the server has none. One for all consumers of a broker, so that any number of queues
 * costs no connection of its own.
 *
 * Tracking is switched on when a consumer finds its queues empty, and off again while all are busy: a message for every publish is a
 * waste then. Whoever is told to sleep has looked after it was switched on. Once a second everybody looks anyway: a wake-up that got
 * lost (half-open connection) costs a second, not a task.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../std/clock.ts';

export interface ReadyWatchParams {
  readonly connection: RedisConnection;
  /** Part of every key: the global prefix. */
  readonly log: Logger;
  readonly clock: Clock;
}

/** One consumer's part. */
export interface Watched {
  /** Other lists than before. */
  setKeys(keys: readonly string[]): void;
  /** The last look found less than there was room for. true: sleep, `wake` will be called; false: look once more. */
  empty(): boolean;
  /** The last look found as much as there was room for. */
  busy(): void;
  stop(): void;
}

interface Member {
  keys: ReadonlySet<string>;
  asleep: boolean;
  /** Something changed while it looked: the news may be newer than what it saw. */
  changed: boolean;
  busyLooks: number;
  wake(): void;
}

const channel = '__redis__:invalidate';
const safetyLookMs = 1000;
const firstPollMs = 2;
const lastPollMs = 50;
/** Full looks in a row after which changes are of no interest. */
const busyAfterLooks = 8;

export class ReadyWatch {
  readonly #params: ReadyWatchParams;
  readonly #members = new Set<Member>();
  /** What the server tells us about: by epoch and subscriber; null: nothing. */
  #tracked: { readonly epoch: number; readonly clientId: number; readonly prefixes: string } | null = null;
  #subscription: Promise<() => Promise<void>> | null = null;
  #stopReady: (() => void) | null = null;
  #unsupported = false;
  #safety: Timer | undefined;
  #poll: Timer | undefined;
  #pollMs = firstPollMs;

  constructor(params: ReadyWatchParams) {
    this.#params = params;
  }

  /** 'poll' on servers without tracking. */
  get mode(): 'tracking' | 'poll' {
    return this.#unsupported ? 'poll' : 'tracking';
  }

  add(keys: readonly string[], wake: () => void): Watched {
    const member: Member = { keys: new Set(keys), asleep: false, changed: false, busyLooks: 0, wake };
    this.#members.add(member);
    this.#start();
    return {
      setKeys: (changed) => {
        member.keys = new Set(changed);
        this.#tracked = null;
      },
      empty: () => this.#empty(member),
      busy: () => this.#busy(member),
      stop: () => {
        this.#members.delete(member);
        if (this.#members.size === 0) this.#rest();
      },
    };
  }

  /** The connection is new: nothing is tracked, and everybody looks. */
  reconnected(): void {
    this.#tracked = null;
    this.#unsupported = false;
    this.#wakeAll();
  }

  stop(): void {
    this.#members.clear();
    this.#rest();
    this.#stopReady?.();
    this.#stopReady = null;
    this.#subscription?.then((end) => end()).catch(() => {});
    this.#subscription = null;
  }

  #start(): void {
    const { connection, clock, log } = this.#params;
    if (this.#safety === undefined) {
      const look = (): void => {
        this.#safety = clock.setTimer(look, safetyLookMs, { ref: false });
        this.#wakeAll();
      };
      this.#safety = clock.setTimer(look, safetyLookMs, { ref: false });
    }
    if (this.#subscription !== null) return;
    // On a new connection of the subscriber the old redirection leads nowhere.
    this.#stopReady = connection.subscriber.onReady(() => {
      this.#tracked = null;
      this.#wakeAll();
    });
    this.#subscription = connection.subscriber.subscribe(channel, (payload) => this.#onChange(payload));
    this.#subscription.catch((error: unknown) => {
      this.#subscription = null;
      if (connection.state === 'stopped') return;
      this.#giveUp(error, log);
    });
  }

  #rest(): void {
    const { clock, connection } = this.#params;
    clock.clearTimer(this.#safety);
    clock.clearTimer(this.#poll);
    this.#safety = undefined;
    this.#poll = undefined;
    if (this.#tracked !== null && connection.state === 'connected') this.#off();
  }

  #onChange(payload: string | readonly string[]): void {
    // Without keys: everything may have changed (FLUSHALL, or the table of the server overflowed).
    const keys = typeof payload === 'string' ? null : payload;
    for (const member of this.#members) {
      if (keys !== null && !keys.some((key) => member.keys.has(key))) continue;
      if (!member.asleep) {
        member.changed = true;
        continue;
      }
      member.asleep = false;
      member.wake();
    }
  }

  #empty(member: Member): boolean {
    member.busyLooks = 0;
    if (member.changed) {
      member.changed = false;
      return false;
    }
    if (this.#unsupported) {
      member.asleep = true;
      this.#armPoll();
      return true;
    }
    const { connection } = this.#params;
    const { clientId } = connection.subscriber;
    if (clientId === null) {
      if (connection.subscriber.connected) this.#giveUp('CLIENT ID is not answered', this.#params.log);
      // Not subscribed yet: `onReady` wakes us; until then by the clock.
      member.asleep = true;
      this.#armPoll();
      return true;
    }
    const prefixes = shortestPrefixes(this.#members);
    const wanted = prefixes.join('\n');
    const { epoch } = connection;
    if (
      this.#tracked !== null &&
      this.#tracked.epoch === epoch &&
      this.#tracked.clientId === clientId &&
      this.#tracked.prefixes === wanted
    ) {
      member.asleep = true;
      return true;
    }
    // What is tracked already, for another subscriber or other queues, would be an overlap.
    this.#off();
    this.#tracked = { epoch, clientId, prefixes: wanted };
    const words = prefixes.flatMap((prefix) => ['PREFIX', prefix]);
    connection.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', clientId, 'BCAST', ...words).catch((error: unknown) => {
      if (connection.epoch !== epoch || connection.state !== 'connected') return;
      this.#tracked = null;
      // The subscriber may have gone in between: it comes back with another id.
      if (connection.subscriber.clientId === clientId) this.#giveUp(error, this.#params.log);
    });
    return false;
  }

  #busy(member: Member): void {
    this.#pollMs = firstPollMs;
    if (++member.busyLooks < busyAfterLooks || this.#tracked === null) return;
    for (const other of this.#members) if (other.asleep) return;
    if (this.#params.connection.state === 'connected') this.#off();
  }

  #off(): void {
    this.#tracked = null;
    this.#params.connection.call('CLIENT', 'TRACKING', 'OFF').catch(() => {});
  }

  #giveUp(error: unknown, log: Logger): void {
    if (this.#unsupported) return;
    this.#unsupported = true;
    const cause = error instanceof Error ? error.message : String(error);
    log.warning('redis.polling', `The server does not tell us of new messages; idle queues are looked at every ${lastPollMs} ms: ${cause}`);
    this.#wakeAll();
  }

  #armPoll(): void {
    if (this.#poll !== undefined) return;
    const { clock } = this.#params;
    this.#poll = clock.setTimer(
      () => {
        this.#poll = undefined;
        this.#pollMs = Math.min(this.#pollMs * 1.25, lastPollMs);
        this.#wakeAll();
      },
      this.#pollMs,
      { ref: false },
    );
  }

  #wakeAll(): void {
    for (const member of [...this.#members]) {
      if (!member.asleep) continue;
      member.asleep = false;
      member.wake();
    }
  }
}

/** One prefix for all lists of a queue, none that another begins with: the server refuses overlaps. */
function shortestPrefixes(members: Iterable<Member>): string[] {
  const keys: string[] = [];
  for (const member of members) keys.push(...member.keys);
  keys.sort();
  const kept: string[] = [];
  for (const key of keys) {
    const last = kept.at(-1);
    if (last === undefined || !key.startsWith(last)) kept.push(key);
  }
  return kept;
}
