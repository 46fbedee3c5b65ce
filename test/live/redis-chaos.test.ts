/**
 * Redis, acceptance 2: nothing is lost, and nothing is started twice while its holder lives, whatever is killed, stopped or cut.
 *
 * Late-acknowledged tasks over a private Redis with AOF, visibility timeout 10 s, on two umbel workers and a real Python worker. Umbel
 * workers and their children are killed, workers and Redis stand still, Redis is restarted, connections are dropped; when is a
 * number of executions drawn from the seed. The Python worker is only ever told to end, when it has read what
 * it asked for, and is away while Redis is restarted: kombu takes a message before it writes down that it has it.
 *
 * Repeat a run with the seed it prints: CHAOS_SEED=… (the plan and the tasks are then the same; the kernel's scheduling is not).
 * CHAOS_ROUNDS=20 is the full run: 50,000 tasks of up to 30 s with ETAs of up to 30 s, in about half an hour.
 */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { App, taskHandle } from '../../src/client/umbel.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RedisServer } from '../redis-server.ts';
import { judge, type Standstill } from './holder-verdict.ts';
import { LiveFolder } from './live-folder.ts';
import { childrenOf, isRunning, type LiveWorker } from './live-worker.ts';
import { endInGoodOrder } from './python-worker-end.ts';
import { monotonicMs, RunLog } from './run-log.ts';
import { SeededRandom } from './seeded-random.ts';

const rounds = Number(process.env.CHAOS_ROUNDS ?? 1);
const full = rounds >= 20;
const taskCount = Math.round(2500 * rounds);
/** Longer than the visibility timeout, so that only renewal keeps a long one from being given to somebody else. */
const longestMs = full ? 30_000 : 12_000;
const longTasks = Math.max(3, Math.round(taskCount / 1000));
const publishedAtOnce = 100;
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

interface Event {
  readonly kind: Kind;
  /** When so many executions have begun. */
  readonly at: number;
}

function planEvents(random: SeededRandom): Event[] {
  const kinds = (Object.keys(events) as Kind[]).flatMap((kind) =>
    Array.from({ length: Math.max(1, Math.round(events[kind] * rounds)) }, () => kind),
  );
  random.shuffle(kinds);
  const counts = kinds.map(() => 1 + random.below(Math.floor(taskCount * 0.9))).sort((a, b) => a - b);
  return kinds.map((kind, index) => ({ kind, at: counts[index] as number }));
}

interface Work {
  readonly ms: number;
  readonly busy: boolean;
  readonly countdownMs: number;
}

/** Mostly short; a few beyond the visibility timeout; a tenth with an ETA. */
function planWork(random: SeededRandom): Work[] {
  const long = Array.from({ length: longTasks }, () => ({ ms: 1000 + random.below(longestMs - 1000), busy: false, countdownMs: 0 }));
  const longest = { ms: longestMs, busy: false, countdownMs: 0 };
  const farAway = { ms: 1, busy: false, countdownMs: longestMs };
  const short = Array.from({ length: taskCount - longTasks - 2 }, () => {
    const kind = random.below(100);
    const ms = kind < 60 ? 1 + random.below(5) : kind < 95 ? 5 + random.below(75) : 100 + random.below(900);
    const later = random.below(10) === 0;
    return {
      ms,
      busy: ms < 10 && random.below(2) === 0,
      countdownMs: later ? 1 + random.below(random.below(10) === 0 ? longestMs : 1000) : 0,
    };
  });
  return random.shuffle([...long, longest, farAway, ...short]);
}

const tasksModule = (url: string, logPath: string): string => `
import os, time
from celery import Celery
from celery.signals import task_received
app = Celery('tasks', broker='${url}', backend='${url}')
app.conf.broker_transport_options = {'visibility_timeout': ${visibilityTimeoutSeconds}}
app.conf.worker_prefetch_multiplier = 4
app.conf.worker_redirect_stdouts = False

log = os.open('${logPath}', os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(what, task_id, worker, child, redelivered):
    os.write(log, b'%s %s python %d %d %d %d\\n' % (what, task_id.encode(), worker, child, 1 if redelivered else 0, time.clock_gettime_ns(time.CLOCK_MONOTONIC)))

@task_received.connect
def received(request=None, **kwargs):
    note(b'received', request.id, os.getpid(), 0, request.delivery_info.get('redelivered'))

@app.task(name='chaos.work', bind=True, acks_late=True, reject_on_worker_lost=True)
def work(self, value, ms, busy):
    redelivered = self.request.delivery_info.get('redelivered')
    note(b'start', self.request.id, os.getpid(), os.getpid(), redelivered)
    if busy:
        until = time.monotonic() + ms / 1000
        while time.monotonic() < until:
            pass
    else:
        time.sleep(ms / 1000)
    note(b'end', self.request.id, os.getpid(), os.getpid(), redelivered)
    return value
`;

