/**
 * RabbitMQ, acceptance 2: nothing is lost, only messages marked redelivered are started a second time, and consuming goes on within five seconds of
 * each recovery, whatever is killed, stopped or cut.
 *
 * Late-acknowledged tasks in a durable queue, persistent messages, on two umbel workers, each behind a proxy of its own, and a real Python worker.
 * Workers and children are killed, workers stand still, connections are closed by an operator, cut, or go half-open, and the broker is restarted, killed and
 * halted; when is a number of executions drawn from the seed. The results are in a Redis to which nothing is done.
 *
 * Repeat a run with the seed it prints: CHAOS_SEED=… (the plan and the tasks are then the same; the kernel's scheduling is not).
 * Half a round is run when nothing is said: every disturbance at least once. CHAOS_ROUNDS=20 is the full run: 50,000 tasks.
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, ended, PythonCelery } from '../python-celery.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { RedisServer } from '../redis-server.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import { anyKills, ChaosFleet, elapsed } from './chaos-fleet.ts';
import { planEvents, planWork, publish, pythonTasks, wrongResults } from './chaos-plan.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { type Break, judgeRedeliveries } from './redelivery-verdict.ts';
import { monotonicMs, RunLog } from './run-log.ts';
import { SeededRandom } from './seeded-random.ts';
import { startedApp } from './started-client.ts';

const rounds = Number(process.env.CHAOS_ROUNDS ?? 0.5);
const full = rounds >= 20;
const taskCount = Math.round(2500 * rounds);
const longestMs = full ? 30_000 : 3000;
const hangsAfterMs = longestMs + 60_000;
const heartbeatSeconds = 2;
/** RabbitMQ gives a connection up between two and three of them, and so does a worker. */
const noticedMs = 3 * heartbeatSeconds * 1000;
/** A machine that stands still for a while takes that from whoever counts heartbeats. A connection that is not given up is not made again. */
const spareMs = 2500;
const consumingWithinMs = 5000;
const few = 10;

const events = {
  'kill a child': 6,
  'kill a worker': 2,
  'stop a worker for a moment': 2,
  'stop a worker beyond its heartbeats': 0.5,
  'restart the broker': 1,
  'halt the broker': 0.5,
  'close all connections': 1,
  'cut connections': 3,
  'go half-open': 1,
  'kill the Python worker': 0.5,
} as const;
type Kind = keyof typeof events;

interface Recovery {
  readonly kind: Kind;
  readonly pid: number;
  readonly ms: number;
}

/** The fleet, its broker, and the proxies between. */
class AmqpChaos {
  readonly breaks: Break[] = [];
  /** How long after each recovery a worker consumed again. */
  readonly recoveries: Recovery[] = [];
  readonly fleet: ChaosFleet;
  readonly #server: RabbitmqServer;
  readonly #proxies: readonly TcpProxy[];
  readonly #clientBack: () => Promise<void>;
  readonly #random: SeededRandom;

  constructor(
    fleet: ChaosFleet,
    server: RabbitmqServer,
    proxies: readonly TcpProxy[],
    random: SeededRandom,
    clientBack: () => Promise<void>,
  ) {
    this.fleet = fleet;
    this.#server = server;
    this.#proxies = proxies;
    this.#random = random;
    this.#clientBack = clientBack;
  }

