/** Children that die, and what dies with them: exactly the tasks they had started, and everything these had spawned. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { LiveFolder } from './live-folder.ts';
import { type LiveScene, openScene } from './live-scene.ts';
import { liveTasks } from './live-tasks.ts';
import { allGone, isRunning, processesIn } from './live-worker.ts';

const spawningTasks = `${liveTasks}
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
export async function family(): Promise<never> {
  const sleep = spawn('sleep', ['1000'], { stdio: 'ignore' });
  console.log('spawned ' + sleep.pid);
  return new Promise(() => setInterval(() => {}, 1000));
}
export function spinningFamily(): void {
  const sleep = spawn('sleep', ['1000'], { stdio: 'ignore' });
  console.log('spawned ' + sleep.pid);
  setImmediate(() => { for (;;) {} });
}
export function append(file: string, n: number): number {
  appendFileSync(file, n + '\\n');
  return n;
}
export const exit = (status: number): never => process.exit(status);
export function crashLater(): Promise<never> {
  setTimeout(() => { throw new Error('nobody catches this'); }, 1);
  return new Promise(() => {});
}
`;

function startWorker(t: Test, args: readonly string[], config = ''): Promise<LiveScene> {
  return openScene(t, spawningTasks, args, config);
}

/** Call it and wait until a child has started it. The child's pid. */
async function start({ client, worker }: LiveScene, task: string, args: readonly unknown[], taskId: string): Promise<number> {
  await client.call({ task: `tasks.${task}`, args, kwargs: {}, options: { taskId } });
  const { message } = await worker.event('task.started', (event) => event.taskId === taskId);
  return Number(/pid:(\d+)/.exec(message)?.[1]);
}

/** The pid of what the task has spawned. */
async function grandchild({ worker }: LiveScene, taskId: string): Promise<number> {
  const { message } = await worker.event('task.output', (event) => event.taskId === taskId && String(event.message).startsWith('spawned'));
  const pid = Number(message.split(' ')[1]);
  if (!isRunning(pid)) throw new Error(`the grandchild must run, got ${pid}`);
  return pid;
}

const outcome = (client: App, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000, propagate: false });

void t.test('kill -9 of a child fails exactly what it had started and replaces it under its index', async (t) => {
  const scene = await startWorker(t, ['-c', '2'], '[worker]\nchild_concurrency = 2\n');
  const { folder, client, worker } = scene;
  const open = folder.file('open');
  const pids = new Map<string, number>();
  for (const id of ['a', 'b', 'c', 'd']) pids.set(id, await start(scene, 'gate', [open], id));
  await client.call({ task: 'tasks.add', args: [2, 2], kwargs: {}, options: { taskId: 'reserved' } });
  await worker.event('task.received', ({ taskId }) => taskId === 'reserved');

  const victim = pids.get('a') ?? 0;
  const lost = [...pids].filter(([, pid]) => pid === victim).map(([id]) => id);
  const unharmed = [...pids].filter(([, pid]) => pid !== victim).map(([id]) => id);
  t.equal(lost.length, 2, 'a child runs two of them');
  const index = worker.all('child.ready').find(({ pid }) => pid === victim)?.child;
  const since = worker.now();
  process.kill(victim, 'SIGKILL');
  for (const id of lost) {
    t.match(await outcome(client, id), {
      remoteName: 'WorkerLostError',
      message: /^Worker exited prematurely: signal 9 \(SIGKILL\) Job: \d+\.$/,
    });
    t.equal(await client.result(id).state(), 'FAILURE');
  }
  const replacement = await worker.event('child.ready', () => true, since);
  t.equal(replacement.child, index, 'the index is the same');
  t.not(replacement.pid, victim);
  t.match(await worker.event('child.lost', () => true, since), { child: index, pid: victim, message: /signal SIGKILL/ });
  t.equal(await outcome(client, 'reserved'), 4, 'a reserved one is run');
  writeFileSync(open, '');
  for (const id of unharmed) t.equal(await outcome(client, id), 'first', 'those of the other child go on');
  t.equal(worker.children().length, 2);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.equal(worker.all('task.failed').length, lost.length);
});

