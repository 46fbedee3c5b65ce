/**
 * The line that `systemctl status` shows: what keeps the worker from taking tasks, or that it is ready.
 *
 * Looks once a second and tells what has changed. Does nothing when nobody listens. Readiness itself is told by node/worker-node.ts.
 */
import type { Component } from '../lifecycle/component.ts';
import type { SdNotify } from '../os/sd-notify.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';

export interface StatusLineParams {
  readonly notify: Pick<SdNotify, 'active' | 'status'>;
  readonly nodeName: string;
  /** null: it takes tasks. */
  problem(): string | null;
  readonly clock?: Clock;
}

const lookEveryMs = 1000;

export class StatusLine implements Component {
  readonly name = 'status-line';
  readonly #params: StatusLineParams;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #told = '';

  constructor(params: StatusLineParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  async start(): Promise<void> {
    if (this.#params.notify.active && this.#timer === undefined) this.#look();
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const { notify, nodeName, problem } = this.#params;
    const text = statusOf(nodeName, problem());
    if (text !== this.#told) notify.status(text);
    this.#told = text;
    this.#timer = this.#clock.setTimer(() => this.#look(), lookEveryMs, { ref: false });
  }
}

/** `worker1@shop ready`, `worker1@shop: quiet`. */
export function statusOf(nodeName: string, problem: string | null): string {
  return problem === null ? `${nodeName} ready` : `${nodeName}: ${problem}`;
}
