/**
 * Says when lists may have got new elements, without taking anything from them.
 *
 * Owns: the server-assisted tracking of keys (CLIENT TRACKING with OPTIN, Redis 6 and later), redirected to the subscriber's connection, and
 * polling where the server has none. One for all consumers of a broker, so that any number of queues costs no connection of its own.
 *
 * Whoever is about to sleep has the server look at its lists (EXISTS behind CLIENT CACHING YES): it learns whether they are empty, and the
 * first change of one of them after that is announced, once. Busy queues and all other keys, results above all, cost no message.
 * Once a second everybody looks anyway: a wake-up that got lost (half-open connection) costs a second, not a task.
 *
 * What we put back for others (`leaveToOthers`) would most often come to ourselves: we are awake and hear of it first. For a moment it wakes nobody
 * here; whatever else comes into the same list does, because each announcement of that list is then looked into.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import type { RedisCommand } from '../../driver/redis-script.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../std/clock.ts';

export interface ReadyWatchParams {
  readonly connection: RedisConnection;
  readonly log: Logger;
  readonly clock: Clock;
}

/** One consumer's part. */
export interface Watched {
  /** Other lists than before. */
  setKeys(keys: readonly string[]): void;
  /** The last look found less than there was room for. true: sleep, `wake` will be called; false: look once more. */
  empty(): boolean;
  /** The server did not let it look, and would not now either: sleep, `wake` is called with the next look by the clock. */
  refused(): void;
  /** The last look found something: where looks are by the clock, the next ones come soon. */
  busy(): void;
  stop(): void;
}

interface Member {
  keys: ReadonlySet<string>;
  asleep: boolean;
  /** Something changed while it looked: the news may be newer than what it saw. */
  changed: boolean;
  /** The server has been asked to look at the lists, behind everything sent so far. */
  looking: boolean;
  /** Put back by us, and so many: they alone are no reason to wake. null: nothing is. */
  left: { readonly key: string; count: number } | null;
  wake: Wake;
}

/** `key`: of all the lists only this one may have got something, for all that is known. null: any of them. */
type Wake = (key: string | null) => void;

const channel = '__redis__:invalidate';
const safetyLookMs = 1000;
const firstPollMs = 2;
const lastPollMs = 50;
/** For others to be quicker: a round trip to a server that is far away, on a busy machine. */
const leaveMs = 250;
/** Said of a subscriber that is gone, which its own connection may tell us a moment later; by servers behind a proxy of every one. */
const saysGone = /you want redirect to does not exist|CACHING can be called only/i;

export class ReadyWatch {
  readonly #params: ReadyWatchParams;
  readonly #members = new Set<Member>();
  /** What the server tells us about: by epoch and subscriber; null: nothing. */
  #tracked: { readonly epoch: number; readonly clientId: number } | null = null;
  /** A subscriber that the server did not know, and until when it is not asked again. */
  #unknown: { readonly clientId: number; readonly untilMs: number } | null = null;
  #subscription: Promise<() => Promise<void>> | null = null;
  #stopReady: (() => void) | null = null;
  #unsupported = false;
  #safety: Timer | undefined;
  #poll: Timer | undefined;
  #pollMs = firstPollMs;
  #leaving: Timer | undefined;

  constructor(params: ReadyWatchParams) {
    this.#params = params;
  }

  /** 'poll' on servers without tracking. */
  get mode(): 'tracking' | 'poll' {
    return this.#unsupported ? 'poll' : 'tracking';
  }

