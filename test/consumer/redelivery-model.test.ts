/**
 * A consumer on a model of RabbitMQ and with a pool that the test plays, everything drawn from a seed: tasks that start, end, are put back and tried
 * again, children that die, jobs that begin although they were taken back, channels and connections that end, a server that forgets acknowledgements,
 * and another worker on the queue.
 *
 * No message may be gone whose task has not come to its end; acknowledged early, whose task has not begun. None is begun beside itself.
 * The runs are the same each time. MODEL_SEED=… is one run; MODEL_RUNS=… are so many with seeds of this moment.
 */
import t from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { AmqpSubscription } from '../../src/broker/amqp/subscription.ts';
import type { Broker, BrokerFeatures, ConsumeParams, Subscription } from '../../src/broker/broker.ts';
import { Consumer } from '../../src/consumer/consumer.ts';
import type { Request } from '../../src/consumer/request.ts';
import { Settler } from '../../src/consumer/settle.ts';
import { UmbelError } from '../../src/errors.ts';
import type { EndKind } from '../../src/ipc/exchange.ts';
import type { ChildExit, Job } from '../../src/pool/job.ts';
import { Producer } from '../../src/producer/producer.ts';
import type { Message } from '../../src/protocol/message.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { ModelConnection } from '../broker/amqp/model-connection.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { SeededRandom } from '../live/seeded-random.ts';
import { FakePool, queueTable, Recorder, RecordingBroker, setAside, settled, taskOffer } from './doubles.ts';

const { MODEL_SEED: oneSeed, MODEL_RUNS: manyRuns } = process.env;
const runs = Number(manyRuns ?? (oneSeed === undefined ? 60 : 1));
const firstSeed = Number(oneSeed ?? (manyRuns === undefined ? 1 : Date.now() % 2 ** 32));
const stepsPerRun = 200;
const tasks = 30;

const late = taskOffer('tasks.late', { acksLate: true, rejectOnWorkerLost: true });
const early = taskOffer('tasks.early');

/** RabbitMQ as far as a consumer sees it. */
class ModelBroker extends RecordingBroker implements Broker {
  override readonly features: BrokerFeatures = {
    priorityOrder: 'higher-first',
    delayedDelivery: false,
    countsDeliveries: false,
    redelivers: true,
    shared: true,
    visibilityTimeoutMs: null,
  };
  readonly connection = new ModelConnection();
  readonly #clock: FakeClock;
  #subscription: AmqpSubscription | null = null;
  #sent = 0;

  constructor(clock: FakeClock) {
    super(new Recorder());
    this.#clock = clock;
  }

  override async publish({ properties, headers, body }: Message): Promise<void> {
    await settled();
    if (!this.connection.server.up) throw new UmbelError('BROKER_LOST', 'there is no connection');
    const carries = { properties: { ...properties, headers: headers ?? {} }, content: body };
    this.connection.server.publish('celery', `${String(headers?.id)}/${String(headers?.retries)}#${++this.#sent}`, carries);
  }

  override async consume(params?: ConsumeParams): Promise<never> {
    const { connection } = this;
    if (params === undefined) throw new Error('what is to be consumed must be said');
    const subscription = connection.subscribe({
      consume: params,
      clock: this.#clock,
      holdDeferredMs: 600_000,
      park: () => Promise.reject(new Error('nothing is parked')),
      ended: () => {},
    });
    this.#subscription = subscription;
    await subscription.start();
    return subscription as Subscription as never;
  }

  reconnected(): void {
    this.#subscription?.reconnected();
  }
}

/** Its children do not answer at once when something is asked back. */
class SlowPool extends FakePool {
  override withdraw(): void {}

  /** What was asked back and has not begun. */
  answer(): void {
    super.withdraw();
  }
}

/** Between two things that come from outside, what is promised is done. */
async function promised(): Promise<void> {
  for (let tick = 0; tick < 20; tick++) await Promise.resolve();
}

