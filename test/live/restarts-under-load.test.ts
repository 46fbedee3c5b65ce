/**
 * Workers in the background are restarted while tasks with late acknowledgement keep coming: none is lost and none runs twice, on any broker.
 *
 * Five nodes one after the other by `umbel multi restart --rolling`; one worker by HUP, fifty times in a row on the embedded broker.
 */
import { mkdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { BackgroundFolder } from './background-folder.ts';
import { type BrokerKind, openBroker } from './live-broker.ts';
import { allGone, isRunning } from './live-worker.ts';
import { RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

/** Notes every start and end in the file RUN_LOG names, and gives back which version of the code it is. */
const tasks = (version: number): string => `import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const log = openSync(process.env.RUN_LOG, 'a');
const note = (what, { id, deliveryInfo }) =>
  writeSync(log, [what, id, 'umbel', process.ppid, process.pid, deliveryInfo.redelivered ? 1 : 0, process.hrtime.bigint()].join(' ') + '\\n');
export const work = task({ bind: true, acksLate: true }, async (context, ms) => {
  note('start', context);
  await delay(ms);
  note('end', context);
  return ${version};
});
`;
/** While something is waited for, no task starts or ends for so long: it hangs. */
const hangsAfterMs = 60_000;

class Scene {
  readonly folder: BackgroundFolder;
  readonly log: RunLog;
  readonly #app: App;
  readonly #running: Promise<void>[] = [];
  readonly #sent: string[] = [];
  #over = false;

  private constructor(folder: BackgroundFolder, log: RunLog, app: App) {
    this.folder = folder;
    this.log = log;
    this.#app = app;
  }

  static async set(t: Test, kind: BrokerKind, toml: string): Promise<Scene> {
    const folder = new BackgroundFolder(t);
    const { url } = await openBroker(t, kind, folder);
    const backend = kind === 'rabbitmq' ? folder.sqliteUrl('results.db') : url;
    folder.write('tasks.js', tasks(0));
    folder.write('runs', '');
    // `umbel multi` makes them, a worker does not.
    for (const name of ['run', 'log']) mkdirSync(folder.file(name));
    const worker =
      '[worker]\nconcurrency = 1\ntasks = ["tasks.js"]\npidfile = "run/%n.pid"\nlogfile = "log/%n.log"\nlog_format = "json"\nloglevel = "info"\n';
    folder.write('umbel.toml', `[broker]\nurl = "${url}"\n[result]\nbackend = "${backend}"\n${worker}${toml}`);
    const log = new RunLog(folder.file('runs'), hangsAfterMs);
    t.teardown(() => log.close());
    const app = await startedApp(t, { broker: url, backend });
    const scene = new Scene(folder, log, app);
    t.teardown(() => (scene.#over = true));
    return scene;
  }

  umbel(...args: readonly string[]) {
    return this.folder.umbel(args, { env: { RUN_LOG: this.folder.file('runs') } });
  }

  /** One more; its result, which is the version of the code that has run it. */
  async call(ms: number): Promise<number> {
    const taskId = `work-${this.#sent.length}`;
    this.#sent.push(taskId);
    const result = await this.#app.call<number>({ task: 'tasks.work', args: [ms], kwargs: {}, options: { taskId } });
    return result.get({ timeoutMs: hangsAfterMs });
  }

  /** So many at a time. Short tasks, and now and then one that a stop has to wait for. */
  load(callers: number): void {
    const caller = async (): Promise<void> => {
      while (!this.#over) await this.call(this.#sent.length % 20 === 0 ? 300 : 10 + (this.#sent.length % 10));
    };
    for (let n = 0; n < callers; n += 1) this.#running.push(caller());
    // Looked at when it is over.
    for (const one of this.#running) one.catch(() => {});
  }

  /** No more tasks are sent; each that was sent must have started once, ended once and given its result. */
  async verdict(t: Test): Promise<void> {
    this.#over = true;
    await Promise.all(this.#running);
    const lines = this.log.end();
    const counted = (wanted: string): string[] => lines.filter(({ what }) => what === wanted).map(({ taskId }) => taskId);
    t.same(counted('start').toSorted(), this.#sent.toSorted(), 'each started once');
    t.same(counted('end').toSorted(), this.#sent.toSorted(), 'and ended once');
    t.comment(`${this.#sent.length} tasks`);
  }
}

const names = ['w1', 'w2', 'w3', 'w4', 'w5'];
const declared = names.map((name) => `[node.${name}]\n`).join('');

async function roll(t: Test, scene: Scene, nodes: readonly string[]): Promise<void> {
  const { folder, log } = scene;
  const multi = (command: string, ...options: readonly string[]) => scene.umbel('multi', command, ...nodes, ...options);
  t.match(await multi('start'), { status: 0 });
  const first = folder.pids();
  t.equal(first.length, names.length);
  // More than they reserve together.
  scene.load(40);
  await log.startedByAll(first);
  const rolled = await multi('restart', '--rolling');
  t.equal(rolled.status, 0, rolled.stderr);
  t.equal(rolled.stdout.match(/> Restarting node .*: OK/g)?.length, names.length, rolled.stdout);
  const second = folder.pids();
  t.same(
    second.filter((pid) => first.includes(pid) || !isRunning(pid)),
    [],
    'all are others, and live',
  );
  t.same(first.filter(isRunning), []);
  await log.startedByAll(second);
  await scene.verdict(t);
  t.match(await multi('stopwait'), { status: 0 });
  t.same(folder.pids(), []);
  t.same(await allGone(second), []);
}

t.test('five nodes are rolled: on the embedded broker, those of the configuration', async (t) => {
  await roll(t, await Scene.set(t, 'sqlite', declared), []);
});

t.test('five nodes are rolled: on Redis, named on the command line', async (t) => {
  await roll(t, await Scene.set(t, 'redis', ''), names);
});

t.test('five nodes are rolled: on RabbitMQ, those of the configuration', async (t) => {
  await roll(t, await Scene.set(t, 'rabbitmq', declared), []);
});

async function hangUp(t: Test, scene: Scene, times: number): Promise<void> {
  const { folder, log } = scene;
  t.match(await scene.umbel('worker', '-D', '-n', 'w1@%h', '-c', '2'), { status: 0 });
  const [pid = 0] = folder.pids();
  // What it has written is read before the first HUP: its first `ready` would pass for the one after that.
  const worker = await folder.follow('log/w1.log').ready();
  // More than the worker runs, so that some are always in reserve.
  scene.load(8);
  await log.startedByAll([pid]);
  for (let version = 1; version <= times; version += 1) {
    folder.write('tasks.js', tasks(version));
    const since = worker.now();
    process.kill(pid, 'SIGHUP');
    t.equal((await worker.event('worker.ready', () => true, since)).pid, pid);
    t.equal(await scene.call(0), version, 'new code');
  }
  t.same(folder.pids(), [pid]);
  await scene.verdict(t);
  t.same([...new Set(log.lines.map((line) => line.worker))], [pid], 'one process has done it all');
  t.equal(worker.all('worker.restart').length, times);
  process.kill(pid, 'SIGTERM');
  await worker.event('worker.stopped');
  t.same(await allGone([pid]), []);
  t.same(folder.pids(), []);
}

t.test('HUP to a worker in the background: fifty in a row', async (t) => {
  await hangUp(t, await Scene.set(t, 'sqlite', ''), 50);
});

t.test('HUP to a worker in the background: on Redis', async (t) => {
  await hangUp(t, await Scene.set(t, 'redis', ''), 5);
});

t.test('HUP to a worker in the background: on RabbitMQ', async (t) => {
  await hangUp(t, await Scene.set(t, 'rabbitmq', ''), 5);
});
