/** Stopping a worker: how one signal follows another, what bounds a stop, the pidfile. What each stop does to tasks is shutdown.test.ts. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';
import { allGone, type LiveWorker, processesIn } from './live-worker.ts';

interface Scene {
  readonly folder: LiveFolder;
  readonly client: App;
  readonly worker: LiveWorker;
}

/** A worker with one child per task of `running`, all of them started, and one more task reserved behind them. */
async function busyWorker(t: Test, running: readonly string[], config = ''): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  folder.write('umbel.toml', config);
  const client = await folder.client();
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', String(running.length)]).ready();
  for (const name of running) {
    await client.call({ task: `tasks.${name}`, args: [folder.file('open')], kwargs: {}, options: { taskId: name } });
    await worker.event('task.started', ({ taskId }) => taskId === name);
  }
  await client.call({ task: 'tasks.add', args: [2, 2], kwargs: {}, options: { taskId: 'reserved' } });
  await worker.event('task.received', ({ taskId }) => taskId === 'reserved');
  return { folder, client, worker };
}

function open({ folder }: Scene): void {
  writeFileSync(folder.file('open'), '');
}

const result = (client: App, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000 });
/** What a failed task's result rejects with. */
const failure = (client: App, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000, propagate: false });

/** What the worker left behind is done by the next one. */
async function nextWorkerDoes(t: Test, scene: Scene, expected: Readonly<Record<string, unknown>>): Promise<void> {
  open(scene);
  const next = await scene.folder.worker(['-A', 'tasks.ts', '-c', '2']).ready();
  for (const [id, value] of Object.entries(expected)) t.equal(await result(scene.client, id), value, `${id} is run by the next worker`);
  await next.stop();
  t.equal(next.all('task.received').length, Object.keys(expected).length, 'and nothing else is');
}

void t.test('INT is warm', async (t) => {
  const scene = await busyWorker(t, ['gate']);
  scene.worker.kill('SIGINT');
  await scene.worker.event('worker.stop-hint', ({ message }) => /Hitting Ctrl\+C again/.test(message));
  open(scene);
  t.strictSame(await scene.worker.end(), { code: 1, signal: null });
  t.equal(await result(scene.client, 'gate'), 'first');
  await nextWorkerDoes(t, scene, { reserved: 4 });
});

void t.test('INT twice is cold', async (t) => {
  const scene = await busyWorker(t, ['gate', 'lateGate']);
  scene.worker.kill('SIGINT');
  await scene.worker.event('worker.stop-hint');
  t.strictSame(await scene.worker.stop('SIGINT'), { code: 1, signal: null });
  t.match(await failure(scene.client, 'gate'), { remoteName: 'WorkerLostError' });
  await nextWorkerDoes(t, scene, { lateGate: 'redelivered', reserved: 4 });
});

void t.test('worker.shutdown_timeout bounds a warm stop', async (t) => {
  const scene = await busyWorker(t, ['gate', 'lateGate'], '[worker]\nshutdown_timeout = 0.3\n');
  const { worker, client } = scene;
  t.strictSame(await worker.stop('SIGTERM'), { code: 0, signal: null });
  await worker.event('worker.stop', ({ message }) => /Cold shutdown .*2 tasks still running/.test(message));
  t.match(await failure(client, 'gate'), { remoteName: 'WorkerLostError' });
  await nextWorkerDoes(t, scene, { lateGate: 'redelivered', reserved: 4 });
});

void t.test('INT: warm; twice: soft; three times: cold', async (t) => {
  const scene = await busyWorker(t, ['gate', 'lateGate'], '[worker]\nsoft_shutdown_timeout = 600\n');
  const { worker, client } = scene;
  worker.kill('SIGINT');
  await worker.event('worker.stop-hint');
  worker.kill('SIGINT');
  await worker.event('worker.stop', ({ mode }) => mode === 'soft');
  t.strictSame(await worker.stop('SIGINT'), { code: 1, signal: null });
  t.match(await failure(client, 'gate'), { remoteName: 'WorkerLostError' });
  await nextWorkerDoes(t, scene, { lateGate: 'redelivered', reserved: 4 });
});