class ModelRun {
  readonly random: SeededRandom;
  readonly problems: string[] = [];
  readonly clock = new FakeClock();
  readonly broker = new ModelBroker(this.clock);
  readonly pool = new SlowPool(2, [late, early]);
  /** By id and retries. */
  readonly #begun = new Set<string>();
  readonly #ended = new Set<string>();
  readonly #running = new Map<string, Job>();
  readonly #jobsEnded = new WeakSet<Job>();
  /** Sent twice, as a client may that has lost a confirmation: nobody can tell them apart. */
  readonly #twice = new Set<string>();
  readonly consumer: Consumer;
  readonly settler: Settler;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const { broker, pool, clock } = this;
    const log = new RecordingLog();
    const aside = setAside(broker, log, { maxCrashes: 0, now: () => clock.now() });
    this.settler = new Settler({
      broker,
      backend: new MemoryBackend({ resultExpiresMs: null }),
      producer: new Producer({ broker, queues: queueTable(), retry: false }),
      poison: aside.poison,
      nodeName: 'worker@test',
      resultExtended: false,
      log,
      revoked: { add: () => {}, reason: () => '' },
      onSettled: (request) => this.consumer.onSettled(request),
    });
    this.consumer = new Consumer({
      broker,
      pool,
      settler: this.settler,
      queues: [{ name: 'celery' }],
      childConcurrency: 1,
      prefetchMultiplier: 4,
      adaptivePrefetch: false,
      acceptContent: ['json'],
      cancelOnConnectionLoss: this.random.below(4) === 0,
      unknownTasks: aside.unknownTasks(() => this.settler),
      isRevoked: () => false,
      suspicion: aside.poison,
      log,
      clock,
    });
  }

  async start(): Promise<void> {
    for (let number = 0; number < tasks; number++) {
      const { name } = this.random.pick([late, late, early]);
      const message = encodeTask({ task: name, id: `t${number}`, args: [], kwargs: {}, origin: 'gen1@test' });
      await this.broker.publish(message);
      if (this.random.below(10) !== 0) continue;
      this.#twice.add(`t${number}`);
      await this.broker.publish(message);
    }
    await this.#until('it has started', this.consumer.start());
    await settled();
  }

  async step(): Promise<void> {
    const { random, broker, pool } = this;
    const { connection } = broker;
    const waiting = pool.jobs.filter(({ started }) => !started);
    const running = pool.jobs.filter(({ started }) => started);
    switch (random.below(20)) {
      case 0:
        if (random.below(3) === 0) connection.server.last?.fail('timeout');
        break;
      case 1:
        if (random.below(3) === 0) this.#cut();
        break;
      case 2:
      case 3:
        this.#reconnect();
        break;
      case 4:
      case 5:
        pool.answer();
        break;
      case 6:
        if (random.below(4) === 0) this.#elsewhere();
        break;
      case 7:
      case 8:
      case 9:
      case 10:
        if (waiting.length > 0) this.#begin(random.pick(waiting));
        break;
      case 11:
      case 12:
      case 13:
      case 14:
        if (running.length > 0) this.#end(random.pick(running));
        break;
      case 15:
        if (running.length > 0) this.#lose(random.pick(running));
        break;
      case 16:
        this.clock.advance(random.pick([1, 3, 500]));
        break;
      default:
        await settled();
    }
    await promised();
    connection.arrivals(random.below(6), random.below(6));
    await promised();
  }

  /** Everything is well, and every task is run to its end. */
  async calm(): Promise<void> {
    this.#reconnect();
    const { connection } = this.broker;
    for (let round = 0; connection.server.left().length > 0 || this.pool.jobs.length > 0; round++) {
      if (round > 1000) {
        this.problems.push(`left: ${connection.server.left().join()}; ${connection.server.last?.state}; ${this.pool.jobs.length} jobs`);
        return;
      }
      this.pool.answer();
      for (const job of [...this.pool.jobs]) {
        if (!job.started) this.#begin(job);
        this.#finish(job, 'succeeded');
      }
      connection.arrivals(50, 50);
      await settled();
      this.clock.advance(100);
    }
    await this.#until('everything is settled', this.settler.idle());
    await this.#until('it has stopped', this.consumer.stop());
  }

  verdict(): string[] {
    const { server } = this.broker.connection;
    const gone = new Set(server.gone.map((id) => id.replace(/#.*/, '')));
    for (const key of gone) if (!this.#ended.has(key)) this.problems.push(`${key} is gone, and has not come to its end`);
    for (let number = 0; number < tasks; number++) if (!gone.has(`t${number}/0`)) this.problems.push(`t${number} is not gone`);
    return [...this.problems, ...server.faults];
  }

  #begin(job: Job): void {
    const { header } = job.listener as Request;
    const key = `${header.id}/${header.retries}`;
    if (this.#running.has(key) && !this.#twice.has(header.id)) this.problems.push(`${key} is begun beside itself`);
    this.#begun.add(key);
    this.#running.set(key, job);
    this.pool.startJob(job);
  }

  #end(job: Job): void {
    this.#finish(job, this.random.pick(['succeeded', 'succeeded', 'succeeded', 'failed', 'retried', 'rejected'] as const));
  }

  #finish(job: Job, how: 'succeeded' | Extract<EndKind, 'failed' | 'retried' | 'rejected'>): void {
    const { header } = job.listener as Request;
    const key = `${header.id}/${header.retries}`;
    if (how !== 'rejected') this.#ended.add(key);
    this.#over(job, key);
    if (how === 'succeeded') {
      job.listener.onSucceeded(job, 0.1, null, 'null');
      return;
    }
    if (how === 'retried') {
      const { id, task, retries } = header;
      const { headers, properties, body } = encodeTask({ task, id, args: [], kwargs: {}, origin: 'gen1@test', retries: retries + 1 });
      const meta = { taskName: task, taskId: id, headers, properties, route: { queue: 'celery' }, dueAtMs: null };
      job.followUps = [{ meta, body }];
    }
    const requeue = how === 'rejected' ? { requeue: true } : null;
    // A rejection that comes too late, after an early acknowledgement, is the end.
    if (how === 'rejected' && header.task === early.name) this.#ended.add(key);
    job.listener.onEnded(job, 0.1, { kind: how, text: 'x', traceback: null, ...requeue }, '{}');
  }

  /** Its child dies. */
  #lose(job: Job): void {
    const { header } = job.listener as Request;
    const key = `${header.id}/${header.retries}`;
    if (header.task === early.name) this.#ended.add(key);
    this.#over(job, key);
    const exit: ChildExit = { pid: 1, index: 1, exitCode: null, signal: 'SIGKILL' };
    job.listener.onWorkerLost(job, exit);
  }

  #over(job: Job, key: string): void {
    if (this.#jobsEnded.has(job)) this.problems.push(`${key} ended twice`);
    this.#jobsEnded.add(job);
    this.pool.jobs.splice(this.pool.jobs.indexOf(job), 1);
    if (this.#running.get(key) === job) this.#running.delete(key);
  }

  #elsewhere(): void {
    const id = this.broker.connection.server.takeElsewhere('celery');
    if (id !== null) this.#ended.add(id.replace(/#.*/, ''));
  }

  /** The state is told before the channels' end or after it. */
  #cut(): void {
    const { broker, random } = this;
    if (!broker.connection.server.up) return;
    const first = random.below(2) === 0;
    if (first) broker.enter('lost');
    broker.connection.cut();
    if (!first) broker.enter('lost');
    if (random.below(3) === 0) broker.connection.server.forget(1 + random.below(3));
  }

  #reconnect(): void {
    if (!this.broker.connection.comeBack()) return;
    this.broker.enter('connected');
    this.broker.reconnected();
  }

  async #until(what: string, reached: Promise<unknown>): Promise<void> {
    let isOver = false;
    const over = reached.finally(() => {
      isOver = true;
    });
    over.catch(() => {});
    for (let round = 0; !isOver; round++) {
      if (round > 500) {
        this.problems.push(`not so: ${what}`);
        return;
      }
      this.broker.connection.arrivals(50, 50);
      await settled();
      this.clock.advance(100);
    }
    await over;
  }
}

t.test('nothing is acknowledged that has not come to its end', async (t) => {
  t.setTimeout(runs * 1000);
  let gone = 0;
  for (let at = 0; at < runs; at++) {
    const run = new ModelRun(firstSeed + at);
    await run.start();
    for (let step = 0; step < stepsPerRun; step++) await run.step();
    await run.calm();
    const problems = run.verdict();
    gone += run.broker.connection.server.gone.length;
    if (problems.length === 0) continue;
    t.same(problems.slice(0, 10), [], `MODEL_SEED=${firstSeed + at}`);
    return;
  }
  t.ok(gone >= runs * tasks, `${gone} messages`);
});