/** Two umbel workers, a Python worker and their Redis; and what has been done to them. */
class Fleet {
  readonly killedAtMs = new Map<number, number>();
  readonly standstills: Standstill[] = [];
  readonly done: Record<string, number> = {};
  /** Publishing waits while Redis is away: a client's message that was perhaps sent is not the question here. */
  redisBack: Promise<unknown> = Promise.resolve();
  publishing: Promise<unknown> = Promise.resolve();
  readonly workers: LiveWorker[];
  readonly #start: readonly (() => LiveWorker)[];
  readonly #server: RedisServer;
  readonly #celery: PythonCelery;
  readonly #clientBack: () => Promise<unknown>;
  readonly #log: RunLog;
  readonly #random: SeededRandom;
  #python: Promise<ChildProcess>;
  readonly #standing = new Set<Promise<void>>();

  constructor(params: {
    readonly server: RedisServer;
    readonly celery: PythonCelery;
    /** Resolves when the client that publishes has its connection again: it comes back a while after the server. */
    clientBack(): Promise<unknown>;
    readonly log: RunLog;
    readonly random: SeededRandom;
    readonly start: readonly (() => LiveWorker)[];
  }) {
    this.#server = params.server;
    this.#celery = params.celery;
    this.#clientBack = () => params.clientBack();
    this.#log = params.log;
    this.#random = params.random;
    this.#start = params.start;
    this.workers = params.start.map((start) => start());
    this.#python = this.#startPython();
  }

