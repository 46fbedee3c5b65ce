/**
 * A worker that stands still for longer than its lease, with tasks running, sent ahead and waiting: another takes them over, and when the
 * first goes on it starts none of them.
 *
 * Nothing is left to time: a running task stops its own worker as its first act, so that what was sent ahead of it cannot be recalled, and
 * then blocks its child until the test lets it go. A task before all of them keeps the child until the worker is ready.
 */
import t, { type Test } from 'tap';
import { type App, taskHandle } from '../../src/client/umbel.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { type RunLine, RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

const leaseSeconds = 2;
const hangsAfterMs = 60_000;
/** Enough for the type to count as short, so that others are sent ahead of it. */
const warmUps = 24;
/** More than a child is sent ahead of, so that some wait in the parent; those that the worker has not taken by then are the heir's anyway. */
const waiting = 300;
/** So many of them it has taken, whatever it takes in one go. */
const reserve = 50;

/** Stops its worker, and blocks its child, pipe and all, at a file that is not there yet; who gets it a second time does neither. */
const tasksModule = (logPath: string, ready: string, gate: string, withChildren: boolean): string => `
import { existsSync, openSync, writeSync } from 'node:fs';
import { task } from 'umbel';
const log = openSync('${logPath}', 'a');
const still = new Int32Array(new SharedArrayBuffer(4));
const note = (what: string, context: { id: string; deliveryInfo: { redelivered: boolean } }): void => {
  const redelivered = context.deliveryInfo.redelivered ? 1 : 0;
  writeSync(log, \`\${what} \${context.id} umbel \${process.ppid} \${process.pid} \${redelivered} \${process.hrtime.bigint()}\\n\`);
};
export const hold = (): void => {
  while (!existsSync('${ready}')) Atomics.wait(still, 0, 0, 5);
};
export const step = task({ bind: true, acksLate: true, rejectOnWorkerLost: true }, (context, blocks: boolean): void => {
  note('start', context);
  if (blocks && !context.deliveryInfo.redelivered) {
    process.kill(process.ppid, 'SIGSTOP');
    if (${withChildren}) process.kill(process.pid, 'SIGSTOP');
    while (!existsSync('${gate}')) Atomics.wait(still, 0, 0, 5);
  }
  note('end', context);
});
`;

class Scene {
  readonly folder: LiveFolder;
  readonly log: RunLog;
  readonly app: App;
  readonly #url: string;
  readonly #logPath: string;

  private constructor(folder: LiveFolder, url: string, app: App, withChildren: boolean) {
    this.folder = folder;
    this.app = app;
    this.#url = url;
    this.#logPath = folder.file('runs.log');
    this.log = new RunLog(this.#logPath, hangsAfterMs);
    folder.write('tasks.ts', tasksModule(this.#logPath, folder.file('ready'), folder.file('gate'), withChildren));
  }

  static async open(t: Test, withChildren: boolean): Promise<Scene> {
    const url = (await RedisServer.start(t)).url();
    const app = await startedApp(t, { broker: url });
    const scene = new Scene(new LiveFolder(t), url, app, withChildren);
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

const waitingIds = Array.from({ length: waiting }, (_, n) => `waiting-${n}`);

async function standStill(t: Test, withChildren: boolean): Promise<void> {
  const scene = await Scene.open(t, withChildren);
  const { log, folder } = scene;
  // All in the queue before anybody takes them, so that they come in one go.
  await taskHandle<[], void>('tasks.hold').applyAsync({ args: [] });
  for (let n = 0; n < warmUps; n++) await scene.send(`warm-up-${n}`, false);
  await scene.send('running', true);
  for (const id of waitingIds) await scene.send(id, false);
  const first = await scene.worker('first');
  // It stands still with some in reserve.
  await first.count('task.received', 1 + warmUps + 1 + reserve);
  folder.write('ready', '');
  const [child] = first.children() as [number];
  await log.started(warmUps + 1);
  const heir = await scene.worker('heir');
  await log.allEnded(warmUps + 1 + waiting);
  t.equal((await heir.stop()).code, 0);
  const taken = new Set(first.all('task.received').map(({ taskId }) => String(taskId)));
  const reserved = waitingIds.filter((id) => taken.has(id));
  t.ok(reserved.length >= reserve, `it stood still with ${reserved.length} in reserve`);
  const before = log.end().length;
  // A machine that stood still before may have made it say so then.
  const since = first.now();

  // The child first: what lies in it, it has to know for itself. Then the parent, whose child has nothing to do.
  folder.write('gate', '');
  if (withChildren) process.kill(child, 'SIGCONT');
  await log.finished(child, 'running');
  process.kill(first.pid, 'SIGCONT');
  await scene.send('after', false);
  await log.finished(child, 'after');
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
    'what ran goes on, and of what another has taken nothing is started',
  );
  for (const id of ['running', ...reserved]) {
    const starts = scene.starts(id).map(({ worker, redelivered }) => [worker, redelivered]);
    const inherited = [heir.pid, true];
    t.same(starts, id === 'running' ? [[first.pid, false], inherited] : [inherited], `${id}: the heir's, marked`);
  }
  t.ok(
    first.events.slice(since).filter(({ event }) => event === 'pool.held-back').length <= 1,
    'said once, if anything could have been started before it was known to be lost',
  );
  t.equal((await first.stop()).code, 0);
}

t.test('stopped beyond its lease, a worker starts nothing that another has', async (t) => {
  t.test('the parent alone, its child goes on', (t) => standStill(t, false));
  t.test('both', (t) => standStill(t, true));
});
