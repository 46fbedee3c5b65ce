/**
 * The broker's claim to be alive, and the eye on those who no longer are.
 *
 * Owns: this broker's row in `umbel_consumer`, its renewal, and giving back what dead consumers held. One lease covers every
 * subscription and listener of a broker; messages carry its id. Never touches messages of its own: the subscriptions do.
 *
 * A consumer is dead when its process is gone (seen within a second on the same machine) or its lease has run out (it is
 * stopped, or it lives in another pid namespace). Wall clock times are comparable, since a WAL database is never shared
 * between machines; after a jump of the clock nobody's lease is trusted or doubted for one lease time. Who has just come cannot know of a
 * jump, and gives the others time to notice it and to renew theirs.
 *
 * What is held is certainly ours (`heldUntilMs`) for one lease time after the last renewal that was committed. A renewal that finds its
 * row proves that nothing was taken before it either: whoever takes deletes the row in the same transaction.
 */
import type { SqliteDatabase, SqliteFailure } from '../../driver/sqlite.ts';
import { type SqliteOperation, type SqliteStore, sqliteTopic } from '../../driver/sqlite-store.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import { HeldUntil } from '../held-until.ts';
import { giveBackAll } from './message-table.ts';
import { isGone, ownIdentity, type ProcessIdentity } from './process-identity.ts';
import { dropTransient } from './transient-queues.ts';

export interface LeaseParams {
  readonly store: SqliteStore;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Another process took everything we held; a new lease is on its way. */
  onLost(): void;
  /** In the transaction that takes a new lease: rows that hang on it (listeners). */
  onTake(database: SqliteDatabase, id: number): void;
  /** A (new) lease is held. */
  onTaken(): void;
  /** `heldUntilMs` had passed and has moved on. */
  onHeld(): void;
}

const longestSweepMs = 1000;
/** How long a newcomer doubts no lease: within the first sweep of this time everybody else notices that the clock was set. */
const newcomerMs = 2 * longestSweepMs;
/** A difference between wall clock and monotonic clock that only a set clock explains. */
const clockJumpMs = 1000;

const sql = {
  take: 'INSERT INTO umbel_consumer (host, pid, started, lease_until) VALUES (?, ?, ?, ?)',
  renew: 'UPDATE umbel_consumer SET lease_until = ? WHERE id = ?',
  exists: 'SELECT 1 FROM umbel_consumer WHERE id = ?',
  all: 'SELECT id, host, pid, started, lease_until FROM umbel_consumer',
  bury: 'DELETE FROM umbel_consumer WHERE id = ? AND lease_until = ?',
  drop: 'DELETE FROM umbel_consumer WHERE id = ?',
  orphans:
    'SELECT DISTINCT umbel_owner FROM kombu_message WHERE umbel_owner > 0 AND umbel_owner NOT IN (SELECT id FROM umbel_consumer) LIMIT 10',
  dropListeners: 'DELETE FROM umbel_listener WHERE consumer = ?',
} as const;

/** Is this lease still in the table? Asked inside every claim: a message claimed for a lost lease would never come back. */
export function leaseExists(database: SqliteDatabase, id: number): boolean {
  return database.prepare(sql.exists).get(id) !== undefined;
}

export class Lease {
  readonly #params: LeaseParams;
  readonly #own: ProcessIdentity = ownIdentity();
  #id: number | null = null;
  #taking: Promise<void> | null = null;
  #timer: Timer | undefined;
  #renewAtMs = 0;
  /** Wall clock minus monotonic clock at the last sweep. */
  #clockOffsetMs: number;
  #trustExpiryFromMs = 0;
  readonly #heldUntil: HeldUntil;

  constructor(params: LeaseParams) {
    this.#params = params;
    this.#heldUntil = new HeldUntil({ clock: params.clock, leaseMs: params.leaseMs, onHeld: () => params.onHeld() });
    this.#clockOffsetMs = params.clock.now() - params.clock.monotonic();
  }

  /** Owner id on messages and epoch of deliveries; null while there is none. */
  get id(): number | null {
    return this.#id;
  }

  /** Monotonic; until then nobody else can have what is held. */
  get heldUntilMs(): number {
    return this.#heldUntil.ms;
  }

  /** Have a lease. Rejects with SqliteFailure. */
  hold(): Promise<void> {
    if (this.#id !== null) return Promise.resolve();
    this.#taking ??= this.#take().finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  async #take(): Promise<void> {
    const { store, leaseMs, clock } = this.#params;
    let takenAtMs = 0;
    this.#id = await store.write((database) => {
      takenAtMs = clock.monotonic();
      const id = database.prepare(sql.take).insert(this.#own.host, this.#own.pid, this.#own.started, clock.now() + leaseMs);
      this.#params.onTake(database, id);
      return id;
    });
    this.#renewAtMs = clock.monotonic() + leaseMs / 3;
    if (this.#timer === undefined) {
      this.#trustExpiryFromMs = takenAtMs + newcomerMs;
      this.#arm();
    }
    this.#heldUntil.moveTo(takenAtMs + leaseMs);
    this.#sweep();
    this.#params.onTaken();
  }