  /** All have come up. */
  async ready(): Promise<void> {
    await Promise.all([...this.workers.map((worker) => worker.ready()), this.#python]);
  }

  async suffer(kind: Kind): Promise<void> {
    const which = this.#random.below(this.workers.length);
    const { pid } = this.workers[which] as LiveWorker;
    switch (kind) {
      case 'kill a child':
        await this.#killChild(pid);
        break;
      case 'kill a worker':
        this.killedAtMs.set(pid, monotonicMs());
        await this.workers[which]?.stop('SIGKILL');
        this.workers[which] = (this.#start[which] as () => LiveWorker)();
        break;
      case 'stop a worker for a moment':
        this.#standStill(pid, 100 + this.#random.below(1400), this.#random.below(2) === 0);
        break;
      case 'stop a worker beyond its lease':
        this.#standStill(pid, leaseSeconds * 1000 + 2000 + this.#random.below(3000), this.#random.below(2) === 0);
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
        await this.#endPython();
        await this.#restartPython();
        break;
    }
    this.done[kind] = (this.done[kind] ?? 0) + 1;
  }

  /** Everybody is on their feet; then all end in good order. */
  async end(): Promise<unknown[]> {
    await Promise.all(this.#standing);
    const python = await this.#endPython();
    return [...(await Promise.all(this.workers.map(async (worker) => (await worker.stop()).code))), python];
  }

  #startPython(): Promise<ChildProcess> {
    const started = this.#celery.worker(['celery']);
    // Looked at when it is ended.
    started.catch(() => {});
    return started;
  }

  async #restartPython(): Promise<void> {
    this.#python = this.#startPython();
    await this.#python;
  }

  async #endPython(): Promise<number | null> {
    const python = await this.#python;
    return endInGoodOrder(this.#celery, python, () => this.killedAtMs.set(python.pid ?? 0, monotonicMs()));
  }

  async #killChild(worker: number): Promise<void> {
    const children = childrenOf(worker).filter((pid) => !this.killedAtMs.has(pid));
    const working = new Set(this.#log.lines.slice(-300).map(({ child }) => child));
    const victims = children.filter((pid) => working.has(pid));
    // All are being replaced: any other process that works will do.
    const others = this.workers.flatMap(({ pid }) => childrenOf(pid)).filter((pid) => !this.killedAtMs.has(pid));
    const candidates = victims.length > 0 ? victims : others;
    if (candidates.length === 0) {
      await this.#log.started(this.#log.starts + 1);
      await this.#killChild(worker);
      return;
    }
    const victim = this.#random.pick(candidates);
    this.killedAtMs.set(victim, monotonicMs());
    process.kill(victim, 'SIGKILL');
  }

  /** The rest goes on meanwhile, and may kill it. */
  #standStill(pid: number, ms: number, withChildren: boolean): void {
    const children = withChildren ? childrenOf(pid) : [];
    const pids = [pid, ...children];
    const fromMs = monotonicMs();
    for (const one of pids) signal(one, 'SIGSTOP');
    const over = elapsed(ms).then(() => {
      this.standstills.push({ pid, children, fromMs, toMs: monotonicMs() });
      for (const one of pids) signal(one, 'SIGCONT');
    });
    this.#standing.add(over);
    void over.then(() => this.#standing.delete(over));
  }

  async #restartRedis(): Promise<void> {
    await this.#endPython();
    const back = Promise.withResolvers<void>();
    this.redisBack = back.promise;
    await this.publishing;
    if (this.#random.below(2) === 0) await this.#server.stop();
    else await this.#server.kill();
    await elapsed(this.#random.below(1500));
    await this.#server.start();
    await this.#clientBack();
    back.resolve();
    await this.#restartPython();
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

/** How long a disturbance lasts, which is no waiting for anything. */
function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function signal(pid: number, name: NodeJS.Signals): void {
  if (isRunning(pid)) process.kill(pid, name);
}

async function publish(fleet: Fleet, work: readonly Work[], idOf: (value: number) => string): Promise<void> {
  const task = taskHandle<[number, number, boolean], number>('chaos.work');
  for (let from = 0; from < work.length; from += publishedAtOnce) {
    await fleet.redisBack;
    const batch = work.slice(from, from + publishedAtOnce).map(({ ms, busy, countdownMs }, offset) => {
      const value = from + offset;
      const countdown = countdownMs === 0 ? {} : { countdown: countdownMs / 1000 };
      return task.applyAsync({ args: [value, ms, busy], taskId: idOf(value), ...countdown });
    });
    fleet.publishing = Promise.all(batch);
    await fleet.publishing;
  }
}

/** What is wrong with the results. */
async function wrongResults(app: App, idOf: (value: number) => string): Promise<string[]> {
  const wrong: string[] = [];
  for (let from = 0; from < taskCount; from += publishedAtOnce) {
    const batch = Array.from({ length: Math.min(publishedAtOnce, taskCount - from) }, async (_, offset) => {
      const value = from + offset;
      try {
        const result = await app.result<number>(idOf(value)).get({ timeoutMs: hangsAfterMs });
        if (result !== value) wrong.push(`${idOf(value)}: the result must be ${value}, got ${result}`);
      } catch (error) {
        wrong.push(`${idOf(value)}: ${String(error)}`);
      }
    });
    await Promise.all(batch);
  }
  return wrong;
}

void t.test(`${taskCount} tasks in Redis under two umbel workers and a Python worker`, { skip: celeryMissing() }, async (t: Test) => {
  t.setTimeout(full ? 3_600_000 : 290_000 * Math.max(1, rounds));
  const random = SeededRandom.fromEnvironment('CHAOS_SEED');
  t.comment(`CHAOS_SEED=${random.seed}`);
  const plan = planEvents(random);
  const work = planWork(new SeededRandom(random.seed));
  const server = await RedisServer.start(t, { config: { appendonly: 'yes', appendfsync: 'always' } });
  const url = server.url();
  const folder = new LiveFolder(t);
  const logPath = folder.file('runs.log');
  const log = new RunLog(logPath, hangsAfterMs);
  t.teardown(() => log.close());
  const app = new App({ broker: url, backend: url });
  await app.start();
  t.teardown(() => app.stop());
  const slots = random.pick([1, 1, 3]);
  const profile = random.pick(['default', 'default', 'fair']);
  t.comment(`-O ${profile}, worker.child_concurrency ${slots}`);
  const module = join(import.meta.dirname, 'fixture/redis-chaos.ts');
  const start = ['a', 'b'].map((name) => (): LiveWorker => {
    const options = { visibility_timeout: visibilityTimeoutSeconds, client_name: `chaos-${name}` };
    const env = {
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
  const celery = new PythonCelery(t, tasksModule(url, logPath));
  const fleet = new Fleet({ server, celery, clientBack: () => app.result('nobody').state(), log, random, start });
  const idOf = (value: number): string => `chaos-${random.seed}-${value}`;

  await fleet.ready();
  const startedAtMs = monotonicMs();
  const published = publish(fleet, work, idOf);
  published.catch(() => {});
  for (const { kind, at } of plan) {
    await log.started(at);
    await fleet.suffer(kind);
  }
  await published;
  const calmAtMs = monotonicMs();
  const unfinished = await log.allEnded(taskCount).then(
    () => null,
    (error: unknown) => String(error),
  );
  const wrong = unfinished === null ? await wrongResults(app, idOf) : [unfinished];
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
  if (t.passing()) return;
  const told = fleet.workers.map((worker, at) => `worker ${at} (${worker.pid}) wrote:\n${worker.lines.slice(-40).join('\n')}`);
  t.comment(`repeat with CHAOS_SEED=${random.seed}\n${told.join('\n')}`);
  t.comment(`killed: ${JSON.stringify([...fleet.killedAtMs])}; stood still: ${JSON.stringify(fleet.standstills)}`);
});
