/**
 * Redis, acceptance 2: nothing is lost, and nothing is started twice while its holder lives, whatever is killed, stopped or cut.
 *
 * Late-acknowledged tasks over a private Redis with AOF, visibility timeout 10 s, on two umbel workers and a real Python worker. Umbel
 * workers and their children are killed, workers and Redis stand still, Redis is restarted, connections are dropped; when is a
 * number of executions drawn from the seed. The Python worker is only ever told to end, when it has read what
 * it asked for, and is away while Redis is restarted: kombu takes a message before it writes down that it has it.
 *
 * Repeat a run with the seed it prints: CHAOS_SEED=… (the plan and the tasks are then the same; the kernel's scheduling is not).
 * Half a round is run when nothing is said: every disturbance at least once. CHAOS_ROUNDS=20 is the full run: 50,000 tasks of up to 30 s with ETAs of up to 30 s, in about half an hour.
 */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { anyKills, ChaosFleet, elapsed } from './chaos-fleet.ts';
import { planEvents, planWork, publish, pythonTasks, wrongResults } from './chaos-plan.ts';
import { judge } from './holder-verdict.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { endInGoodOrder } from './python-worker-end.ts';
import { monotonicMs, RunLog } from './run-log.ts';
import { SeededRandom } from './seeded-random.ts';
import { startedApp } from './started-client.ts';

const rounds = Number(process.env.CHAOS_ROUNDS ?? 0.5);
const full = rounds >= 20;
const taskCount = Math.round(2500 * rounds);
/** Longer than the visibility timeout, so that only renewal keeps a long one from being given to somebody else. */
const longestMs = full ? 30_000 : 12_000;
const visibilityTimeoutSeconds = 10;
const leaseSeconds = 6;
/** A sign of life is given three times in a lease; a second for a busy machine. */
const shortestLeaseMs = (leaseSeconds * 1000 * 2) / 3 - 1000;
/** Beyond the longest task, kombu's way to find what was left behind: every 100 s. */
const hangsAfterMs = longestMs + (full ? 150_000 : 60_000);
const few = 10;
/** Between a child's look at the clock and the first line of a task, half of the time: it is far less. */
const lookedLongAgoMs = 20;

const events = {
  'kill a child': 8,
  'kill a worker': 4,
  'stop a worker for a moment': 2,
  'stop a worker beyond its lease': 1,
  'restart Redis': 2,
  'stop Redis': 1,
  'cut connections': 8,
  'end the Python worker': 1,
} as const;
type Kind = keyof typeof events;

/** The fleet and its Redis. */
class RedisChaos {
  readonly fleet: ChaosFleet;
  readonly #server: RedisServer;
  readonly #clientBack: () => Promise<unknown>;
  readonly #random: SeededRandom;

  /** `clientBack` resolves when the client that publishes has its connection again: it comes back a while after the server. */
  constructor(fleet: ChaosFleet, server: RedisServer, random: SeededRandom, clientBack: () => Promise<unknown>) {
    this.fleet = fleet;
    this.#server = server;
    this.#random = random;
    this.#clientBack = clientBack;
  }

