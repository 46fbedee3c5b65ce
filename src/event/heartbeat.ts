/**
 * The worker's sign of life for monitors: online, a heartbeat every few seconds, offline.
 *
 * Owns the timer. Source: protocol notes, events.md §2 and §4.
 */
import { loadavg } from 'node:os';
import type { Component } from '../lifecycle/component.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { version } from '../std/version.ts';
import type { EventDispatcher } from './dispatcher.ts';

export interface HeartbeatParams {
  readonly dispatcher: EventDispatcher;
  readonly intervalMs: number;
  readonly clock?: Clock;
  /** Tasks running. */
  active(): number;
  /** Tasks started since the start of the worker. */
  processed(): number;
}

const identity = { sw_ident: 'umbel', sw_ver: version(), sw_sys: process.platform === 'linux' ? 'Linux' : process.platform };

export class Heartbeat implements Component {
  readonly name = 'heartbeat';
  readonly #params: HeartbeatParams;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #running = false;

  constructor(params: HeartbeatParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
  }

  async start(): Promise<void> {
    this.#running = true;
    this.#send('worker-online');
    this.#arm();
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#clock.clearTimer(this.#timer);
    this.#send('worker-offline');
  }

  /** Now, because somebody asks who is there. */
  beat(): void {
    this.#params.dispatcher.send('worker-heartbeat', { freq: 5, ...identity });
  }

  #arm(): void {
    const beat = (): void => {
      this.#send('worker-heartbeat');
      this.#arm();
    };
    this.#timer = this.#clock.setTimer(beat, this.#params.intervalMs, { ref: false });
  }

  #send(type: string): void {
    const { dispatcher, intervalMs, active, processed } = this.#params;
    dispatcher.send(type, {
      freq: intervalMs / 1000,
      active: active(),
      processed: processed(),
      loadavg: loadavg().map((load) => Math.round(load * 100) / 100),
      ...identity,
    });
  }
}
