/** Signals to a worker that goes on: USR1, USR2, TTIN and TTOU, TSTP and CONT. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { App } from '../../src/client/umbel.ts';
import { type LiveScene, openScene } from './live-scene.ts';
import { liveTasks } from './live-tasks.ts';
import type { LiveWorker, LogEvent } from './live-worker.ts';

function startWorker(t: Test, args: readonly string[], config = ''): Promise<LiveScene> {
  return openScene(t, liveTasks, args, config);
}

async function call(client: App, task: string, args: readonly unknown[], taskId: string): Promise<void> {
  await client.call({ task: `tasks.${task}`, args, kwargs: {}, options: { taskId } });
}

/** Pids of the children that are ready, by their index. */
function childrenByIndex(worker: LiveWorker): Map<unknown, unknown> {
  return new Map(worker.all('child.ready').map(({ child, pid }) => [child, pid]));
}

/** Times at which a machine that was too busy for a look in time is looked at again. */
const moreLooks = 3;

/** What USR1 brings of a worker with three children, one of which spins. That one was not heard, or no stack taken, in time is a right answer of a busy machine. */
async function dumpInTime(worker: LiveWorker): Promise<{ readonly parent: LogEvent; readonly children: readonly LogEvent[] }> {
  for (let looks = moreLooks; ; looks -= 1) {
    const since = worker.now();
    worker.kill('SIGUSR1');
    const parent = await worker.event('worker.dump', () => true, since);
    const children = await worker.count('child.dump', 3, () => true, since);
    const unheard = children.filter(({ message }) => /does not answer/.test(message)).length > 1;
    const noStack = children.some(({ message }) => /^ *no (?:answer|stack): /m.test(message));
    if (looks === 0 || !(unheard || noStack)) return { parent, children };
  }
}

void t.test('USR1 shows what the parent and every child are doing, also the line of one that spins', async (t) => {
  const { folder, client, worker } = await startWorker(t, ['-c', '3']);
  // Ready is a worker with its first child.
  await worker.count('child.ready', 3);
  const spinLine = liveTasks.split('\n').findIndex((line) => line.includes('for (;;)')) + 1;
  await call(client, 'spin', [], 'spinning');
  await worker.event('task.started', ({ taskId }) => taskId === 'spinning');
  await call(client, 'gate', [folder.file('open')], 'waiting');
  await worker.event('task.started', ({ taskId }) => taskId === 'waiting');

  for (const round of ['once', 'and again']) {
    const { parent, children: dumps } = await dumpInTime(worker);
    t.strictSame(worker.all('child.lost'), [], 'no child was lost to it');
    t.match(parent.message, /MainProcess \(pid \d+\) is running: 2 tasks held, 2 running/, round);
    const spinning = dumps.find(({ message }) => /busy/.test(message));
    t.match(spinning?.message, new RegExp(`\\bspin\\b.*tasks\\.ts:(${spinLine}|${spinLine + 1}):\\d+`), 'the place where it spins');
    t.match(spinning?.message, /tasks\.spin\[spinning\]/, 'and the task that does');
    t.ok(
      dumps.find(({ message }) => /tasks\.gate\[waiting\] for \d+\.\d+s/.test(message)),
      'the waiting one',
    );
    t.ok(
      dumps.find(({ message }) => /is ready and idle/.test(message)),
      'the idle one',
    );
    t.ok(
      dumps.every(({ level }) => level === 'critical'),
      'at a level that is always written',
    );
  }

  writeFileSync(folder.file('open'), '');
  t.equal(await client.result('waiting').get({ timeoutMs: 20_000 }), 'first', 'tasks go on');
  await call(client, 'add', [1, 2], 'after');
  t.equal(await client.result('after').get({ timeoutMs: 20_000 }), 3);
  t.strictSame(worker.all('child.lost'), [], 'no child was lost');
  await worker.stop('SIGQUIT');
});

