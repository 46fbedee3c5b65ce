/** The pools `threads`, `async` and `solo` in the executable, on every broker. */
import { existsSync, rmSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

const tasks = `
import { appendFileSync, existsSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { currentTask, task } from 'umbel';

export const where = (): string => process.pid + '.' + threadId;

export async function meet(count: number): Promise<number> {
  appendFileSync('met', where() + '\\n');
  console.log('waiting as', currentTask()?.id);
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (!existsSync('open')) return;
      clearInterval(look);
      resolve();
    }, 5);
  });
  return count;
}

export const fail = (): never => {
  throw new RangeError('no');
};

export const leave = (): never => process.exit(3);

export const throwLater = (): Promise<never> => {
  setTimeout(() => { throw new Error('nobody caught this'); }, 1);
  return new Promise(() => {});
};

export const block = (): void => {
  appendFileSync('blocked', 'x');
  while (!existsSync('open'));
};

export const patientBlock = task({ acksLate: true }, block);
`;

interface Scene {
  readonly folder: LiveFolder;
  readonly client: App;
  call(name: string, args?: readonly unknown[]): Promise<{ readonly id: string; end(): Promise<unknown> }>;
}

async function setUp(t: Test, url?: string, backend = url): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  const client = url === undefined ? await folder.client() : await startedApp(t, { broker: url, backend: backend ?? url });
  return {
    folder,
    client,
    call: async (name, args = []) => {
      const result = await client.call<unknown>({ task: `tasks.${name}`, args, kwargs: {}, options: {} });
      return { id: result.id, end: () => result.get({ timeoutMs: 30_000, propagate: false }) };
    },
  };
}

const lines = (folder: LiveFolder, name: string): string[] =>
  existsSync(folder.file(name)) ? folder.read(name).split('\n').filter(Boolean) : [];

async function work(t: Test, pool: string, url?: string, backend = url): Promise<void> {
  const scene = await setUp(t, url, backend);
  const { folder, call } = scene;
  const broker = url === undefined || backend === undefined ? [] : ['-b', url, '--result-backend', backend];
  const worker = await folder.worker(['-A', 'tasks.ts', '-P', pool, '-c', '4', ...broker]).ready();
  const atOnce = pool === 'solo' ? 1 : 4;
  const meeting = await Promise.all(Array.from({ length: 6 }, (_, n) => call('meet', [n])));
  await eventually(t, `${atOnce} run at a time`, () => lines(folder, 'met').length === atOnce);
  await worker.count('task.started', atOnce);
  folder.write('open', '');
  t.same(await Promise.all(meeting.map(({ end }) => end())), [0, 1, 2, 3, 4, 5]);
  for (const { id } of meeting) {
    const { message } = await worker.event('task.output', ({ taskId }) => taskId === id);
    t.equal(message, `waiting as ${id}`, 'its output is its own');
  }
  // Those that ran at the same time.
  const places = new Set(lines(folder, 'met').slice(0, atOnce));
  const [process] = [...places].map((place) => Number.parseInt(place, 10));
  if (pool === 'gevent' || pool === 'async') t.not(process, worker.pid, 'in a process of its own');
  else t.equal(process, worker.pid, 'in the process of the worker');
  t.equal(places.size, pool === 'threads' ? atOnce : 1, [...places].join());
  t.match(await (await call('fail')).end(), { message: 'no' });
  t.strictSame(await worker.stop(), { code: 0, signal: null });
}

t.jobs = 1;
for (const pool of ['threads', 'gevent', 'solo']) {
  void t.test(`${pool}: work on the embedded broker`, (t) => work(t, pool));
}

void t.test('threads: one that ends is lost alone and replaced; each has a log file of its own', async (t) => {
  const { folder, call } = await setUp(t);
  const worker = folder.worker(['-A', 'tasks.ts', '-P', 'threads', '-c', '2', '-f', 'w%I.log']);
  const running = await call('meet', [1]);
  await eventually(t, 'one task runs', () => lines(folder, 'met').length === 1);
  for (const name of ['leave', 'throwLater']) t.match(await (await call(name)).end(), { name: 'WorkerLostError' }, name);
  const next = await call('meet', [2]);
  await eventually(t, 'another runs beside it, so there are two threads again', () => lines(folder, 'met').length === 2);
  folder.write('open', '');
  t.same([await running.end(), await next.end()], [1, 2], 'the one beside them was not harmed');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  const events = (file: string): { event: string; taskId?: string }[] => lines(folder, file).map((line) => JSON.parse(line));
  t.equal(events('w.log').filter(({ event }) => event === 'child.lost').length, 2);
  const said = ['w-1.log', 'w-2.log'].flatMap((file) => events(file)).filter(({ event }) => event === 'task.output');
  t.same(said.map(({ taskId }) => taskId).sort(), [running.id, next.id].sort());
  t.notOk(events('w.log').some(({ event }) => event === 'task.output'));
});

void t.test('solo: what was acknowledged early is not run again when the worker is killed while the task blocks it', async (t) => {
  const { folder, call } = await setUp(t);
  const worker = await folder.worker(['-A', 'tasks.ts', '-P', 'solo', '-c', '7', '-n', 'a@h']).ready();
  t.match(worker.all('pool.single'), [{ message: /worker\.concurrency has no effect, got 7/ }]);
  await call('block');
  const reserved = await call('where');
  await eventually(t, 'it blocks', () => lines(folder, 'blocked').length === 1);
  worker.kill('SIGKILL');
  await worker.end();
  const heir = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'b@h']).ready();
  t.match(await reserved.end(), /^\d+\.0$/, 'what it had in reserve is run by another');
  t.equal(folder.read('blocked'), 'x');
  t.equal(heir.all('task.received').length, 1);
  await heir.stop();
});