  async suffer(kind: Kind): Promise<void> {
    const which = this.#random.below(this.fleet.workers.length);
    const worker = this.fleet.workers[which] as LiveWorker;
    const proxy = this.#proxies[which] as TcpProxy;
    const { fleet } = this;
    switch (kind) {
      case 'kill a child':
        await fleet.killChild(worker.pid);
        break;
      case 'kill a worker':
        await fleet.killWorker(which);
        break;
      case 'stop a worker for a moment':
        fleet.standStill(worker.pid, 100 + this.#random.below(1400), this.#random.below(2) === 0);
        break;
      case 'stop a worker beyond its heartbeats': {
        const ms = noticedMs + spareMs + this.#random.below(2000);
        this.#broke(worker.pid);
        await this.#recovers(kind, [worker], async () => {
          fleet.standStill(worker.pid, ms, this.#random.below(2) === 0);
          await fleet.onTheirFeet();
        });
        break;
      }
      case 'restart the broker': {
        const gently = this.#random.below(2) === 0;
        await this.#outage(kind, async () => {
          if (gently) await this.#server.stop();
          else await this.#server.kill();
          await elapsed(this.#random.below(1500));
          await this.#server.start();
        });
        break;
      }
      case 'halt the broker':
        await this.#outage(kind, async () => {
          this.#server.pause();
          await elapsed(noticedMs + spareMs + this.#random.below(2000));
          this.#server.resume();
        });
        break;
      case 'close all connections':
        await this.#outage(kind, () => this.#server.control.closeAllConnections('chaos'));
        break;
      case 'cut connections':
        this.#broke(worker.pid);
        await this.#recovers(kind, [worker], async () => proxy.cut());
        break;
      case 'go half-open':
        this.#broke(worker.pid);
        await this.#recovers(kind, [worker], async () => {
          proxy.freeze();
          await elapsed(this.#random.below(2) === 0 ? this.#random.below(1000) : noticedMs + this.#random.below(3000));
          proxy.thaw();
        });
        break;
      case 'kill the Python worker':
        await fleet.killPython();
        break;
    }
    fleet.count(kind);
  }

  /** Of everybody, the client too: that publishes meanwhile would be another question. */
  async #outage(kind: Kind, strike: () => Promise<void>): Promise<void> {
    this.#broke(null);
    await this.fleet.withoutPublishing(async () => {
      await this.#recovers(kind, this.fleet.workers, strike);
      await this.#clientBack();
    });
    this.#broke(null);
  }

  #broke(pid: number | null): void {
    this.breaks.push({ pid, atMs: monotonicMs() });
  }

  /** Those that were consuming do so again, and say when. */
  async #recovers(kind: Kind, workers: readonly LiveWorker[], strike: () => Promise<void>): Promise<void> {
    await this.fleet.onTheirFeet();
    const consuming = workers.filter((worker) => worker.all('worker.ready').length > 0);
    const since = consuming.map((worker) => worker.now());
    await strike();
    const backAtMs = Date.now();
    await Promise.all(
      consuming.map(async (worker, at) => {
        const again = await worker.event('broker.consuming', undefined, since[at]);
        this.recoveries.push({ kind, pid: worker.pid, ms: Date.parse(again.ts) - backAtMs });
      }),
    );
  }
}