void t.test('TTIN adds a child, TTOU takes one away, the last one stays', async (t) => {
  const { folder, client, worker } = await startWorker(t, ['-c', '1', '-O', 'fair']);
  await worker.event('child.ready', ({ child }) => child === 1);
  worker.kill('SIGTTIN');
  await worker.event('pool.resized', ({ size }) => size === 2);
  await worker.event('child.ready', ({ child }) => child === 2);
  t.equal(worker.children().length, 2);
  // Both work at the same time.
  await call(client, 'gate', [folder.file('open')], 'one');
  await call(client, 'gate', [folder.file('open')], 'two');
  await worker.count('task.started', 2);

  const since = worker.now();
  worker.kill('SIGTTOU');
  await worker.event('pool.resized', ({ size }) => size === 1, since);
  t.equal(worker.children().length, 2, 'a busy child finishes its task first');
  writeFileSync(folder.file('open'), '');
  t.equal(await client.result('one').get({ timeoutMs: 20_000 }), 'first');
  t.equal(await client.result('two').get({ timeoutMs: 20_000 }), 'first');
  await worker.event('child.gone', ({ child }) => child === 2, since);
  t.strictSame(worker.children(), [childrenByIndex(worker).get(1)]);

  const last = worker.now();
  worker.kill('SIGTTOU');
  await worker.event('pool.resized', ({ size }) => size === 1, last);
  await call(client, 'add', [1, 2], 'after');
  t.equal(await client.result('after').get({ timeoutMs: 20_000 }), 3);

  // The number is free again.
  worker.kill('SIGTTIN');
  await worker.event('child.ready', ({ child }) => child === 2, last);
  t.strictSame(worker.all('child.lost'), [], 'none of this was a loss');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('TTOU and TTIN in one breath leave as many children as wanted', async (t) => {
  const { client, worker } = await startWorker(t, ['-c', '2']);
  await worker.count('child.ready', 2);
  const since = worker.now();
  worker.kill('SIGTTOU');
  await worker.event('pool.resized', ({ size }) => size === 1, since);
  worker.kill('SIGTTIN');
  await worker.event('pool.resized', ({ size }) => size === 2, since);
  await worker.event('child.ready', ({ child }) => child === 2, since);
  await call(client, 'add', [1, 2], 'after');
  t.equal(await client.result('after').get({ timeoutMs: 20_000 }), 3);
  t.strictSame(worker.all('child.lost'), []);
  await worker.stop();
});

void t.test('TSTP takes no more messages but runs what is there; CONT takes messages again', async (t) => {
  const { folder, client, worker } = await startWorker(t, ['-c', '1']);
  await call(client, 'gate', [folder.file('open')], 'running');
  await worker.event('task.started');
  await call(client, 'add', [1, 1], 'reserved');
  await worker.event('task.received', ({ taskId }) => taskId === 'reserved');
  worker.kill('SIGTSTP');
  await worker.event('worker.quiet');
  await call(client, 'add', [2, 2], 'later');
  writeFileSync(folder.file('open'), '');
  t.equal(await client.result('running').get({ timeoutMs: 20_000 }), 'first');
  t.equal(await client.result('reserved').get({ timeoutMs: 20_000 }), 2);
  // Another worker gets what this one does not take.
  const other = await folder.worker(['-A', 'tasks.ts', '-c', '1', '-n', 'other@%h']).ready();
  t.equal(await client.result('later').get({ timeoutMs: 20_000 }), 4);
  await other.event('task.received', ({ taskId }) => taskId === 'later');
  await other.stop();
  t.equal(worker.all('task.received').length, 2);

  await call(client, 'add', [3, 3], 'waiting');
  worker.kill('SIGCONT');
  await worker.event('worker.resumed');
  t.equal(await client.result('waiting').get({ timeoutMs: 20_000 }), 6);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('TERM stops a quiet worker', async (t) => {
  const { worker } = await startWorker(t, ['-c', '1']);
  worker.kill('SIGTSTP');
  await worker.event('worker.quiet');
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});

void t.test('USR2 is refused unless worker.enable_inspector is set', async (t) => {
  const { worker } = await startWorker(t, ['-c', '1']);
  worker.kill('SIGUSR2');
  await worker.event('inspector.refused', ({ message }) => /worker\.enable_inspector is false/.test(message));
  t.strictSame(worker.all('inspector.open'), []);
  await worker.stop();
});

void t.test('USR2 opens the inspector on the loopback interface and closes it again', async (t) => {
  const { worker } = await startWorker(t, ['-c', '1'], '[worker]\nenable_inspector = true\n');
  worker.kill('SIGUSR2');
  const opened = await worker.event('inspector.open');
  const address = /ws:\/\/(127\.0\.0\.1:\d+)\//.exec(opened.message)?.[1];
  const answer = await fetch(`http://${address}/json/list`);
  t.match(await answer.json(), [{ type: 'node', webSocketDebuggerUrl: `ws://${address}/` }]);
  worker.kill('SIGUSR2');
  await worker.event('inspector.closed');
  await t.rejects(fetch(`http://${address}/json/list`));
  t.strictSame(await worker.stop(), { code: 0, signal: null });
});
