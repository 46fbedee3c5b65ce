/**
 * Being alive, as far as Redis knows: our own lease, the age of what we hold, and the leases of others that ended.
 *
 * Owns: the id of this consumer, its sign of life, and when the scores in `unacked_index` are renewed (renewal.ts), by which kombu judges.
 * What is to be renewed it asks of others; what turned out to be gone it tells them.
 *
 * Two leases, for two kinds of peers: our own workers look at the sign of life (short, `workerLeaseMs`) and give back what a dead one of
 * our kind held; kombu looks at the age of each message (`visibilityTimeoutMs`), which we renew at a quarter of that.
 *
 * Until the earlier of the two ends nobody can have taken what we hold (`heldUntilMs`). Both count from when the last thing the server
 * has confirmed was sent. A sign of life that finds our lease proves that nobody has ended it. One that has to bring us back to life
 * leaves us in doubt: others may have taken something up to then, and only a renewal behind it finds out what. Signs of life given
 * meanwhile count, however long that takes.
 */
import { randomBytes } from 'node:crypto';
import { RedisFailure } from '../../driver/redis-failure.ts';
import { backoffDelayMs } from '../../std/backoff.ts';
import type { Timer } from '../../std/clock.ts';
import { HeldUntil } from '../held-until.ts';
import { signOfLifeScript } from './lease-scripts.ts';
import { Renewal, type RenewalParams } from './renewal.ts';

export interface WorkerLeaseParams extends RenewalParams {
  readonly workerLeaseMs: number;
  /** We are alive (again) as far as the server knows. */
  onAlive(): void;
  /** `heldUntilMs` had passed and has moved on. */
  onHeld(): void;
  /** These workers are dead. */
  onDead(ids: readonly string[]): void;
  /** Our sign of life was late by the server's clock: we stood still, or the server did, or its clock was set forward. */
  onLate(): void;
}

const longestRenewalMs = 60_000;
/** Between attempts to come back to life that do not last. */
const firstPauseMs = 50;
const lastPauseMs = 2000;

export class WorkerLease {
  /** Begins every tag of ours. */
  readonly id = `umbel-${randomBytes(8).toString('hex')}`;
  readonly #params: WorkerLeaseParams;
  readonly #renewal: Renewal;
  #held = false;
  /** The server takes us for dead. */
  #ended = false;
  #life: Timer | undefined;
  #renewTimer: Timer | undefined;
  #comeback: Timer | undefined;
  readonly #heldUntil: HeldUntil;
  /** Monotonic: when others may declare us dead, unless a sign of life is confirmed before. */
  #lifeEndsAtMs = Number.NEGATIVE_INFINITY;
  /** We had to be brought back to life, and what others took before that is not known yet. */
  #inDoubt = false;
  /** Times at which there was reason for doubt. */
  #doubts = 0;
  #clearing: Promise<void> | null = null;
  /** Monotonic; the last time the server took us for dead, and how often it did so within a lease of the time before. */
  #endedAtMs = Number.NEGATIVE_INFINITY;
  #endedAgain = 0;
  /** Monotonic; others are judged only by who has been connected, and in time, for a whole lease. */
  #inTimeSinceMs: number;
  /** A sign of life was refused since the last good one. */
  #missed = false;
  /** Signs of life that were refused so far. */
  #refusals = 0;
  #saying = false;

