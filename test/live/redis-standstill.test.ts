/**
 * A worker that stands still for longer than its lease, with tasks running, sent ahead and waiting: another takes them over, and when the
 * first goes on it starts none of them.
 *
 * What the children do next is decided by files and not by time: a running task blocks its child until the test lets it go.
 */
import t, { type Test } from 'tap';
import { App, taskHandle } from '../../src/client/umbel.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { isRunning, type LiveWorker } from './live-worker.ts';
import { type RunLine, RunLog } from './run-log.ts';

const leaseSeconds = 2;
const hangsAfterMs = 60_000;
/** Enough for the type to count as short, so that others are sent ahead of it. */
const warmUps = 24;
/** More than a child is sent ahead of, so that some wait in the parent. */
const reserved = 300;

/** Blocks its child, pipe and all, at a file that is not there yet; who gets it a second time does not wait. */
const tasksModule = (logPath: string, gate: string): string => `
import { existsSync, openSync, writeSync } from 'node:fs';
import { task } from 'umbel';
const log = openSync('${logPath}', 'a');
const still = new Int32Array(new SharedArrayBuffer(4));
const note = (what: string, context: { id: string; deliveryInfo: { redelivered: boolean } }): void => {
  const redelivered = context.deliveryInfo.redelivered ? 1 : 0;
  writeSync(log, \`\${what} \${context.id} umbel \${process.ppid} \${process.pid} \${redelivered} \${process.hrtime.bigint()}\\n\`);
};
export const step = task({ bind: true, acksLate: true, rejectOnWorkerLost: true }, (context, blocks: boolean): void => {
  note('start', context);
  while (blocks && !context.deliveryInfo.redelivered && !existsSync('${gate}')) Atomics.wait(still, 0, 0, 5);
  note('end', context);
});
`;

class Scene {
  readonly folder: LiveFolder;
  readonly log: RunLog;
  readonly app: App;
  readonly #url: string;
  readonly #logPath: string;

  private constructor(folder: LiveFolder, url: string, app: App) {
    this.folder = folder;
    this.app = app;
    this.#url = url;
    this.#logPath = folder.file('runs.log');
    this.log = new RunLog(this.#logPath, hangsAfterMs);
    folder.write('tasks.ts', tasksModule(this.#logPath, folder.file('gate')));
  }

  static async open(t: Test): Promise<Scene> {
    const url = (await RedisServer.start(t)).url();
    const app = new App({ broker: url });
    await app.start();
    t.teardown(() => app.stop());
    const scene = new Scene(new LiveFolder(t), url, app);
    t.teardown(() => scene.log.close());
    return scene;
  }

  worker(name: string): Promise<LiveWorker> {
    const env = { UMBEL_REDIS_LEASE_SECONDS: String(leaseSeconds), UMBEL_WORKER_PREFETCH_MULTIPLIER: '1000' };
    const args = ['worker', '-A', this.folder.file('tasks.ts'), '-b', this.#url, '-c', '1', '-n', `${name}@localhost`];
    const pidfile = this.folder.file(`${name}.pid`);
    return this.folder.start([...args, '--pidfile', pidfile, '--log-format', 'json', '-l', 'debug'], { env }).ready();
  }

  async send(id: string, blocks: boolean): Promise<void> {
    await taskHandle<[boolean], void>('tasks.step').applyAsync({ args: [blocks], taskId: id });
  }

  starts(id: string): RunLine[] {
    return this.log.lines.filter(({ what, taskId }) => what === 'start' && taskId === id);
  }
}

const waitingIds = Array.from({ length: reserved }, (_, n) => `reserved-${n}`);

async function standStill(t: Test, withChildren: boolean): Promise<void> {
  const scene = await Scene.open(t);
  const { log, folder } = scene;
  // All in the queue before anybody takes them, so that they come in one go.
  for (let n = 0; n < warmUps; n++) await scene.send(`warm-up-${n}`, false);
  await scene.send('running', true);
  for (const id of waitingIds) await scene.send(id, false);
  const first = await scene.worker('first');
  const [child] = first.children() as [number];
  await log.started(warmUps + 1);
  await first.event('task.received', ({ taskId }) => taskId === waitingIds.at(-1));
  await first.event('task.started', ({ taskId }) => taskId === 'running');

  const stopped = [first.pid, ...(withChildren ? [child] : [])];
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  const heir = await scene.worker('heir');
  await log.allEnded(warmUps + 1 + reserved);
  t.equal((await heir.stop()).code, 0);
  const before = log.end().length;
  const since = first.now();

  // With its parent still stopped the child alone has to know; with both stopped, both have.
  folder.write('gate', '');
  if (!withChildren) await log.finished(child, 'running');
  for (const pid of stopped.toReversed()) process.kill(pid, 'SIGCONT');
  await first.count('task.lost', reserved, ({ taskId }) => taskId !== 'running', since);
  await scene.send('after', false);
  await log.allEnded(warmUps + 1 + reserved + 1);
  t.ok(isRunning(child), 'in the very child that had the others before it');

  t.same(
    log
      .end()
      .slice(before)
      .map(({ what, taskId, child: pid }) => [what, taskId, pid]),
    [
      ['end', 'running', child],
      ['start', 'after', child],
      ['end', 'after', child],
    ],
    'what ran goes on, and of what others have taken nothing is started',
  );
  for (const id of ['running', ...waitingIds]) {
    const unmarked = scene.starts(id).filter(({ redelivered }) => !redelivered);
    if (unmarked.length !== (id === 'running' ? 1 : 0)) t.fail(`${id} was started unmarked ${unmarked.length} times`);
    const marked = scene.starts(id).filter(({ worker, redelivered }) => redelivered && worker === heir.pid);
    if (marked.length !== 1) t.fail(`${id} was started by the heir, marked, ${marked.length} times`);
  }
  t.ok(first.all('pool.held-back').length <= 1, 'said once, if anything could have been started before it was known to be lost');
  t.equal((await first.stop()).code, 0);
}

t.test('stopped beyond its lease, a worker starts nothing that another has', async (t) => {
  t.test('the parent alone, its child goes on', (t) => standStill(t, false));
  t.test('both', (t) => standStill(t, true));
});
