/**
 * How a worker stops: the order of things between "stop" and "everything is given back".
 *
 * Owns the three ways (warm, soft, cold) and going from one to the next when time or patience runs out. What each means for
 * running, reserved and scheduled tasks is the table in os/signal-table.ts. Never ends the process.
 */
import type { Broker } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { Settler } from '../consumer/settle.ts';
import { messageOf } from '../errors.ts';
import { stoppingReason } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import type { Pool } from '../pool/pool.ts';
import type { Clock, Timer } from '../std/clock.ts';

/** How long a stop waits for what is on its way (the end of consuming, results, acknowledgements) when the broker may be gone or stand still. */
const graceMs = 10_000;
const graceText = `${graceMs / 1000}s`;

export interface ShutdownParams {
  readonly broker: Pick<Broker, 'reconnect'>;
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
  /** The broker was told to deliver no more, and has not answered. Written by #endConsuming. */
  #stillConsuming = false;

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
    const { broker, pool, settler, log, warmTimeoutMs } = this.#params;
    log.warning('worker.stop', `worker: ${mode === 'warm' ? 'Warm' : 'Cold'} shutdown (MainProcess)`, { mode });
    await this.#endConsuming();
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
    // Everybody else who says goodbye would wait for its answer.
    if (this.#stillConsuming)
      broker.reconnect(`the worker stops, and for ${graceText} the broker has not answered that it delivers no more`);
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

  /** What arrives from now on is not wanted, and comes again: tasks are not kept from their end by a broker that does not say that it was the last. */
  async #endConsuming(): Promise<void> {
    const { consumer, log } = this.#params;
    const ended = consumer
      .quiet()
      .catch((error: unknown) => log.error('worker.stop-failed', `consuming could not be stopped: ${messageOf(error)}`))
      .then(() => {
        this.#stillConsuming = false;
      });
    this.#stillConsuming = true;
    await this.#inTime(ended);
  }

  async #settleAll(): Promise<void> {
    const { settler, log } = this.#params;
    if (await this.#inTime(settler.idle())) return;
    log.error(
      'worker.stop-failed',
      `results, follow-ups or acknowledgements could not be written within ${graceText}; the worker stops without them`,
    );
    settler.giveUp();
  }

  async #inTime(work: Promise<void>): Promise<boolean> {
    const { clock } = this.#params;
    let timer: Timer | undefined;
    const late = new Promise<false>((resolve) => {
      timer = clock.setTimer(() => resolve(false), graceMs);
    });
    return await Promise.race([work.then(() => true), late]).finally(() => clock.clearTimer(timer));
  }
}