  constructor(params: WorkerLeaseParams) {
    this.#params = params;
    this.#renewal = new Renewal(params);
    this.#inTimeSinceMs = params.clock.monotonic();
    const { clock, workerLeaseMs, visibilityTimeoutMs } = params;
    this.#heldUntil = new HeldUntil({
      clock,
      leaseMs: Math.min(workerLeaseMs, visibilityTimeoutMs),
      onHeld: () => params.onHeld(),
    });
  }

  /** Alive as far as we know: messages may be taken. */
  get held(): boolean {
    return this.#held && !this.#ended;
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
    this.#inTimeSinceMs = this.#params.clock.monotonic();
    this.#comeBack();
  }

  /** The server thinks that we are dead. Back to life at once; with a pause when that did not last for a lease. */
  revive(): void {
    this.#lifeEnded();
    if (!this.#held || this.#saying || this.#comeback !== undefined) return;
    const { clock, workerLeaseMs } = this.#params;
    const nowMs = clock.monotonic();
    this.#endedAgain = nowMs - this.#endedAtMs < workerLeaseMs ? this.#endedAgain + 1 : 0;
    this.#endedAtMs = nowMs;
    if (this.#endedAgain === 0) {
      this.#comeBack();
      return;
    }
    const delayMs = backoffDelayMs({ attempt: this.#endedAgain - 1, baseMs: firstPauseMs, maxMs: lastPauseMs });
    const retry = (): void => {
      this.#comeback = undefined;
      this.#comeBack();
    };
    this.#comeback = clock.setTimer(retry, delayMs, { ref: false });
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
    const { clock } = this.#params;
    this.#held = false;
    for (const timer of [this.#life, this.#renewTimer, this.#comeback]) clock.clearTimer(timer);
    this.#comeback = undefined;
  }

  /** Renew everything held; false when that failed. What waits for its time follows by itself. */
  async renew(): Promise<boolean> {
    const renewed = await this.#renewal.renew();
    if (renewed) this.#confirmed();
    return renewed;
  }

  #unheard(error: unknown): void {
    this.#missed = true;
    // A connection that broke has refused nothing.
    if (error instanceof RedisFailure && error.kind !== 'lost' && error.kind !== 'stopped') this.#refusals++;
  }

  /** In doubt it stays where it is. */
  #confirmed(): void {
    if (!this.#inDoubt) this.#heldUntil.moveTo(Math.min(this.#lifeEndsAtMs, this.#renewal.agesEndAtMs));
  }

  #lifeEnded(): void {
    this.#ended = true;
    this.#doubt();
    this.#lifeEndsAtMs = Number.NEGATIVE_INFINITY;
    this.#heldUntil.moveTo(Number.NEGATIVE_INFINITY);
  }

  /** The server has heard a sign of life that was sent at `sentAtMs`. */
  async #alive(sentAtMs: number): Promise<void> {
    this.#lifeEndsAtMs = Math.max(this.#lifeEndsAtMs, sentAtMs + this.#params.workerLeaseMs);
    this.#ended = false;
    if (this.#inDoubt) {
      this.#clearing ??= this.#clear().finally(() => {
        this.#clearing = null;
      });
      await this.#clearing;
    } else if (this.#params.clock.monotonic() >= this.#renewal.agesEndAtMs) await this.#renewal.renew();
    this.#confirmed();
  }

  #doubt(): void {
    this.#inDoubt = true;
    this.#doubts++;
  }

  /** It ends with a renewal that was sent after the last reason for it. */
  async #clear(): Promise<void> {
    let doubts: number;
    do {
      doubts = this.#doubts;
      if (!(await this.#renewal.renewAnew())) return;
    } while (doubts !== this.#doubts);
    this.#inDoubt = false;
  }

  async #sayAlive(revive: boolean): Promise<void> {
    const { connection, layout, workerLeaseMs, clock } = this.#params;
    const sentAtMs = clock.monotonic();
    if (revive) this.#doubt();
    const judge = sentAtMs - this.#inTimeSinceMs >= workerLeaseMs;
    const args = [this.id, workerLeaseMs / 1000, revive ? '1' : '0', judge ? '1' : '0'];
    const reply = await connection.run(signOfLifeScript, [layout.workers, layout.deadWorkers], args);
    const [standing, ...dead] = Array.isArray(reply) ? reply : [];
    if (standing !== 1 && standing !== 2) {
      this.#params.log.warning('broker.declared-dead', 'Other workers took this one for dead; what they have taken is given up');
      this.#lifeEnded();
      await this.#sayAlive(true);
      return;
    }
    if (dead.length > 0) this.#params.onDead(dead.map(String));
    if (standing === 2) this.#wasLate(sentAtMs);
    const wasEnded = this.#ended;
    await this.#alive(sentAtMs);
    if (!this.#missed && !wasEnded) return;
    // Whoever gave up meanwhile goes on: a server that refused our signs of life (out of memory, say) may have let the lease end, too.
    this.#missed = false;
    this.#params.onAlive();
  }

  /** What we hold may look too old to others, if it is not only we who were late. */
  #wasLate(sentAtMs: number): void {
    this.#inTimeSinceMs = sentAtMs;
    this.#params.onLate();
    // In doubt everything is renewed anyway.
    if (!this.#inDoubt) void this.renew();
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
    this.#renewTimer = clock.setTimer(
      () => {
        if (connection.state === 'connected') void this.renew();
        if (this.#held) this.#armRenewal();
      },
      Math.min(visibilityTimeoutMs / 4, longestRenewalMs),
      { ref: false },
    );
  }
}
