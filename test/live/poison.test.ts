/** A task that takes all memory it can get, on two workers: three starts, and `umbel dead` shows, sends back and removes it. On every broker. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { eventually } from '../pool/eventually.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { brokerKinds, openBroker } from './live-broker.ts';
import { type Ended, LiveFolder } from './live-folder.ts';
import { startedApp } from './started-client.ts';

t.setTimeout(300_000);

const tasks = `
import { appendFileSync, existsSync } from 'node:fs';
import { task } from 'umbel';
const hoard = [];
export const devour = task({ name: 'devour', bind: true, acksLate: true, rejectOnWorkerLost: true }, (context) => {
  appendFileSync('starts', context.id + ' ' + process.ppid + ' ' + context.deliveryInfo.redelivered + '\\n');
  if (existsSync('cured')) return 'cured';
  for (let taken = 0; taken < 1500; taken += 4) {
    hoard.push(Buffer.alloc(4 * 1024 * 1024, 1));
    for (const until = performance.now() + 5; performance.now() < until; );
  }
  return 'let go on';
});
export const healthy = task({ name: 'healthy' }, (x) => x);
`;

for (const kind of brokerKinds) {
  void t.test(`exactly three starts, then aside: ${kind}`, async (t) => {
    const folder = new LiveFolder(t);
    const { url: broker } = await openBroker(t, kind, folder);
    const backend = folder.sqliteUrl('results.db');
    folder.write('tasks.mjs', tasks);
    await startedApp(t, { broker, backend });
    const env = { UMBEL_RESULT_BACKEND: backend, UMBEL_WORKER_MAX_MEMORY_HARD: '300000', UMBEL_WORKER_PREFETCH_MULTIPLIER: '1' };
    const workers = await Promise.all(
      ['one', 'two'].map((node) =>
        folder.worker(['-A', folder.file('tasks.mjs'), '-b', broker, '-c', '1', '-n', `${node}@h`], { env, cwd: folder.path }).ready(),
      ),
    );
    const dead = (...args: string[]): Promise<Ended> => folder.umbel(['-b', broker, 'dead', ...args]);
    const result = await taskHandle<[], string>('devour').applyAsync({ taskId: 'poison' });
    const others = Array.from({ length: 20 }, (_, n) => taskHandle<[number], number>('healthy').delay(n));
    const failure = await result.get({ timeoutMs: 60_000 }).catch((error: unknown) => error as Error);
    t.match(failure, {
      remoteName: /WorkerLostError/,
      message:
        /signal 9 \(SIGKILL\).* It held \d+ KiB of memory, more than worker\.max_memory_hard allows \(300000 KiB\)\. It has ended 3 children \(worker\.max_crashes\) and is put aside\./,
    });
    t.same(
      await Promise.all(others.map(async (other) => (await other).get({ timeoutMs: 30_000 }))),
      others.map((_, n) => n),
    );
    const starts = readFileSync(folder.file('starts'), 'utf8').trimEnd().split('\n');
    t.equal(starts.length, 3, starts.join(', '));
    t.same(
      starts.map((line) => line.split(' ')[2]),
      ['false', 'true', 'true'],
    );

    const listed = await dead('list', '--json');
    t.equal(listed.stdout.trim().split('\n').length, 1, listed.stdout + listed.stderr);
    t.match(JSON.parse(listed.stdout), { id: 'poison', task: 'devour', reason: 'crashed', signal: 'SIGKILL', crashes: 3, queue: 'celery' });
    t.ok(JSON.parse(listed.stdout).peakRssBytes > 300_000 * 1024);
    t.match((await dead('show', 'poison')).stdout, /signal +SIGKILL\n(.*\n)*came from +celery\n/);
    t.match(await dead('show', 'nobody'), { status: 64, stderr: /must be one of a message in umbel\.dead, got nobody/ });

    folder.write('cured', '');
    t.match(await dead('retry', 'poison'), { status: 0, stdout: /^poison devour sent back to celery\n$/ });
    const cured = workers.map((worker) => worker.event('task.succeeded', ({ taskId }) => taskId === 'poison'));
    await Promise.any(cured);
    for (const waiting of cured) waiting.catch(() => {});
    t.match(await dead('list'), { status: 0, stdout: '', stderr: /Nothing is put aside in umbel\.dead\./ });
    t.match(await dead('purge', '--all'), { status: 0, stdout: '0 removed\n' });
    for (const worker of workers) t.match(await worker.stop(), { code: 0 });
  });
}

void t.test('left to RabbitMQ: the dead-letter exchange of its queue has it', async (t) => {
  const folder = new LiveFolder(t);
  const vhost = await RabbitmqVhost.open(t);
  folder.write(
    'tasks.mjs',
    "import { task } from 'umbel';\nexport const die = task({ name: 'die', acksLate: true, rejectOnWorkerLost: true }, () => process.kill(process.pid, 'SIGKILL'));\n",
  );
  folder.write(
    'umbel.toml',
    `[broker]
url = "${vhost.url()}"
[result]
backend = "${folder.sqliteUrl('results.db')}"
[worker]
dead_letters = "native"
max_crashes = 1
unknown_tasks = "dead"
[queues.mortal]
queue_arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "grave" }
[queues.grave]
`,
  );
  await startedApp(t, { broker: vhost.url(), backend: 'disabled' });
  const worker = await folder.worker(['-A', folder.file('tasks.mjs'), '-c', '1', '-Q', 'mortal'], { cwd: folder.path }).ready();
  // That the grave is there: a worker declares the queues it consumes from.
  const digger = await folder
    .worker(['-A', folder.file('tasks.mjs'), '-c', '1', '-Q', 'grave', '-n', 'digger@h'], { cwd: folder.path })
    .ready();
  t.match(await digger.stop(), { code: 0 });
  await taskHandle('die').applyAsync({ taskId: 'poison', queue: 'mortal' });
  t.match(await worker.event('task.dead'), { message: /die\[poison\] is put aside in the dead-letter exchange of its queue/ });
  await taskHandle('nobody').applyAsync({ taskId: 'unknown', queue: 'mortal' });
  t.match(await worker.event('task.unregistered'), { message: /put aside in the dead-letter exchange of its queue/ });
  await eventually(t, 'both are there', async () => /^grave\s+2$/m.test(await vhost.list('queues', 'name', 'messages')));
  t.notMatch(await vhost.list('queues', 'name'), /umbel\.dead/);
  t.match(await worker.stop(), { code: 0 });

  const other = await folder.umbel(['worker', '-A', folder.file('tasks.mjs'), '-b', folder.sqliteUrl('broker.db')], {
    cwd: folder.path,
  });
  t.match(other, { status: 78, stderr: /worker\.dead_letters must be queue with sqlite:.*got native/ });
});
