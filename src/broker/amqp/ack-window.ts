/**
 * The unsettled deliveries of one channel by tag, and how their settlement is written.
 *
 * Owns which acknowledgements become one with `multiple`: those of a turn of the event loop are written at its end, or, while the server has many more
 * to come and is not kept waiting by it, of a millisecond; the run from the oldest unsettled delivery on is one frame. One behind an unsettled delivery may wait a few milliseconds for the gap to close, if it is few that wait and the oldest has
 * not shown itself to be a long task.
 *
 * AMQP has no answer to an acknowledgement. So a promise resolves to 'done' when the server has answered a request that was sent behind it on the same
 * channel, and to 'stale' when the channel ended before that: then nobody knows, and the message may come again. Nobody but this worker waits for that
 * answer, so there is one request for all that is written within some milliseconds: each costs the server and this process as much as a task or two.
 */
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import type { Clock, Timer } from '../../std/clock.ts';
import type { SettleOutcome } from '../broker.ts';

/** None waits longer than 5 ms; timers are late at times. */
const holdMs = 3;
/** While others are unsettled, so few that the server does not wait for them. */
const gatherMs = 1;
/** Whether they have arrived is not asked more often. At the end of the channel it is asked at once. */
const askMs = 10;
/** The first question after a while waits so long for more of them. */
const idleAskMs = 1;
/** Half of so many keep the children busy while the others wait here, or nearly: few of them take that little time, and each oldest one is waited for once. */
const largePrefetch = 64;

class Generation {
  readonly promise: Promise<SettleOutcome>;
  readonly resolve: (outcome: SettleOutcome) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<SettleOutcome>();
    this.promise = promise;
    this.resolve = resolve;
  }
}

export class AckWindow {
  readonly #channel: AmqpChannel;
  readonly #clock: Clock;
  /** Tags delivered and not settled; ascending, since a Set keeps the order of insertion and tags only grow. */
  readonly #open = new Set<number>();
  /** Acknowledged and not yet written, in the order they came. */
  #unsent: number[] = [];
  #scheduled = false;
  #timer: Timer | undefined;
  #gathering: Timer | undefined;
  #asking: Timer | undefined;
  /** The question has waited for long enough, but something was not written yet. */
  #isDue = false;
  /** The last question. */
  #askedAtMs = Number.NEGATIVE_INFINITY;
  /** The oldest unsettled delivery when waiting for it was in vain. */
  #stuckTag = 0;
  /** 0: no limit. How many may wait depends on it. */
  #prefetch = 0;
  /** Settlements since the last barrier was sent. */
  #joining: Generation | null = null;
  /** Those the barrier now under way stands behind. */
  #asked: Generation | null = null;
  #ended = false;

  constructor(channel: AmqpChannel, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
  }

  set prefetch(count: number) {
    this.#prefetch = count;
  }

  /** Of those not settled; undefined: there is none. */
  get oldestTag(): number | undefined {
    return this.#open.values().next().value;
  }

  delivered(tag: number): void {
    this.#open.add(tag);
  }

  ack(tag: number): Promise<SettleOutcome> {
    if (this.#ended || !this.#open.delete(tag)) return Promise.resolve('stale');
    this.#unsent.push(tag);
    return this.#joined();
  }

  reject(tag: number, requeue: boolean): Promise<SettleOutcome> {
    if (this.#ended || !this.#open.delete(tag)) return Promise.resolve('stale');
    this.#channel.reject(tag, requeue);
    return this.#joined();
  }

  /** Everything acknowledged is written, now, and asked about. */
  flush(): void {
    this.#isDue = true;
    this.#flush(true);
  }

  /** The channel is no more. `outcome` 'done': it was closed with a farewell, behind everything written. */
  end(outcome: SettleOutcome): void {
    this.#ended = true;
    this.#clock.clearTimer(this.#timer);
    this.#clock.clearTimer(this.#gathering);
    this.#clock.clearTimer(this.#asking);
    this.#asked?.resolve(outcome);
    this.#joining?.resolve(outcome);
    this.#asked = null;
    this.#joining = null;
  }

  #joined(): Promise<SettleOutcome> {
    if (!this.#scheduled && (this.#gathering === undefined || !this.#mayGather())) {
      if (this.#mayGather()) this.#gathering = this.#clock.setTimer(() => this.#gathered(), gatherMs);
      else {
        this.#scheduled = true;
        setImmediate(() => {
          this.#scheduled = false;
          this.#gathered();
        });
      }
    }
    this.#joining ??= new Generation();
    return this.#joining.promise;
  }

  /** An eighth of the prefetch keeps nobody waiting, a quarter of a large one. */
  #mayGather(): boolean {
    return this.#open.size > 0 && this.#unsent.length * (this.#isLarge ? 4 : 8) < this.#prefetch;
  }

  get #isLarge(): boolean {
    return this.#prefetch >= largePrefetch;
  }

  #gathered(): void {
    this.#clock.clearTimer(this.#gathering);
    this.#gathering = undefined;
    if (!this.#ended) this.#flush(false);
  }

  #flush(everything: boolean): void {
    if (this.#unsent.length > 0) {
      const [oldest = Number.POSITIVE_INFINITY] = this.#open;
      const behind: number[] = [];
      let last = 0;
      for (const tag of this.#unsent) {
        if (tag > oldest) behind.push(tag);
        else if (tag > last) last = tag;
      }
      // Whatever is below the oldest unsettled delivery has been settled: `multiple` means no more than these.
      if (last > 0) this.#channel.ack(last, this.#unsent.length - behind.length > 1);
      this.#unsent = behind;
      if (behind.length > 0) {
        if (!everything && this.#mayHold(oldest)) this.#timer ??= this.#clock.setTimer(() => this.#impatient(), holdMs);
        else this.#sendEach();
      }
    }
    this.#askSoon();
  }

  #mayHold(oldest: number): boolean {
    return this.#stuckTag !== oldest && (this.#prefetch === 0 || this.#unsent.length * (this.#isLarge ? 2 : 4) <= this.#prefetch);
  }

  #impatient(): void {
    this.#timer = undefined;
    if (this.#ended || this.#unsent.length === 0) return;
    const [oldest = 0] = this.#open;
    this.#stuckTag = oldest;
    this.#flush(true);
  }

  #sendEach(): void {
    for (const tag of this.#unsent) this.#channel.ack(tag, false);
    this.#unsent = [];
  }

  #askSoon(): void {
    if (this.#asked !== null || this.#joining === null) return;
    if (this.#isDue) this.#ask(this.#joining);
    else
      this.#asking ??= this.#clock.setTimer(() => {
        this.#asking = undefined;
        this.#isDue = true;
        this.#askSoon();
      }, this.#askInMs());
  }

  /** On an idle worker with the question for its reply, and not later, when the next message may have come. */
  #askInMs(): number {
    return Math.max(idleAskMs, this.#askedAtMs + askMs - this.#clock.monotonic());
  }

  /** Behind everything that the answer is for. */
  #ask(asked: Generation): void {
    if (this.#unsent.length > 0) return;
    this.#isDue = false;
    this.#clock.clearTimer(this.#asking);
    this.#asking = undefined;
    this.#asked = asked;
    this.#askedAtMs = this.#clock.monotonic();
    this.#joining = null;
    this.#channel.barrier().then(
      () => {
        if (this.#ended) return;
        asked.resolve('done');
        this.#asked = null;
        this.#askSoon();
      },
      // The channel's end tells.
      () => {},
    );
  }
}