  add(keys: readonly string[], wake: Wake): Watched {
    const member: Member = { keys: new Set(keys), asleep: false, changed: false, looking: false, left: null, wake };
    this.#members.add(member);
    this.#start();
    return {
      setKeys: (changed) => {
        member.keys = new Set(changed);
      },
      empty: () => this.#empty(member),
      refused: () => {
        // Also when something has changed meanwhile: who is taken to be awake is never woken.
        member.changed = false;
        member.asleep = true;
      },
      busy: () => {
        this.#pollMs = firstPollMs;
      },
      stop: () => {
        this.#members.delete(member);
        if (this.#members.size === 0) this.#rest();
      },
    };
  }

  /** What is pushed to this list next is for whoever else waits there; our own consumers take it when nobody has, or when they look anyway. */
  leaveToOthers(key: string): void {
    // Looking by the clock, they are no quicker than others.
    if (this.#unsupported) return;
    const { clock } = this.#params;
    for (const member of this.#members) {
      if (!member.keys.has(key)) continue;
      if (member.left?.key === key) member.left.count++;
      // One list at a time: with two of them the second is taken as it comes.
      else member.left ??= { key, count: 1 };
      this.#leaving ??= clock.setTimer(() => this.#endLeaving(), leaveMs, { ref: false });
    }
  }

  #endLeaving(): void {
    this.#leaving = undefined;
    for (const member of [...this.#members]) {
      const { left } = member;
      member.left = null;
      if (left !== null && member.asleep) this.#wake(member, left.key);
    }
  }

  /** The connection is new: nothing is tracked, and everybody looks. */
  reconnected(): void {
    this.#tracked = null;
    this.#unsupported = false;
    this.#wakeAll();
  }

  /** As if nothing were tracked: what the server has been told is told anew, and everybody looks. */
  rebuild(): void {
    const { connection } = this.#params;
    if (connection.state === 'connected') this.#off();
    this.#unsupported = false;
    for (const member of this.#members) {
      member.looking = false;
      member.asleep = true;
    }
    this.#armSafety();
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
    const { connection, log } = this.#params;
    if (this.#safety === undefined) this.#armSafety();
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

  #armSafety(): void {
    const { clock } = this.#params;
    clock.clearTimer(this.#safety);
    const look = (): void => {
      this.#armSafety();
      // Who leaves something to others looks in a moment anyway.
      for (const member of [...this.#members]) if (member.asleep && member.left === null) this.#wake(member);
    };
    this.#safety = clock.setTimer(look, safetyLookMs, { ref: false });
  }

  #rest(): void {
    const { clock, connection } = this.#params;
    clock.clearTimer(this.#safety);
    clock.clearTimer(this.#poll);
    clock.clearTimer(this.#leaving);
    this.#leaving = undefined;
    this.#safety = undefined;
    this.#poll = undefined;
    if (this.#tracked !== null && connection.state === 'connected') this.#off();
  }

  #onChange(payload: string | readonly string[]): void {
    // Without keys: everything may have changed (FLUSHALL, or the table of the server overflowed).
    const keys = typeof payload === 'string' ? null : payload;
    for (const member of this.#members) {
      const changed = keys?.filter((key) => member.keys.has(key));
      if (changed?.length === 0) continue;
      if (!member.asleep) {
        member.changed = true;
        continue;
      }
      const key = changed?.length === 1 ? changed[0] : undefined;
      if (key !== undefined && member.left?.key === key && this.#track()) this.#look(member);
      else this.#wake(member, key);
    }
  }

  #empty(member: Member): boolean {
    if (member.changed) {
      member.changed = false;
      return false;
    }
    member.asleep = true;
    if (!member.looking) {
      if (this.#track()) this.#look(member);
      // Not told by the server, or not yet (`onReady` wakes us then): by the clock.
      else this.#armPoll();
    }
    return true;
  }

  /** Whether the server tells us of what it has looked at for us, from the next command on. */
  #track(): boolean {
    if (this.#unsupported) return false;
    const { connection, log } = this.#params;
    const { subscriber, epoch } = connection;
    const { clientId } = subscriber;
    if (clientId === null) {
      if (subscriber.connected) this.#giveUp('CLIENT ID is not answered', log);
      return false;
    }
    if (this.#tracked?.epoch === epoch && this.#tracked.clientId === clientId) return true;
    if (this.#unknown?.clientId === clientId && this.#params.clock.monotonic() < this.#unknown.untilMs) return false;
    if (this.#tracked?.epoch === epoch) this.#off();
    this.#tracked = { epoch, clientId };
    connection.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', clientId, 'OPTIN').catch((error: unknown) => {
      if (connection.epoch !== epoch || connection.state !== 'connected') return;
      this.#tracked = null;
      this.#failed(error, clientId);
    });
    return true;
  }

  #look(member: Member): void {
    const { connection } = this.#params;
    const { epoch } = connection;
    const tracked = this.#tracked;
    member.looking = true;
    const look: RedisCommand[] = [
      ['CLIENT', 'CACHING', 'YES'],
      ['EXISTS', ...member.keys],
    ];
    /** What had been left when it looked; more may have been since. */
    let left = 0;
    connection.enqueue({
      keep: false,
      atomic: false,
      // Most often with the result of the only task there was: a write of its own would cost both sides more than the look itself.
      patient: true,
      bytes: 0,
      commands: () => {
        if (member.keys.size === 0) return [];
        if (member.left === null) return look;
        left = member.left.count;
        return [...look, ['LLEN', member.left.key]];
      },
      done: ([, found, length]) => {
        member.looking = false;
        if (Number(found ?? 0) === 0) taken(member, left);
        else if (member.asleep && (Number(found) > 1 || Number(length ?? 0) > left || left === 0)) this.#wake(member);
      },
      failed: (failure) => {
        member.looking = false;
        // What was asked before the tracking changed fails with it; a new connection wakes everybody.
        if (connection.epoch !== epoch || connection.state !== 'connected') return;
        if (tracked !== null && tracked === this.#tracked) {
          this.#tracked = null;
          this.#failed(failure, tracked.clientId);
        }
        if (member.asleep) this.#wake(member);
      },
    });
  }

  /** The server does not tell this subscriber. It may be gone, and comes back with another id: until that shows it is not asked for. */
  #failed(error: unknown, clientId: number): void {
    const { connection, clock, log } = this.#params;
    if (connection.subscriber.clientId !== clientId) return;
    const nowMs = clock.monotonic();
    const known = this.#unknown?.clientId === clientId ? this.#unknown : null;
    if (known !== null && nowMs < known.untilMs) return;
    if (known === null && error instanceof Error && saysGone.test(error.message))
      this.#unknown = { clientId, untilMs: nowMs + safetyLookMs };
    else this.#giveUp(error, log);
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
      if (member.asleep) this.#wake(member);
    }
  }

  #wake(member: Member, key?: string): void {
    member.asleep = false;
    member.wake(key ?? null);
  }
}

/** By others: so many of what was left. */
function taken(member: Member, count: number): void {
  if (member.left === null) return;
  member.left.count -= count;
  if (member.left.count <= 0 && count > 0) member.left = null;
}
