/**
 * Being alive, as far as Redis knows: our own lease, the age of what we hold, and the leases of others that ended.
 *
 * Owns: the id of this consumer, its sign of life, and the renewal of the scores in `unacked_index`, by which kombu judges. What is to be
 * renewed it asks of others; what turned out to be gone it tells them.
 *
 * Two leases, for two kinds of peers: our own workers look at the sign of life (short, `workerLeaseMs`) and give back what a dead one of
 * our kind held; kombu looks at the age of each message (`visibilityTimeoutMs`), which we renew at a quarter of that.
 *
 * Until the earlier of the two ends nobody can have taken what we hold (`heldUntilMs`). Both count from when the last thing the server
 * has confirmed was sent. Past it, a sign of life and then a renewal of everything must have come back before it moves on: the first
 * ends what others may take, the second finds what they have taken.
 */
import { randomBytes } from 'node:crypto';
import type { RedisConnection } from '../../driver/redis.ts';
import { RedisFailure } from '../../driver/redis-failure.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import { HeldUntil } from '../held-until.ts';
import type { KeyLayout } from './key-layout.ts';
import { renewScript, signOfLifeScript } from './lease-scripts.ts';

export interface WorkerLeaseParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly workerLeaseMs: number;
  readonly visibilityTimeoutMs: number;
  readonly log: Logger;
  readonly clock: Clock;
  /** The tags of everything held or deferred. */
  heldTags(): Iterable<string>;
  /** Somebody else has these now. */
  onGone(tags: readonly string[]): void;
  /** We are alive (again) as far as the server knows. */
  onAlive(): void;
  /** `heldUntilMs` had passed and has moved on. */
  onHeld(): void;
  /** These workers are dead. */
  onDead(ids: readonly string[]): void;
}

/** Tags in one call: it holds up everybody else for about a millisecond. */
const renewAtOnce = 1000;
const longestRenewalMs = 60_000;

export class WorkerLease {
  /** Begins every tag of ours. */
  readonly id = `umbel-${randomBytes(8).toString('hex')}`;
  readonly #params: WorkerLeaseParams;
  #held = false;
  #life: Timer | undefined;
  #renewal: Timer | undefined;
  #renewing: Promise<boolean> | null = null;
  readonly #heldUntil: HeldUntil;
  /** Monotonic: when others may declare us dead, and when what we hold is old enough for them; each unless it is confirmed again before. */
  #lifeEndsAtMs = Number.NEGATIVE_INFINITY;
  #agesEndAtMs = Number.NEGATIVE_INFINITY;
  /** Monotonic; others are judged only by who has been listening for a whole lease. */
  #connectedAtMs: number;
  /** A sign of life was refused since the last good one. */
  #missed = false;
  /** Signs of life that were refused so far. */
  #refusals = 0;
  #saying = false;