void t.test('worker.enable_soft_shutdown_on_idle: the time passes though nothing runs', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  folder.write('umbel.toml', '[worker]\nsoft_shutdown_timeout = 0.5\nenable_soft_shutdown_on_idle = true\n');
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  t.strictSame(await worker.stop('SIGQUIT'), { code: 1, signal: null });
  const [soft] = worker.all('worker.stop').filter(({ mode }) => mode === 'soft');
  const [end] = worker.all('worker.stopped');
  t.ok(Date.parse(end?.ts ?? '') - Date.parse(soft?.ts ?? '') >= 490, `${soft?.ts} to ${end?.ts}`);
});

void t.test('worker.soft_shutdown_timeout ends them after it', async (t) => {
  const scene = await busyWorker(t, ['gate', 'lateGate'], '[worker]\nsoft_shutdown_timeout = 0.3\n');
  t.strictSame(await scene.worker.stop('SIGQUIT'), { code: 1, signal: null });
  t.match(await failure(scene.client, 'gate'), { remoteName: 'WorkerLostError' });
  await nextWorkerDoes(t, scene, { lateGate: 'redelivered', reserved: 4 });
});

void t.test('the pidfile', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  const args = ['-A', 'tasks.ts', '-c', '1', '--pidfile', '%n.pid', '-n', 'w1@example.com'];
  const pidfile = folder.file('w1.pid');

  await t.test('belongs to one worker: a second is refused with 73', async (t) => {
    const worker = await folder.worker(args).ready();
    t.equal(readFileSync(pidfile, 'utf8'), `${worker.pid}\n`);
    const second = await folder.umbel(['worker', ...args]);
    t.match(second, { status: 73, signal: null });
    t.equal(
      second.stderr,
      `umbel: Pidfile (${pidfile}) already exists. Seems we're already running? (pid: ${worker.pid}) [PIDFILE_EXISTS]\n`,
    );
    t.equal(second.stdout, '');
    t.equal(readFileSync(pidfile, 'utf8'), `${worker.pid}\n`, 'the first one keeps it');
    t.equal((await folder.umbel(['call', 'tasks.add', '--args', '[1, 1]', '--wait'])).stdout, '2\n', 'and works on');
    t.equal((await worker.stop()).code, 0);
    t.notOk(existsSync(pidfile), 'it is removed at the end');
  });

  await t.test('is replaced when its worker was killed', async (t) => {
    const killed = await folder.worker(args).ready();
    t.equal((await killed.stop('SIGKILL')).signal, 'SIGKILL');
    t.equal(readFileSync(pidfile, 'utf8'), `${killed.pid}\n`);
    const next = await folder.worker(args).ready();
    await next.event('pidfile.stale', ({ message }) => message.includes(String(killed.pid)));
    t.equal(readFileSync(pidfile, 'utf8'), `${next.pid}\n`);
    t.equal((await next.stop()).code, 0);
    t.notOk(existsSync(pidfile));
  });

  await t.test('is removed when the worker is stopped while it starts', async (t) => {
    folder.write('slow.mjs', "import { setTimeout } from 'node:timers/promises';\nconsole.log('loading');\nawait setTimeout(600_000);\n");
    const worker = folder.worker(['-A', 'slow.mjs', '-c', '2', '--pidfile', 'slow.pid']);
    await worker.event('task.output', ({ message }) => message === 'loading');
    t.ok(existsSync(folder.file('slow.pid')));
    t.strictSame(await worker.stop(), { code: 0, signal: null });
    t.notOk(existsSync(folder.file('slow.pid')));
    t.strictSame(await allGone(processesIn(folder.path)), []);
  });
});
