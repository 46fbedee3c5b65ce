/**
 * Renewing the scores in `unacked_index`: the age of what we hold, by which kombu judges.
 *
 * Owns the order: first what runs or may be started, which decides until when starts are safe (`agesEndAtMs`), then what waits for its
 * due time. Of that there may be hundreds of thousands, and nothing of it is started before it has been renewed once more (fetchScript).
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Clock } from '../../std/clock.ts';
import type { KeyLayout } from './key-layout.ts';
import { renewScript } from './lease-scripts.ts';

export interface RenewalParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly visibilityTimeoutMs: number;
  readonly log: Logger;
  readonly clock: Clock;
  /** The tags of everything that runs or may be started. */
  heldTags(): Iterable<string>;
  /** The tags of everything that waits for its due time. */
  deferredTags(): Iterable<string>;
  /** Somebody else has these now. */
  onGone(tags: readonly string[]): void;
}

/** Tags in one call: it holds up everybody else for about a millisecond. */
const renewAtOnce = 1000;

export class Renewal {
  readonly #params: RenewalParams;
  #agesEndAtMs = Number.NEGATIVE_INFINITY;
  #held: Promise<boolean> | null = null;
  #deferring = false;

  constructor(params: RenewalParams) {
    this.#params = params;
  }

  /** Monotonic: when what runs or may be started is old enough for others, counted from when the last complete renewal of it began. */
  get agesEndAtMs(): number {
    return this.#agesEndAtMs;
  }

  /** Resolves when all that runs or may be started has been looked after, the rest is on its way; false when that failed. Joins one under way. */
  renew(): Promise<boolean> {
    this.#held ??= this.#renewHeld().finally(() => {
      this.#held = null;
    });
    return this.#held;
  }

  /** As `renew`, and it begins after this call: one under way has not seen what was taken up to now. */
  async renewAnew(): Promise<boolean> {
    await this.#held;
    return this.renew();
  }

  async #renewHeld(): Promise<boolean> {
    const { clock, visibilityTimeoutMs } = this.#params;
    const beganAtMs = clock.monotonic();
    if (!(await this.#inSteps(this.#params.heldTags()))) return false;
    this.#agesEndAtMs = beganAtMs + visibilityTimeoutMs;
    void this.#renewDeferred();
    return true;
  }

  async #renewDeferred(): Promise<void> {
    if (this.#deferring) return;
    this.#deferring = true;
    await this.#inSteps(this.#params.deferredTags());
    this.#deferring = false;
  }

  async #inSteps(tags: Iterable<string>): Promise<boolean> {
    const { connection, layout, log, onGone } = this.#params;
    // A copy: what is held changes while we wait.
    const all = [...tags];
    try {
      for (let at = 0; at < all.length; at += renewAtOnce) {
        const step = all.slice(at, at + renewAtOnce);
        const gone = await connection.run(renewScript, [layout.unackedIndex], step);
        if (Array.isArray(gone) && gone.length > 0) onGone(gone.map((position) => step[Number(position) - 1] ?? ''));
      }
      return true;
    } catch (error) {
      // The next round, or the reconnect, tries again; both are well before the timeout.
      if (connection.state === 'connected') log.warning('broker.renewal', `Held messages could not be renewed: ${messageOf(error)}`);
      return false;
    }
  }
}