void t.test('solo: an error that nothing caught ends the worker; what is not begun goes back', async (t) => {
  const { folder, call } = await setUp(t);
  const [lost, left] = [await call('throwLater'), await call('where')];
  const worker = folder.worker(['-A', 'tasks.ts', '-P', 'solo']);
  t.strictSame(await worker.end(), { code: 70, signal: null });
  t.match(worker.all('child.uncaught'), [{ message: /this worker ends: nobody caught this/, taskId: lost.id }]);
  t.match(worker.all('worker.fatal'), [{ code: 'SOLO_ENDED' }]);
  t.match(await lost.end(), { name: 'WorkerLostError' });
  const heir = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  t.match(await left.end(), /^\d+\.0$/);
  await heir.stop();
});

void t.test('solo: no more children, and no limits that need a process of its own', async (t) => {
  const { folder } = await setUp(t);
  const refused = (args: readonly string[], env: Record<string, string>) => folder.umbel(['worker', '-A', 'tasks.ts', ...args], { env });
  t.match(await refused(['-P', 'solo'], { UMBEL_WORKER_MAX_TASKS_PER_CHILD: '5' }), {
    status: 64,
    stderr: /worker\.max_tasks_per_child needs a pool that can .*, got 'solo' \[NOT_SUPPORTED\]/,
  });
  t.match(await refused(['-P', 'threads'], { UMBEL_WORKER_MAX_MEMORY_PER_CHILD: '100000' }), {
    status: 64,
    stderr: /worker\.max_memory_per_child needs a pool that can limit the memory of a child, got 'threads'/,
  });
  const worker = await folder.worker(['-A', 'tasks.ts', '-P', 'solo']).ready();
  worker.kill('SIGTTIN');
  t.match(await worker.event('pool.not-resized'), { message: /growing needs a pool that .* got 'solo'/ });
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('on Redis', async (t) => {
  const server = await RedisServer.start(t);
  for (const [db, pool] of ['threads', 'async', 'solo'].entries()) {
    await t.test(`${pool}: work`, (t) => work(t, pool, server.url(db)));
  }
  await t.test('solo: acknowledged before the task blocks; what is acknowledged late is held while it does', async (t) => {
    const url = server.url(4);
    const { folder, call } = await setUp(t, url);
    const unacked = (): string => server.cli('-n', '4', 'HLEN', 'unacked').trim();
    const options = ['-A', 'tasks.ts', '-b', url, '--result-backend', url];
    const worker = await folder.worker([...options, '-P', 'solo', '-n', 'a@h']).ready();
    await call('block');
    await eventually(t, 'it blocks', () => lines(folder, 'blocked').length === 1);
    await eventually(t, 'the server has heard of the acknowledgement while it blocks', () => unacked() === '0');
    folder.write('open', '');
    await worker.event('task.succeeded');

    rmSync(folder.file('open'));
    await call('patientBlock');
    await eventually(t, 'it blocks again', () => folder.read('blocked') === 'xx');
    t.equal(unacked(), '1');
    const [, leaseEnds] = server.cli('-n', '4', 'ZRANGE', '_umbel.workers', '0', '-1', 'WITHSCORES').trim().split('\n');
    const holdsSeconds = Number(leaseEnds) - Date.now() / 1000;
    t.ok(holdsSeconds > 2300 && holdsSeconds <= 3601, `others leave it alone for ${holdsSeconds} s`);
    folder.write('open', '');
    await worker.count('task.succeeded', 2);
    t.strictSame(await worker.stop(), { code: 0, signal: null });
    t.equal(unacked(), '0');
  });
});

void t.test('on RabbitMQ', async (t) => {
  const vhost = await RabbitmqVhost.open(t);
  const url = vhost.url();
  for (const pool of ['threads', 'async', 'solo']) await t.test(`${pool}: work`, (t) => work(t, pool, url, 'rpc://'));
  await t.test('solo: acknowledged before the task blocks; what is acknowledged late is held while it does', async (t) => {
    const { folder, call } = await setUp(t, url, 'rpc://');
    const unacked = async (): Promise<string> => (await vhost.list('queues', 'name', 'messages_unacknowledged')).replaceAll(/\s+/g, ' ');
    const options = ['-A', 'tasks.ts', '-b', url, '--result-backend', 'rpc://'];
    const worker = await folder.worker([...options, '-P', 'solo', '-n', 'a@h']).ready();
    await call('block');
    await eventually(t, 'it blocks', () => lines(folder, 'blocked').length === 1);
    // Which RabbitMQ does not confirm.
    await eventually(t, 'the server has heard of the acknowledgement while it blocks', async () => /\bcelery 0\b/.test(await unacked()));
    folder.write('open', '');
    await worker.event('task.succeeded');

    rmSync(folder.file('open'));
    await call('patientBlock');
    await eventually(t, 'it blocks again', () => folder.read('blocked') === 'xx');
    t.match(await unacked(), /\bcelery 1\b/);
    folder.write('open', '');
    await worker.count('task.succeeded', 2);
    t.strictSame(await worker.stop(), { code: 0, signal: null });
    t.match(await unacked(), /\bcelery 0\b/);
  });
});