void t.test('late acknowledgement alone fails a task whose child died; with rejectOnWorkerLost it runs again', async (t) => {
  const scene = await startWorker(t, ['-c', '2']);
  const { folder, client, worker } = scene;
  const open = folder.file('open');
  process.kill(await start(scene, 'lateGate', [open], 'late'), 'SIGKILL');
  t.match(await outcome(client, 'late'), { remoteName: 'WorkerLostError' });
  process.kill(await start(scene, 'requeuedGate', [open], 'requeued'), 'SIGKILL');
  t.match(await worker.event('task.worker-lost', ({ taskId }) => taskId === 'requeued'), { requeue: true });
  await worker.count('task.started', 2, ({ taskId }) => taskId === 'requeued');
  t.equal(await client.result('requeued').state(), 'PENDING', 'no failure is stored');
  writeFileSync(open, '');
  t.equal(await outcome(client, 'requeued'), 'redelivered');
  await worker.stop();
  t.equal(worker.all('task.started').filter(({ taskId }) => taskId === 'late').length, 1);
});

void t.test('a child that ends itself: the exit code is named', async (t) => {
  const { client, worker } = await startWorker(t, ['-c', '1']);
  await client.call({ task: 'tasks.exit', args: [7], kwargs: {}, options: { taskId: 'exits' } });
  t.match(await outcome(client, 'exits'), { remoteName: 'WorkerLostError', message: /^Worker exited prematurely: exitcode 7 Job: \d+\.$/ });
  await client.call({ task: 'tasks.exit', args: [0], kwargs: {}, options: { taskId: 'exits-well' } });
  t.match(await outcome(client, 'exits-well'), { remoteName: 'WorkerLostError', message: /exitcode 0/ });
  await client.call({ task: 'tasks.crashLater', args: [], kwargs: {}, options: { taskId: 'crashes' } });
  t.match(await outcome(client, 'crashes'), { remoteName: 'WorkerLostError', message: /exitcode 1/ });
  t.match(await worker.event('child.uncaught'), { level: 'critical', message: /nobody catches this.*tasks\.ts:\d+:\d+/s });
  await client.call({ task: 'tasks.add', args: [1, 1], kwargs: {}, options: { taskId: 'after' } });
  t.equal(await outcome(client, 'after'), 2);
  await worker.stop();
  t.strictSame(
    worker.all('child.ready').map(({ child }) => child),
    [1, 1, 1, 1],
    'always the same index',
  );
});

void t.test('short tasks sent ahead to a child that is killed run elsewhere, once', async (t) => {
  const { folder, client, worker } = await startWorker(t, ['-c', '2']);
  folder.write('ran', '');
  const count = 2000;
  const kills = 12;
  const sent = Array.from({ length: count }, async (_, n) => {
    const called = await client.call<number>({ task: 'tasks.append', args: [folder.file('ran'), n], kwargs: {}, options: {} });
    return called.get({ timeoutMs: 120_000, propagate: false });
  });
  for (let kill = 1; kill <= kills; kill += 1) {
    await worker.count('task.started', kill * Math.floor(count / (kills + 2)));
    const since = worker.now();
    const victim = worker.all('child.ready').findLast(({ child }) => child === 1 + (kill % 2))?.pid as number;
    process.kill(victim, 'SIGKILL');
    await worker.event('child.lost', ({ pid }) => pid === victim, since);
    await worker.event('child.ready', () => true, since);
  }
  const outcomes = await Promise.all(sent);
  const lost = outcomes.filter((outcome) => typeof outcome !== 'number');
  for (const outcome of lost) t.match(outcome, { remoteName: 'WorkerLostError' });
  t.ok(lost.length <= kills, `a kill costs the one task that ran, got ${lost.length} for ${kills}`);
  const ran = folder.read('ran').trimEnd().split('\n').map(Number);
  t.equal(new Set(ran).size, ran.length, 'none ran twice');
  const done = new Set(ran);
  t.ok(
    outcomes.every((outcome, n) => typeof outcome !== 'number' || (outcome === n && done.has(n))),
    'all others ran',
  );
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.equal(worker.all('child.lost').length, kills);
});

