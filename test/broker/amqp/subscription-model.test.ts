/**
 * A subscription on a model of RabbitMQ, with everything drawn from a seed: settlements in any order, deferred and parked messages, pauses, another
 * prefetch, queues that come and go, channels that end, connections that break, frames that arrive late, channels that get no answer.
 *
 * Nothing may be settled at the server that the consumer has not settled so, of that delivery; what is called done is done; nothing is lost.
 * The runs are the same each time. MODEL_SEED=… is one run; MODEL_RUNS=… are so many with seeds of this moment.
 */
import t, { type Test } from 'tap';
import type { AmqpSubscription } from '../../../src/broker/amqp/subscription.ts';
import type { Delivery, SettleOutcome } from '../../../src/broker/broker.ts';
import { AmqpFailure } from '../../../src/driver/amqp-failure.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { SeededRandom } from '../../live/seeded-random.ts';
import { ModelConnection } from './model-connection.ts';

const { MODEL_SEED: oneSeed, MODEL_RUNS: manyRuns } = process.env;
const runs = Number(manyRuns ?? (oneSeed === undefined ? 150 : 1));
const firstSeed = Number(oneSeed ?? (manyRuns === undefined ? 1 : Date.now() % 2 ** 32));
const stepsPerRun = 250;
const messages = 40;
const queueNames = ['red', 'blue'];
const holdDeferredMs = 5000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Who settled what, by channel and tag. */
type Told = Map<string, 'ack' | 'requeue' | 'drop'>;

class ModelRun {
  readonly random: SeededRandom;
  readonly clock = new FakeClock();
  readonly told: Told = new Map();
  readonly held = new Set<Delivery>();
  readonly problems: string[] = [];
  readonly #connection = new ModelConnection();
  readonly server = this.#connection.server;
  readonly subscription: AmqpSubscription;
  /** Parked, and on their way back. */
  #parked: { readonly queue: string; readonly id: string }[] = [];
  #hasEnded = false;