  async suffer(kind: Kind): Promise<void> {
    const which = this.#random.below(this.fleet.workers.length);
    const { pid } = this.fleet.workers[which] as LiveWorker;
    switch (kind) {
      case 'kill a child':
        await this.fleet.killChild(pid);
        break;
      case 'kill a worker':
        await this.fleet.killWorker(which);
        break;
      case 'stop a worker for a moment':
        this.fleet.standStill(pid, 100 + this.#random.below(1400), this.#random.below(2) === 0);
        break;
      case 'stop a worker beyond its lease':
        this.fleet.standStill(pid, leaseSeconds * 1000 + 2000 + this.#random.below(3000), this.#random.below(2) === 0);
        break;
      case 'restart Redis':
        await this.#restartRedis();
        break;
      case 'stop Redis':
        this.#server.pause();
        await elapsed(200 + this.#random.below(1500));
        this.#server.resume();
        break;
      case 'cut connections':
        this.#cutConnections();
        break;
      case 'end the Python worker':
        await this.fleet.endPython();
        await this.fleet.restartPython();
        break;
    }
    this.fleet.count(kind);
  }

  async #restartRedis(): Promise<void> {
    await this.fleet.endPython();
    await this.fleet.withoutPublishing(async () => {
      if (this.#random.below(2) === 0) await this.#server.stop();
      else await this.#server.kill();
      await elapsed(this.#random.below(1500));
      await this.#server.start();
      await this.#clientBack();
    });
    await this.fleet.restartPython();
  }

  /** Of umbel workers, some or all. */
  #cutConnections(): void {
    const clients = this.#server
      .cli('CLIENT', 'LIST')
      .split('\n')
      .filter((client) => client.includes(' name=chaos-'))
      .map((client) => /^id=(\d+)/.exec(client)?.[1] ?? '');
    const cut = this.#random.shuffle(clients).slice(0, 1 + this.#random.below(Math.max(1, clients.length)));
    for (const id of cut) {
      // One may have gone meanwhile.
      try {
        this.#server.cli('CLIENT', 'KILL', 'ID', id);
      } catch {}
    }
  }
}

void t.test(`${taskCount} tasks in Redis under two umbel workers and a Python worker`, { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(full ? 3_600_000 : 290_000 * Math.max(1, rounds));
  const random = SeededRandom.fromEnvironment('CHAOS_SEED');
  t.comment(`CHAOS_SEED=${random.seed}`);
  const plan = planEvents(random, { events, rounds, taskCount });
  const work = planWork(new SeededRandom(random.seed), { taskCount, longestMs });
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const url = server.url();
  const folder = new LiveFolder(t);
  const logPath = folder.file('runs.log');
  const log = new RunLog(logPath, hangsAfterMs);
  t.teardown(() => log.close());
  const app = await startedApp(t, { broker: url, backend: url });
  const slots = random.pick([1, 1, 3]);
  const profile = random.pick(['default', 'default', 'fair']);
  t.comment(`-O ${profile}, worker.child_concurrency ${slots}`);
  const module = join(import.meta.dirname, 'fixture/redis-chaos.ts');
  const start = ['a', 'b'].map((name) => (): LiveWorker => {
    const options = { visibility_timeout: visibilityTimeoutSeconds, client_name: `chaos-${name}` };
    const env = {
      ...anyKills,
      CHAOS_LOG: logPath,
      UMBEL_WORKER_CHILD_CONCURRENCY: String(slots),
      UMBEL_BROKER_TRANSPORT_OPTIONS: JSON.stringify(options),
      UMBEL_REDIS_LEASE_SECONDS: String(leaseSeconds),
      UMBEL_RESULT_BACKEND: url,
    };
    const pidfile = folder.file(`${name}.pid`);
    const args = ['worker', '-A', module, '-b', url, '-c', '2', '-O', profile, '-n', `chaos-${name}@localhost`, '--pidfile', pidfile];
    return folder.start([...args, '--log-format', 'json', '-l', 'info'], { env });
  });
  const settings = `app.conf.broker_transport_options = {'visibility_timeout': ${visibilityTimeoutSeconds}}`;
  const celery = new PythonCelery(t, pythonTasks({ app: `Celery('tasks', broker='${url}', backend='${url}')`, settings, logPath }));
  const fleet = new ChaosFleet({
    log,
    random,
    start,
    startPython: () => celery.worker(['celery']),
    endPython: (python, telling) => endInGoodOrder(celery, python, telling),
  });
  const chaos = new RedisChaos(fleet, server, random, () => app.result('nobody').state());
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
  const ends = await fleet.end();
  const drainedAtMs = monotonicMs();

  const lines = log.end();
  const verdict = judge({
    lines,
    killedAtMs: fleet.killedAtMs,
    standstills: fleet.standstills,
    shortestLeaseMs,
    visibilityTimeoutMs: visibilityTimeoutSeconds * 1000,
  });
  const lost = Array.from({ length: taskCount }, (_, value) => idOf(value)).filter((id) => !log.ended.has(id));
  const byPython = lines.filter(({ what, kind }) => what === 'start' && kind === 'python').length;
  t.comment(
    `${verdict.runs} runs, ${byPython} of them by Python; ${verdict.repeats} repeats, ${verdict.byKombu} of them because kombu does not renew and ${verdict.caught} by a child stopped at their first step; ` +
      `disturbed for ${((calmAtMs - startedAtMs) / 1000).toFixed(1)}s, drained in ${((drainedAtMs - calmAtMs) / 1000).toFixed(1)}s`,
  );
  t.comment(
    Object.entries(fleet.done)
      .map(([kind, count]) => `${kind}: ${count}`)
      .join('; '),
  );
  const looks = lines.flatMap(({ lookedAtMs, atMs }) => (lookedAtMs === null ? [] : [atMs - lookedAtMs])).sort((a, b) => a - b);
  const usualMs = looks[Math.floor(looks.length / 2)] ?? Number.NaN;
  t.ok(usualMs >= 0 && usualMs < lookedLongAgoMs, `children say when they looked at the clock: ${usualMs.toFixed(3)} ms before a start`);
  t.same(lost.slice(0, few), [], `no task is lost (${lost.length} are)`);
  t.same(wrong.slice(0, few), [], `every result is SUCCESS with the right value (${wrong.length} are not)`);
  t.same(verdict.doubled.slice(0, few), [], `no task was started twice while its holder lived (${verdict.doubled.length} were)`);
  t.same(verdict.unmarked.slice(0, few), [], `every repeat was marked redelivered (${verdict.unmarked.length} were not)`);
  t.ok(verdict.repeats > 0, 'kills hit running tasks');
  t.ok(byPython > 0, 'the Python worker took part');
  t.same(ends, [0, 0, 0], 'the last workers ended well');
  const left = [server.cli('HLEN', 'unacked'), server.cli('ZCARD', 'unacked_index'), server.cli('LLEN', 'celery')];
  t.same(left, ['0', '0', '0'], 'nothing is left in Redis');
  t.equal(server.cli('LLEN', 'umbel.dead'), '0', 'nothing was put aside');
  if (t.passing()) return;
  for (const id of lost.slice(0, few)) t.comment(fleet.historyOf(id));
  const told = fleet.workers.map((worker, at) => `worker ${at} (${worker.pid}) wrote:\n${worker.lines.slice(-40).join('\n')}`);
  t.comment(`repeat with CHAOS_SEED=${random.seed}\n${told.join('\n')}`);
  t.comment(`killed: ${JSON.stringify([...fleet.killedAtMs])}; stood still: ${JSON.stringify(fleet.standstills)}`);
});