  constructor(params: WorkerLeaseParams) {
    this.#params = params;
    this.#connectedAtMs = params.clock.monotonic();
    const { clock, workerLeaseMs, visibilityTimeoutMs } = params;
    this.#heldUntil = new HeldUntil({
      clock,
      leaseMs: Math.min(workerLeaseMs, visibilityTimeoutMs),
      onHeld: () => params.onHeld(),
    });
  }

  get held(): boolean {
    return this.#held;
  }

  /** Monotonic; until then nobody else can have what is held. */
  get heldUntilMs(): number {
    return this.#heldUntil.ms;
  }

  get refusals(): number {
    return this.#refusals;
  }

  /** Register. Rejects with a RedisFailure. */
  async hold(): Promise<void> {
    if (this.#held) return;
    await this.#sayAlive(true);
    if (this.#held) return;
    this.#held = true;
    this.#armLife();
    this.#armRenewal();
  }

  /** The connection is new: say that we live, and find out what is still ours. */
  reconnected(): void {
    this.#connectedAtMs = this.#params.clock.monotonic();
    this.#comeBack();
  }

  /** The server thinks that we are dead. */
  revive(): void {
    this.#lifeEnded();
    this.#comeBack();
  }

  #comeBack(): void {
    if (!this.#held || this.#saying) return;
    this.#saying = true;
    this.#sayAlive(true).then(
      () => {
        this.#saying = false;
        this.#params.onAlive();
      },
      (error: unknown) => {
        this.#saying = false;
        this.#unheard(error);
      },
    );
  }

  /** Nothing of ours is left. */
  async drop(): Promise<void> {
    const wasHeld = this.#held;
    this.stop();
    if (wasHeld) await this.#params.connection.call('ZREM', this.#params.layout.workers, this.id);
  }

  stop(): void {
    this.#held = false;
    this.#params.clock.clearTimer(this.#life);
    this.#params.clock.clearTimer(this.#renewal);
  }

  /** Renew everything held, in steps; false when that failed. */
  renew(): Promise<boolean> {
    this.#renewing ??= this.#renewAll()
      .then(
        () => true,
        (error: unknown) => {
          // The next round, or the reconnect, tries again; both are well before the timeout.
          if (this.#params.connection.state === 'connected') {
            this.#params.log.warning('broker.renewal', `Held messages could not be renewed: ${messageOf(error)}`);
          }
          return false;
        },
      )
      .finally(() => {
        this.#renewing = null;
      });
    return this.#renewing;
  }

  #unheard(error: unknown): void {
    this.#missed = true;
    // A connection that broke has refused nothing.
    if (error instanceof RedisFailure && error.kind !== 'lost' && error.kind !== 'stopped') this.#refusals++;
  }

  async #renewAll(): Promise<void> {
    const { connection, layout, clock, visibilityTimeoutMs } = this.#params;
    const beganAtMs = clock.monotonic();
    let step: string[] = [];
    const send = async (): Promise<void> => {
      const tags = step;
      step = [];
      const gone = await connection.run(renewScript, [layout.unackedIndex], tags);
      if (!Array.isArray(gone) || gone.length === 0) return;
      this.#params.onGone(gone.map((at) => tags[Number(at) - 1] ?? ''));
    };
    // A copy: what is held changes while we wait.
    for (const tag of [...this.#params.heldTags()]) {
      step.push(tag);
      if (step.length === renewAtOnce) await send();
    }
    if (step.length > 0) await send();
    this.#agesEndAtMs = beganAtMs + visibilityTimeoutMs;
    this.#confirmed();
  }

  #confirmed(): void {
    this.#heldUntil.moveTo(Math.min(this.#lifeEndsAtMs, this.#agesEndAtMs));
  }

  #lifeEnded(): void {
    this.#lifeEndsAtMs = Number.NEGATIVE_INFINITY;
    this.#confirmed();
  }

  /** The server has heard a sign of life that was sent at `sentAtMs`. */
  async #alive(sentAtMs: number, revived: boolean): Promise<void> {
    if (revived || this.#heldUntil.passed) {
      // A renewal under way has not seen what was taken up to now.
      await this.#renewing;
      if (!(await this.renew())) return;
    }
    this.#lifeEndsAtMs = sentAtMs + this.#params.workerLeaseMs;
    this.#confirmed();
  }

  async #sayAlive(revive: boolean): Promise<void> {
    const { connection, layout, workerLeaseMs, clock } = this.#params;
    const sentAtMs = clock.monotonic();
    const judge = sentAtMs - this.#connectedAtMs >= workerLeaseMs;
    const args = [this.id, workerLeaseMs / 1000, revive ? '1' : '0', judge ? '1' : '0'];
    const reply = await connection.run(signOfLifeScript, [layout.workers, layout.deadWorkers], args);
    if (!Array.isArray(reply) || reply[0] !== 1) {
      this.#params.log.warning('broker.declared-dead', 'Other workers took this one for dead; what they have taken is given up');
      this.#lifeEnded();
      await this.#sayAlive(true);
      this.#params.onAlive();
      return;
    }
    if (reply.length > 1) this.#params.onDead(reply.slice(1).map(String));
    await this.#alive(sentAtMs, revive);
    if (!this.#missed) return;
    // A server that refused our signs of life (out of memory, say) may have let the lease end: whoever gave up meanwhile goes on.
    this.#missed = false;
    this.#params.onAlive();
  }

  #armLife(): void {
    const { clock, workerLeaseMs, connection } = this.#params;
    this.#life = clock.setTimer(
      () => {
        if (connection.state === 'connected') {
          this.#sayAlive(false).catch((error: unknown) => this.#unheard(error));
        }
        if (this.#held) this.#armLife();
      },
      workerLeaseMs / 3,
      { ref: false },
    );
  }

  #armRenewal(): void {
    const { clock, visibilityTimeoutMs, connection } = this.#params;
    this.#renewal = clock.setTimer(
      () => {
        if (connection.state === 'connected') void this.renew();
        if (this.#held) this.#armRenewal();
      },
      Math.min(visibilityTimeoutMs / 4, longestRenewalMs),
      { ref: false },
    );
  }
}