  /** Forget the lease without giving it up in the file: the file is gone from us. */
  stop(): void {
    this.#params.clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#id = null;
  }

  #arm(): void {
    const { clock, leaseMs } = this.#params;
    const tick = () => {
      this.#arm();
      this.#tick();
    };
    // Keeps the process alive, as the socket to a broker would.
    this.#timer = clock.setTimer(tick, Math.min(longestSweepMs, leaseMs / 3));
  }

  /** Resolves when no lease is being taken. */
  async settled(): Promise<void> {
    await this.#taking?.catch(() => {});
  }

  /** Give it up, enqueued at once. What its subscriptions held must have been given back in an earlier operation of the same turn. */
  async drop(): Promise<void> {
    const id = this.#id;
    this.stop();
    if (id === null) return;
    await this.#params.store.write((database) => {
      giveBackAll(database, id);
      dropTransient(database, id);
      database.prepare(sql.dropListeners).run(id);
      database.prepare(sql.drop).run(id);
    });
  }

  /** Now rather than at the next tick: after the file came back, or a claim found the lease gone. */
  renew(): void {
    const { store, leaseMs, clock } = this.#params;
    const id = this.#id;
    if (id === null) return;
    this.#renewAtMs = clock.monotonic() + leaseMs / 3;
    let held = false;
    let renewedAtMs = 0;
    const renewal: SqliteOperation = {
      topics: 0,
      keep: false,
      run: (database) => {
        renewedAtMs = clock.monotonic();
        held = database.prepare(sql.renew).run(clock.now() + leaseMs, id) === 1;
      },
      committed: () => {
        if (this.#id !== id) return;
        if (held) this.#heldUntil.moveTo(renewedAtMs + leaseMs);
        else this.#lost();
      },
      // The store has said so already, and calls again when the file is back.
      failed: () => {},
    };
    store.enqueue(renewal);
  }

  #lost(): void {
    this.#id = null;
    this.#heldUntil.moveTo(Number.NEGATIVE_INFINITY);
    this.#params.log.warning(
      'broker.lease-lost',
      'The lease on the embedded broker was lost: this process stood still for too long, or the file was replaced; what it held goes to others',
    );
    this.#params.onLost();
    this.hold().catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#params.log.error('broker.lease-failed', `No new lease on the embedded broker: ${text}; trying again`);
  }

  #tick(): void {
    if (this.#id === null) {
      this.hold().catch((error: unknown) => this.#failed(error));
      return;
    }
    // Its own lease first: a process that stood still must not judge others by a clock it has not looked at for long.
    if (this.#params.clock.monotonic() >= this.#renewAtMs) this.renew();
    this.#sweep();
  }

  #sweep(): void {
    const nowMs = this.#params.clock.now();
    const offsetMs = nowMs - this.#params.clock.monotonic();
    if (Math.abs(offsetMs - this.#clockOffsetMs) > clockJumpMs) {
      this.#trustExpiryFromMs = this.#params.clock.monotonic() + this.#params.leaseMs;
      this.renew();
    }
    this.#clockOffsetMs = offsetMs;
    const trustExpiry = this.#params.clock.monotonic() >= this.#trustExpiryFromMs;
    const consumers = this.#params.store.peek((database) => database.prepare(sql.all).all(), []);
    for (const [id, host, pid, started, leaseUntil] of consumers) {
      if (id === this.#id) continue;
      const other = { host: String(host), pid: Number(pid), started: started === null || started === undefined ? null : String(started) };
      if (isGone(other, this.#own)) this.#bury(Number(id), Number(leaseUntil), `its process ${other.pid} is gone`);
      else if (trustExpiry && Number(leaseUntil) < nowMs) this.#bury(Number(id), Number(leaseUntil), 'its lease has run out');
    }
    const orphans = this.#params.store.peek((database) => database.prepare(sql.orphans).all(), []);
    for (const [owner] of orphans) this.#bury(Number(owner), null, 'it has no lease');
  }

  /** Give back what a dead consumer held, in its old place, if nobody else did and it has not renewed meanwhile. */
  #bury(id: number, leaseUntilMs: number | null, reason: string): void {
    let count = 0;
    this.#params.store
      .write(
        (database) => {
          count = 0;
          if (leaseUntilMs !== null && database.prepare(sql.bury).run(id, leaseUntilMs) === 0) return;
          if (leaseUntilMs === null && leaseExists(database, id)) return;
          count = giveBackAll(database, id);
          dropTransient(database, id);
          database.prepare(sql.dropListeners).run(id);
        },
        { topics: sqliteTopic.message },
      )
      .then(
        () => {
          if (count > 0)
            this.#params.log.info(
              'broker.reclaimed',
              `Gave back ${count} ${count === 1 ? 'message' : 'messages'} of consumer ${id}: ${reason}`,
              { count },
            );
        },
        (failure: SqliteFailure) =>
          this.#params.log.warning(
            'broker.reclaim-failed',
            `Consumer ${id} is dead (${reason}), and what it held is not given back yet: ${failure.message}`,
          ),
      );
  }
}