void t.test('what a task has spawned goes with its child', async (t) => {
  const scene = await startWorker(t, ['-c', '2']);
  const { folder, worker } = scene;
  for (const task of ['family', 'spinningFamily']) {
    const child = await start(scene, task, [], task);
    const spawned = await grandchild(scene, task);
    process.kill(child, 'SIGKILL');
    t.strictSame(await allGone([spawned]), [], `${task}: after kill -9 of the child`);
  }
  await start(scene, 'family', [], 'at-the-end');
  const spawned = await grandchild(scene, 'at-the-end');
  t.strictSame(await worker.stop('SIGQUIT'), { code: 1, signal: null });
  t.strictSame(await allGone([spawned]), [], 'after a cold stop');
  t.strictSame(await allGone(processesIn(folder.path)), []);
});

void t.test('kill -9 of the worker takes its children along within a second, also one that spins', async (t) => {
  const scene = await startWorker(t, ['-c', '4']);
  const { folder, worker } = scene;
  await start(scene, 'gate', [folder.file('open')], 'waiting');
  await start(scene, 'spin', [], 'spinning');
  await start(scene, 'family', [], 'family');
  await start(scene, 'spinningFamily', [], 'spinningFamily');
  const spawned = [await grandchild(scene, 'family'), await grandchild(scene, 'spinningFamily')];
  const children = worker.children();
  t.equal(children.length, 4);
  worker.kill('SIGKILL');
  t.strictSame(await allGone([worker.pid, ...children], 1000), []);
  t.strictSame(await allGone(spawned), [], 'and what they had spawned');
  t.strictSame(await allGone(processesIn(folder.path)), []);
});

const mayUnshare = spawnSync('unshare', ['-pf', '--mount-proc', 'true']).status === 0;
const noRoot = 'this user may not start a process as PID 1 of a namespace';

void t.test('it works as PID 1', { skip: mayUnshare ? false : process.env.CI === undefined ? noRoot : false }, async (t) => {
  const folder = new LiveFolder(t);
  folder.write(
    'tasks.ts',
    `${spawningTasks}
/** Leaves an orphan that ends at once: a zombie nobody but PID 1 can collect. */
export function orphan(): Promise<string> {
  return new Promise((done) => {
    const shell = spawn('sh', ['-c', 'setsid sh -c "echo \\\\$\\\\$" &'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let pid = '';
    shell.stdout?.on('data', (text) => { pid += text; });
    shell.on('close', () => done(pid.trim()));
  });
}
`,
  );
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '2'], { via: ['unshare', '-pf', '--mount-proc', '--kill-child'] }).ready();
  const ready = await worker.event('worker.ready');
  t.equal(ready.pid, 1);
  const inside = worker.children()[0] ?? 0;

  await client.call({ task: 'tasks.orphan', args: [], kwargs: {}, options: { taskId: 'orphan' } });
  const orphan = Number(await outcome(client, 'orphan'));
  t.match(await worker.event('reaper.reaped', ({ pid }) => pid === orphan), { level: 'debug' });

  await client.call({ task: 'tasks.exit', args: [3], kwargs: {}, options: { taskId: 'exits' } });
  t.match(await outcome(client, 'exits'), { remoteName: 'WorkerLostError', message: /exitcode 3/ });

  // Signals without a handler do nothing to PID 1; ours all have one.
  process.kill(inside, 'SIGUSR1');
  await worker.event('worker.dump');
  const since = worker.now();
  process.kill(inside, 'SIGHUP');
  t.match(await worker.event('worker.ready', () => true, since), { pid: 1 });
  await client.call({ task: 'tasks.add', args: [2, 2], kwargs: {}, options: { taskId: 'after' } });
  t.equal(await outcome(client, 'after'), 4);
  process.kill(inside, 'SIGTERM');
  t.strictSame(await worker.end(), { code: 0, signal: null });
  t.strictSame(await allGone(processesIn(folder.path)), []);
});
