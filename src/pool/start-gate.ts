/**
 * Whether jobs may be started now: only while the broker is certain that they are ours.
 *
 * Owns what is said about it. A child checks once more, by its own clock, right before it starts a job: it may have stood still.
 */
import type { Logger } from '../log/logger.ts';
import type { Clock } from '../std/clock.ts';

export interface StartGateParams {
  /** Monotonic; Subscription.heldUntilMs. */
  heldUntilMs(): number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class StartGate {
  readonly #params: StartGateParams;
  #startBeforeMs = Number.NEGATIVE_INFINITY;
  #saidSo = false;

  constructor(params: StartGateParams) {
    this.#params = params;
  }

  /** What a job that is let through now carries with it. Monotonic, on the clock of the machine. */
  get startBeforeMs(): number {
    return this.#startBeforeMs;
  }

  /** Asked for every job. */
  holdsBack(): boolean {
    this.#startBeforeMs = this.#params.heldUntilMs();
    const holds = this.#params.clock.monotonic() >= this.#startBeforeMs;
    if (holds !== this.#saidSo) this.#say(holds);
    return holds;
  }

  #say(holds: boolean): void {
    this.#saidSo = holds;
    if (holds) {
      this.#params.log.warning(
        'pool.held-back',
        'No task is started: the broker has not confirmed for a whole lease that this worker lives, so others may have what it holds',
      );
    } else this.#params.log.info('pool.held', 'Tasks are started again: the broker has confirmed what this worker holds');
  }
}