  constructor(seed: number, exact: boolean) {
    this.random = new SeededRandom(seed);
    const consume = {
      queues: queueNames.slice(0, 1 + this.random.below(2)),
      prefetch: this.random.pick([0, 1, 4, 64]),
      exact,
      onDelivery: (delivery: Delivery) => void this.held.add(delivery),
      onLost: (deliveries: readonly Delivery[]) => {
        for (const delivery of deliveries) if (!this.held.delete(delivery)) this.problems.push(`${idOf(delivery)} was lost, and not held`);
      },
      onHeld: () => {},
    };
    this.subscription = this.#connection.subscribe({
      consume,
      clock: this.clock,
      holdDeferredMs,
      park: (delivery) => this.#park(delivery),
      ended: () => {
        this.#hasEnded = true;
      },
    });
  }

  async start(): Promise<void> {
    for (let number = 0; number < messages; number++) this.server.publish(this.random.pick(queueNames), `m${number}`);
    const started = this.subscription.start();
    await this.until('it has started', started);
    await turn();
  }

  /** One thing happens, or some frames arrive. */
  async step(): Promise<void> {
    const { random, subscription } = this;
    const [first] = this.held;
    const delivery = random.below(3) === 0 ? first : random.pick([undefined, ...this.held]);
    switch (random.below(24)) {
      case 0:
        if (delivery !== undefined) this.#settle(delivery, 'requeue');
        break;
      case 1:
        if (delivery !== undefined) this.#settle(delivery, 'drop');
        break;
      case 2:
      case 3:
        if (delivery !== undefined) this.#defer(delivery, random.pick([1, 50, 4000, 6000, 20_000]));
        break;
      case 4:
        subscription.pause();
        break;
      case 5:
      case 6:
        subscription.resume();
        break;
      case 7:
        subscription.setPrefetch(random.pick([0, 1, 2, 8, 64]), random.below(3));
        break;
      case 8:
        void subscription.cancelQueue(random.pick(queueNames)).catch(() => {});
        break;
      case 9:
        void subscription.addQueue(random.pick(queueNames)).catch(() => {});
        break;
      case 10:
        if (random.below(3) === 0) this.server.last?.fail('timeout');
        break;
      case 11:
        if (random.below(4) === 0) this.#connection.cut();
        else if (random.below(6) === 0) this.server.nextUnanswered = random.pick(['opening', 'channel']);
        break;
      case 12:
        this.#reconnect();
        break;
      case 13:
        void subscription.rebuild();
        break;
      case 14:
        this.clock.advance(random.pick([1, 3, 10, 500, 5000]));
        break;
      case 15:
      case 16:
        await turn();
        break;
      default:
        for (let count = random.below(4); count > 0 && this.held.size > 0; count--) this.#settle(random.pick([...this.held]), 'ack');
    }
    this.#arrivals(random.below(6), random.below(6));
  }

  /** Everything is well from now on, and everything is acknowledged. */
  async calm(): Promise<void> {
    this.server.nextUnanswered = null;
    this.#reconnect();
    this.subscription.setPrefetch(4);
    this.subscription.resume();
    await this.until('both queues are consumed from', Promise.all(queueNames.map((queue) => this.subscription.addQueue(queue))));
    for (let round = 0; this.server.left().length + this.#parked.length > 0; round++) {
      if (round > 2000) {
        const rest = [...this.server.queues].map(([name, queue]) => `${name}: ${queue.map(({ id }) => id).join()}`);
        this.problems.push(`left: ${rest.join('; ')}; ${this.server.last?.state}; held ${this.held.size}`);
        return;
      }
      for (const delivery of [...this.held]) this.#settle(delivery, 'ack');
      this.#arrivals(50, 50);
      await turn();
      this.clock.advance(5000);
      // In such a leap an answer that is under way was not there in time.
      this.#reconnect();
    }
  }

  /** A warm stop: what is held is settled, or given back in the end. */
  async quit(): Promise<void> {
    const cancelled = this.subscription.cancel();
    for (let step = this.random.below(40); step > 0; step--) await this.step();
    this.#reconnect();
    await this.until('it is cancelled', cancelled);
    await this.release();
    this.held.clear();
  }

  async release(): Promise<void> {
    const released = this.subscription.release();
    // How long a farewell may take is for the broker to say.
    if (this.server.last?.isUnanswered === true) this.#connection.cut();
    await this.until('it is released', released);
    if (!this.#hasEnded) this.problems.push('it has not ended');
  }

  /** Of what the server was told. */
  verdict(): string[] {
    const { server, told } = this;
    for (const { channel, tag, id, how } of server.settlements) {
      const wanted = told.get(`${channel}.${tag}`);
      // What the consumer has never seen may be given back, and nothing else.
      if (how !== wanted && !(how === 'requeue' && wanted === undefined))
        this.problems.push(`${id} (${channel}.${tag}): ${how}, told ${wanted}`);
    }
    const there = new Set([...server.gone, ...server.left(), ...this.#parked.map(({ id }) => id)]);
    for (let number = 0; number < messages; number++) if (!there.has(`m${number}`)) this.problems.push(`m${number} is lost`);
    return [...this.problems, ...server.faults];
  }

  async until<T>(what: string, reached: Promise<T>): Promise<T | undefined> {
    let isOver = false;
    const over = reached.finally(() => {
      isOver = true;
    });
    over.catch(() => {});
    for (let round = 0; !isOver; round++) {
      if (round > 500) {
        this.problems.push(`not so: ${what}`);
        return undefined;
      }
      this.#arrivals(50, 50);
      await turn();
      this.clock.advance(100);
      if (this.#connection.givenUp.length > 0) this.#reconnect();
    }
    return over;
  }

  #settle(delivery: Delivery, how: 'ack' | 'requeue' | 'drop'): void {
    this.held.delete(delivery);
    this.told.set(keyOf(delivery), how);
    const outcome = how === 'ack' ? this.subscription.ack(delivery) : this.subscription.reject(delivery, { requeue: how === 'requeue' });
    void outcome.then((result) => this.#outcome(delivery, how, result));
  }

  #outcome(delivery: Delivery, how: string, outcome: SettleOutcome): void {
    if (outcome !== 'done' || how === 'requeue') return;
    if (!this.server.gone.includes(idOf(delivery))) this.problems.push(`${idOf(delivery)} is called done and is not`);
  }

  #defer(delivery: Delivery, ms: number): void {
    this.held.delete(delivery);
    void this.subscription.defer(delivery, this.clock.now() + ms);
  }

  async #park(delivery: Delivery): Promise<void> {
    for (let turns = this.random.below(8); turns >= 0; turns--) await turn();
    if (this.random.below(4) === 0) throw new AmqpFailure('lost', 'nobody is there');
    this.#parked.push({ queue: delivery.queue, id: idOf(delivery) });
    this.told.set(keyOf(delivery), 'ack');
  }

  #arrivals(atServer: number, atClient: number): void {
    for (const { queue, id } of this.#parked.splice(0)) this.server.publish(queue, id);
    this.#connection.arrivals(atServer, atClient);
  }

  #reconnect(): void {
    if (this.#connection.comeBack()) this.subscription.reconnected();
  }
}

function keyOf({ epoch, tag }: Delivery): string {
  return `${epoch}.${tag}`;
}

function idOf(delivery: Delivery): string {
  return delivery.body.toString();
}

async function judged(t: Test, exact: boolean): Promise<void> {
  let settled = 0;
  let channels = 0;
  for (let at = 0; at < runs; at++) {
    const run = new ModelRun(firstSeed + at, exact);
    await run.start();
    for (let step = 0; step < stepsPerRun; step++) await run.step();
    if ((firstSeed + at) % 3 === 0) await run.quit();
    else {
      await run.calm();
      await run.release();
    }
    const problems = run.verdict();
    settled += run.server.settlements.length;
    channels += run.server.channels.length;
    if (problems.length === 0) continue;
    t.same(problems.slice(0, 10), [], `MODEL_SEED=${firstSeed + at}`);
    return;
  }
  t.ok(settled >= (runs * messages) / 2, `${settled} messages settled on ${channels} channels`);
}

t.test('any order, any loss', (t) => judged(t, false));

t.test('any order, any loss, with an exact prefetch', (t) => judged(t, true));
