/**
 * Until when the server certainly keeps for us what is held on a channel: it takes everything back when it has heard nothing of us for two heartbeats.
 *
 * Owns the asking, as long as there is a channel: half a heartbeat after the last question, or as soon as that has been answered. An answer proves that
 * the server lived, and heard us, when the question was sent. Without heartbeats it is held for ever.
 */
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import { HeldUntil } from '../held-until.ts';

export interface ChannelLeaseParams {
  readonly connection: { readonly heartbeatSeconds: number | null };
  readonly clock: Clock;
  /** `untilMs` had passed and has moved on. */
  onHeld(): void;
}

export class ChannelLease {
  readonly #params: ChannelLeaseParams;
  #heldUntil: HeldUntil | null = null;
  #channel: AmqpChannel | null = null;
  #timer: Timer | undefined;

  constructor(params: ChannelLeaseParams) {
    this.#params = params;
  }

  /** Monotonic. Before the first proof nothing can be held. */
  get untilMs(): number {
    return this.#heldUntil?.ms ?? Number.POSITIVE_INFINITY;
  }

  /** The server has answered on this channel what was sent then. */
  begin(channel: AmqpChannel, sentAtMs: number): void {
    this.#channel = channel;
    this.#proven(channel, sentAtMs);
  }

  /** There is no channel. */
  stop(): void {
    this.#channel = null;
    this.#params.clock.clearTimer(this.#timer);
  }

  /** `followsLate`: it was asked because the answer before had come late. */
  #proven(channel: AmqpChannel, sentAtMs: number, followsLate = false): void {
    if (channel !== this.#channel) return;
    const { connection, clock, onHeld } = this.#params;
    const heartbeatMs = (connection.heartbeatSeconds ?? 0) * 1000;
    const leaseMs = heartbeatMs === 0 ? Number.POSITIVE_INFINITY : 2 * heartbeatMs;
    this.#heldUntil ??= new HeldUntil({ clock, leaseMs, onHeld });
    const waitMs = sentAtMs + heartbeatMs / 2 - clock.monotonic();
    const isLate = heartbeatMs > 0 && waitMs < 0;
    // After a standstill: what a late answer leaves may be over in a moment. The next one, if the server is back, leaves nearly all.
    if (!isLate || followsLate || !this.#heldUntil.passed) this.#heldUntil.moveTo(sentAtMs + leaseMs);
    if (heartbeatMs === 0) return;
    if (isLate) this.#ask(channel, true);
    else this.#timer = clock.setTimer(() => this.#ask(channel, false), waitMs, { ref: false });
  }

  #ask(channel: AmqpChannel, followsLate: boolean): void {
    const sentAtMs = this.#params.clock.monotonic();
    // The channel's end tells.
    channel.barrier().then(
      () => this.#proven(channel, sentAtMs, followsLate),
      () => {},
    );
  }
}
