/** Several workers on one file: they share the work, each its queues, and what one leaves behind another does. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { LiveFolder } from './live-folder.ts';
import { liveTasks } from './live-tasks.ts';

interface Scene {
  readonly folder: LiveFolder;
  readonly client: App;
}

async function setUp(t: Test): Promise<Scene> {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', liveTasks);
  return { folder, client: await folder.client() };
}

const outcome = ({ client }: Scene, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 30_000, propagate: false });

void t.test('two workers share the work; each task runs once', async (t) => {
  const scene = await setUp(t);
  const count = 400;
  folderWithCount(scene.folder);
  const workers = await Promise.all(
    ['one', 'two'].map((name) => scene.folder.worker(['-A', 'tasks.ts', '-A', 'counting.ts', '-c', '2', '-n', `${name}@h`]).ready()),
  );
  const sent = Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const result = await scene.client.call<number>({ task: 'counting.count', args: [n], kwargs: {}, options: {} });
      return result.get({ timeoutMs: 60_000 });
    }),
  );
  // None ends before both have begun: far more than one of them reserves.
  await Promise.all(workers.map((worker) => worker.event('task.started')));
  writeFileSync(scene.folder.file('open'), '');
  const results = await sent;
  t.strictSame(
    results,
    Array.from({ length: count }, (_, n) => n),
  );
  for (const worker of workers) t.strictSame(await worker.stop(), { code: 0, signal: null });
  const done = workers.map((worker) => worker.all('task.succeeded').length);
  t.equal((done[0] ?? 0) + (done[1] ?? 0), count);
  t.ok(
    done.every((share) => share > 0),
    `both took part, got ${done}`,
  );
  const ran = scene.folder
    .read('ran')
    .trimEnd()
    .split('\n')
    .map(Number)
    .toSorted((a, b) => a - b);
  t.strictSame(ran, results, 'none ran twice');
});

function folderWithCount(folder: LiveFolder): void {
  folder.write('ran', '');
  folder.write(
    'counting.ts',
    `import { appendFileSync, existsSync } from 'node:fs';
export async function count(n: number): Promise<number> {
  while (!existsSync('${folder.file('open')}')) await new Promise((resolve) => setTimeout(resolve, 5));
  appendFileSync('${folder.file('ran')}', n + '\\n');
  return n;
}
`,
  );
}

void t.test('a worker killed with everything in it: the other does its work', async (t) => {
  const scene = await setUp(t);
  const { folder, client } = scene;
  folder.write('umbel.toml', '[sqlite]\nlease_seconds = 2\n');
  const first = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'first@h']).ready();
  await client.call({ task: 'tasks.lateGate', args: [folder.file('open')], kwargs: {}, options: { taskId: 'running' } });
  await first.event('task.started');
  for (const id of ['reserved-1', 'reserved-2']) {
    await client.call({ task: 'tasks.add', args: [1, 1], kwargs: {}, options: { taskId: id } });
    await first.event('task.received', ({ taskId }) => taskId === id);
  }
  const second = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'second@h']).ready();
  await first.stop('SIGKILL');
  writeFileSync(folder.file('open'), '');
  t.equal(await outcome(scene, 'running'), 'redelivered');
  t.equal(await outcome(scene, 'reserved-1'), 2);
  t.equal(await outcome(scene, 'reserved-2'), 2);
  t.strictSame(await second.stop(), { code: 0, signal: null });
});

void t.test('-Q takes from its queues only, -X from all but some', async (t) => {
  const scene = await setUp(t);
  const { folder } = scene;
  const send = async (queue: string, id: string): Promise<void> => {
    t.equal((await folder.umbel(['call', 'tasks.add', '--args', '[1, 1]', '--queue', queue, '--task-id', id])).stdout, `${id}\n`);
  };
  const mail = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'mail@h', '-Q', 'mail,video']).ready();
  for (const queue of ['mail', 'video', 'celery', 'bulk']) await send(queue, queue);
  t.equal(await outcome(scene, 'mail'), 2);
  t.equal(await outcome(scene, 'video'), 2);
  const rest = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'rest@h', '-Q', 'celery', '-Q', 'bulk', '-X', 'celery']).ready();
  t.equal(await outcome(scene, 'bulk'), 2);
  t.equal(await scene.client.result('celery').state(), 'PENDING', 'nobody takes from celery');
  await mail.stop();
  await rest.stop();
  t.strictSame(
    mail
      .all('task.received')
      .map(({ taskId }) => taskId)
      .toSorted(),
    ['mail', 'video'],
  );
  t.strictSame(
    rest.all('task.received').map(({ taskId }) => taskId),
    ['bulk'],
  );
  const last = await folder.worker(['-A', 'tasks.ts', '-c', '1']).ready();
  t.equal(await outcome(scene, 'celery'), 2);
  await last.stop();
});

void t.test('--purge deletes what waits in its queues, and nothing else', async (t) => {
  const scene = await setUp(t);
  const { folder, client } = scene;
  for (const id of ['a', 'b', 'c']) await client.call({ task: 'tasks.add', args: [1, 1], kwargs: {}, options: { taskId: id } });
  await client.call({ task: 'tasks.add', args: [1, 1], kwargs: {}, options: { taskId: 'elsewhere', queue: 'other' } });
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '1', '--purge']).ready();
  t.match(await worker.event('queue.purged'), { queue: 'celery', purged: 3, message: 'purge: Erased 3 messages from queue celery' });
  await client.call({ task: 'tasks.add', args: [2, 2], kwargs: {}, options: { taskId: 'after' } });
  t.equal(await outcome(scene, 'after'), 4);
  await worker.stop();
  t.strictSame(
    worker.all('task.received').map(({ taskId }) => taskId),
    ['after'],
  );
  const other = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-Q', 'other']).ready();
  t.equal(await outcome(scene, 'elsewhere'), 2);
  await other.stop();
});

void t.test('task.create_missing_queues = false refuses a queue nobody declared', async (t) => {
  const { folder } = await setUp(t);
  folder.write('umbel.toml', '[task]\ncreate_missing_queues = false\n');
  const called = await folder.umbel(['call', 'tasks.add', '--args', '[1, 1]', '--queue', 'nowhere']);
  t.match(called, { status: 64, stdout: /^$/, stderr: /nowhere.+\[QUEUE_UNKNOWN\]/ });
});

void t.test('work is shared by children, and -O fair holds nothing back behind a long task', async (t) => {
  const scene = await setUp(t);
  const { folder, client } = scene;
  const worker = await folder.worker(['-A', 'tasks.ts', '-c', '2', '-O', 'fair']).ready();
  await client.call({ task: 'tasks.gate', args: [folder.file('open')], kwargs: {}, options: { taskId: 'long' } });
  await worker.event('task.started', ({ taskId }) => taskId === 'long');
  const pids = await Promise.all(
    Array.from({ length: 50 }, async () =>
      (await client.call<number>({ task: 'tasks.pid', args: [], kwargs: {}, options: {} })).get({ timeoutMs: 20_000 }),
    ),
  );
  t.equal(new Set(pids).size, 1, 'all by the free child');
  writeFileSync(folder.file('open'), '');
  t.equal(await outcome(scene, 'long'), 'first');
  await worker.stop();
});