void t.test(`${taskCount} tasks in RabbitMQ under two umbel workers and a Python worker`, { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(full ? 3_600_000 : 290_000 * Math.max(1, rounds));
  const random = SeededRandom.fromEnvironment('CHAOS_SEED');
  t.comment(`CHAOS_SEED=${random.seed}`);
  const plan = planEvents(random, { events, rounds, taskCount });
  const work = planWork(new SeededRandom(random.seed), { taskCount, longestMs });
  const server = await RabbitmqServer.start(t);
  const results = (await RedisServer.start(t)).url();
  const proxies = [await TcpProxy.start(t, server.port), await TcpProxy.start(t, server.port)];
  const folder = new LiveFolder(t);
  const logPath = folder.file('runs.log');
  const log = new RunLog(logPath, hangsAfterMs);
  t.teardown(() => log.close());
  const app = await startedApp(t, { broker: server.url(), backend: results });
  const slots = random.pick([1, 1, 3]);
  const profile = random.pick(['default', 'default', 'fair']);
  t.comment(`-O ${profile}, worker.child_concurrency ${slots}`);
  const module = join(import.meta.dirname, 'fixture/redis-chaos.ts');
  const start = proxies.map((proxy, at) => (): LiveWorker => {
    const name = `chaos-${at}`;
    const env = {
      ...anyKills,
      CHAOS_LOG: logPath,
      UMBEL_WORKER_CHILD_CONCURRENCY: String(slots),
      UMBEL_BROKER_HEARTBEAT: String(heartbeatSeconds),
      UMBEL_BROKER_CONNECTION_TIMEOUT: '2',
      UMBEL_RESULT_BACKEND: results,
    };
    const url = `amqp://guest:guest@127.0.0.1:${proxy.port}//`;
    const args = ['worker', '-A', module, '-b', url, '-c', '2', '-O', profile, '-n', `${name}@localhost`];
    return folder.start([...args, '--pidfile', folder.file(`${name}.pid`), '--log-format', 'json', '-l', 'info'], { env });
  });
  const celeryApp = `Celery('tasks', broker='${server.url()}', backend='${results}')`;
  const celery = new PythonCelery(t, pythonTasks({ app: celeryApp, settings: '', logPath }));
  const fleet = new ChaosFleet({
    log,
    random,
    start,
    startPython: () => celery.worker(['celery']),
    endPython: async (python, telling) => {
      telling();
      await ended(python, 'SIGTERM');
      return python.exitCode;
    },
  });
  /** A message that nobody takes can be sent. */
  const clientBack = async (): Promise<void> => {
    const send = (): Promise<boolean> =>
      taskHandle<[], void>('chaos.probe')
        .applyAsync({ args: [], queue: 'probe' })
        .then(
          () => true,
          () => false,
        );
    while (!(await send()));
  };
  const chaos = new AmqpChaos(fleet, server, proxies, random, clientBack);
  const idOf = (value: number): string => `chaos-${random.seed}-${value}`;

  await fleet.ready();
  const startedAtMs = monotonicMs();
  const published = publish(fleet, work, idOf);
  published.catch(() => {});
  for (const { kind, at } of plan) {
    await log.started(at);
    await chaos.suffer(kind);
  }
  await published;
  const calmAtMs = monotonicMs();
  const unfinished = await log.allEnded(taskCount).then(
    () => null,
    (error: unknown) => String(error),
  );
  const wrong = unfinished === null ? await wrongResults(app, { taskCount, idOf, timeoutMs: hangsAfterMs }) : [unfinished];
  // When all have ended once, what came a second time may wait behind others still. Whoever is told to end puts that back, and it would be left.
  if (unfinished === null) {
    const isEmpty = async (): Promise<boolean> => /^celery\t0$/m.test(await server.control.list('queues', ['name', 'messages']));
    await eventually(t, 'what came a second time is done as well', isEmpty, hangsAfterMs);
  }
  const ends = await fleet.end();
  const drainedAtMs = monotonicMs();

  const lines = log.end();
  const verdict = judgeRedeliveries({
    lines,
    killedAtMs: fleet.killedAtMs,
    breaks: chaos.breaks,
    reserveMs: longestMs + noticedMs + 10_000,
  });
  const lost = Array.from({ length: taskCount }, (_, value) => idOf(value)).filter((id) => !log.ended.has(id));
  const byPython = lines.filter(({ what, kind }) => what === 'start' && kind === 'python').length;
  const slowest = chaos.recoveries.toSorted((a, b) => b.ms - a.ms);
  t.comment(
    `${verdict.runs} runs, ${byPython} of them by Python; ${verdict.repeats} repeats; disturbed for ` +
      `${((calmAtMs - startedAtMs) / 1000).toFixed(1)}s, drained in ${((drainedAtMs - calmAtMs) / 1000).toFixed(1)}s; ` +
      `${slowest.length} recoveries, the slowest ${slowest[0]?.ms ?? 0} ms (${slowest[0]?.kind ?? ''})`,
  );
  t.comment(
    Object.entries(fleet.done)
      .map(([kind, count]) => `${kind}: ${count}`)
      .join('; '),
  );
  t.same(lost.slice(0, few), [], `no task is lost (${lost.length} are)`);
  t.same(wrong.slice(0, few), [], `every result is SUCCESS with the right value (${wrong.length} are not)`);
  t.same(
    verdict.unmarked.slice(0, few),
    [],
    `every second start was of a message marked redelivered (${verdict.unmarked.length} were not)`,
  );
  t.same(verdict.uncaused.slice(0, few), [], `nothing was started again for no reason (${verdict.uncaused.length} were)`);
  t.same(verdict.beside.slice(0, few), [], `no umbel worker started what it was running (${verdict.beside.length} times)`);
  t.same(
    slowest.filter(({ ms }) => ms > consumingWithinMs),
    [],
    'consuming again within 5 s of every recovery',
  );
  t.ok(slowest.length > 0, 'there were recoveries');
  t.ok(verdict.repeats > 0, 'kills and breaks hit running tasks');
  t.ok(byPython > 0, 'the Python worker took part');
  t.same(ends, [0, 0, 0], 'the last workers ended well');
  const queues = await server.control.list('queues', ['name', 'messages']);
  t.match(queues, /^celery\t0$/m, 'nothing is left in RabbitMQ');
  t.notMatch(queues, /^umbel\.dead\b/m, 'nothing was put aside');
  if (t.passing()) return;
  for (const id of lost.slice(0, few)) t.comment(fleet.historyOf(id));
  const told = fleet.workers.map((worker, at) => `worker ${at} (${worker.pid}) wrote:\n${worker.lines.slice(-40).join('\n')}`);
  t.comment(`repeat with CHAOS_SEED=${random.seed}\n${told.join('\n')}`);
  t.comment(`killed: ${JSON.stringify([...fleet.killedAtMs])}; breaks: ${JSON.stringify(chaos.breaks)}`);
});
