/**
 * How a worker stops: the order of things between "stop" and "everything is given back".
 *
 * Owns the three ways (warm, soft, cold) and going from one to the next when time or patience runs out. What each means for
 * running, reserved and scheduled tasks is the table in os/signal-table.ts. Never ends the process.
 */
import type { Consumer } from '../consumer/consumer.ts';
import type { Settler } from '../consumer/settle.ts';
import { messageOf } from '../errors.ts';
import { stoppingReason } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { Pool } from '../pool/pool.ts';
import type { Clock, Timer } from '../std/clock.ts';

/** How long a stop waits for results and acknowledgements that are on their way when the broker may be gone. */
const settleGraceMs = 10_000;

export interface ShutdownParams {
  readonly consumer: Consumer;
  readonly pool: Pool;
  readonly settler: Settler;
  readonly log: Logger;
  /** Bound of a warm stop; null: none. */
  readonly warmTimeoutMs: number | null;
  /** Running tasks get this long at a cold stop; 0: nothing. */
  readonly softTimeoutMs: number;
  /** Also when no task is running. */
  readonly softOnIdle: boolean;
  readonly clock: Clock;
}

export class Shutdown {
  readonly #params: ShutdownParams;
  /** Ends the wait for running tasks early. Written by #drain. */
  #hurry: (() => void) | null = null;
  /** Asked to hurry while nothing was waited for: the next wait is skipped. Written by hurry and #drain. */
  #skipNext = false;
  /** Written by #softly. */
  #inSoftWindow = false;

  constructor(params: ShutdownParams) {
    this.#params = params;
  }

  /** Somebody wants a cold stop: do not wait any longer. */
  hurry(): void {
    if (this.#hurry === null) this.#skipNext = true;
    else this.#hurry();
  }

  /** true: tasks had still been given their time, and that is over now. */
  endSoftWindow(): boolean {
    if (!this.#inSoftWindow) return false;
    this.hurry();
    return true;
  }

  /** No more messages, no task running, everything settled that could be. */
  async run(mode: 'warm' | 'cold'): Promise<void> {
    const { consumer, pool, settler, log, warmTimeoutMs } = this.#params;
    log.warning('worker.stop', `worker: ${mode === 'warm' ? 'Warm' : 'Cold'} shutdown (MainProcess)`, { mode });
    await consumer
      .quiet()
      .catch((error: unknown) => log.error('worker.stop-failed', `consuming could not be stopped: ${messageOf(error)}`));
    let drained = false;
    if (mode === 'warm') {
      drained = await this.#drain(warmTimeoutMs);
      if (!drained)
        log.warning('worker.stop', `worker: Cold shutdown (MainProcess): ${pool.jobCount} tasks still running`, { mode: 'cold' });
    }
    if (!drained) drained = await this.#softly();
    if (!drained) {
      settler.stopping();
      await pool.stop();
    }
    await this.#settleAll();
  }

  /** The last while of a cold stop. Returns as #drain. */
  async #softly(): Promise<boolean> {
    const { pool, log, clock, softTimeoutMs, softOnIdle } = this.#params;
    const isIdle = pool.jobCount === 0;
    if (softTimeoutMs === 0 || (isIdle && !softOnIdle)) return false;
    log.warning('worker.stop', `Initiating Soft Shutdown, terminating in ${softTimeoutMs / 1000} seconds`, { mode: 'soft' });
    pool.abortAll(stoppingReason);
    this.#inSoftWindow = true;
    let timer: Timer | undefined;
    const whole = new Promise<boolean>((resolve) => {
      if (isIdle) timer = clock.setTimer(() => resolve(true), softTimeoutMs);
    });
    const drained = await this.#unlessHurried(() => (isIdle ? whole : pool.drain(softTimeoutMs)));
    clock.clearTimer(timer);
    this.#inSoftWindow = false;
    return drained;
  }

  /** true: everything running has ended. false: out of time, or in a hurry. */
  #drain(timeoutMs: number | null): Promise<boolean> {
    return this.#unlessHurried(() => this.#params.pool.drain(timeoutMs));
  }

  async #unlessHurried(wait: () => Promise<boolean>): Promise<boolean> {
    if (this.#skipNext) {
      this.#skipNext = false;
      return this.#params.pool.jobCount === 0;
    }
    const hurried = new Promise<false>((resolve) => {
      this.#hurry = () => resolve(false);
    });
    const drained = await Promise.race([wait(), hurried]);
    this.#hurry = null;
    return drained;
  }

  async #settleAll(): Promise<void> {
    const { clock, settler } = this.#params;
    let timer: Timer | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = clock.setTimer(() => resolve('late'), settleGraceMs);
    });
    const outcome = await Promise.race([settler.idle(), late]);
    clock.clearTimer(timer);
    if (outcome !== 'late') return;
    const seconds = settleGraceMs / 1000;
    this.#params.log.error(
      'worker.stop-failed',
      `results, follow-ups or acknowledgements could not be written within ${seconds}s; the worker stops without them`,
    );
    settler.giveUp();
  }
}
