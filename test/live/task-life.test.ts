/** What a task may know and do: its context, retries, states of its own, Ignore and Reject, arguments by name. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { CallOptions } from '../../src/task/call-options.ts';
import { eventually } from '../pool/eventually.ts';
import { type LiveScene, openScene } from './live-scene.ts';

const tasks = `
import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentTask, Ignore, Reject, task } from 'umbel';

export const context = task({ bind: true }, async (self, x: unknown, y: unknown, kwargs: Record<string, unknown> = {}) => {
  await sleep(1);
  const same = currentTask() === self;
  const { id, name, retries, hostname, rootId, parentId, deliveryInfo, correlationId, origin, headers, ignoreResult } = self;
  return { same, id, name, retries, hostname, rootId, parentId, deliveryInfo, correlationId, origin, headers, ignoreResult,
    args: self.args, kwargs: self.kwargs, aborted: self.signal.aborted };
});
async function level(n: number): Promise<string | undefined> {
  await sleep(0);
  return n === 0 ? currentTask()?.id : level(n - 1);
}
export const deep = () => level(20);

export const flaky = task({ bind: true, maxRetries: 5 }, (self, succeedAt: number, countdown: number) => {
  appendFileSync('runs', self.id + ' ' + Date.now() + '\\n');
  if (self.retries < succeedAt) self.retry({ countdown, exc: new TypeError('try ' + self.retries) });
  return { retries: self.retries, id: self.id, args: self.args };
});
export const hopeless = task({ bind: true, maxRetries: 2, defaultRetryDelay: 0 }, (self, withCause: boolean) => {
  if (withCause) self.retry({ exc: new TypeError('the cause') });
  return self.retry();
});
export const otherArguments = task({ bind: true, defaultRetryDelay: 0 }, (self, n: number) => {
  if (n === 1) self.retry({ args: [2], kwargs: {} });
  return n;
});

export const progress = task({ bind: true }, async (self, file: string) => {
  await self.updateState({ state: 'PROGRESS', meta: { done: 1, of: 2 } });
  while (!existsSync(file)) await sleep(5);
  return 'done';
});
export const ignores = () => { throw new Ignore(); };
export const stateThenIgnore = task({ bind: true }, async (self) => {
  await self.updateState({ state: 'ASIDE', meta: 'put aside' });
  throw new Ignore();
});
export const rejects = task({ acksLate: true }, () => { throw new Reject('not for me'); });
export const rejectsOnce = task({ acksLate: true, bind: true }, (self) => {
  if (!self.deliveryInfo.redelivered) throw new Reject('later', { requeue: true });
  return 'second time';
});
export const rejectsEarly = () => { throw new Reject('too late', { requeue: true }); };

export const greet = (greeting: string, { name, mark = '!' }: { name: string; mark?: string }) => greeting + ' ' + name + mark;
export const named = (x: number, y: number = 10) => x * 100 + y;
export const collects = (x: number, kwargs: Record<string, unknown> = {}) => [x, kwargs];
export const untyped = task({ typing: false }, (x: unknown, y: unknown) => [x ?? null, y ?? null]);

export const noResult = task({ ignoreResult: true }, () => 'unseen');
export const noResultButErrors = task({ ignoreResult: true, storeErrorsEvenIfIgnored: true }, () => { throw new TypeError('seen'); });
export const tracked = task({ trackStarted: true }, async (file: string) => { while (!existsSync(file)) await sleep(5); });
export const expected = task({ throws: [RangeError] }, () => { throw new RangeError('usual'); });
export const throwsText = () => { throw 'just text'; };
export const causes = () => { throw new TypeError('outer', { cause: new RangeError('inner') }); };

export const add = (x: number, y: number) => x + y;
export const calls = task({ bind: true }, async (self) => {
  const plain = await addTask.delay(1, 2);
  const asked = await addTask.applyAsync({ args: [3, 4], priority: 7, taskId: self.id + '-child', countdown: 0.05 });
  return [plain.id, asked.id];
});
export const addTask = task({ name: 'tasks.added' }, (x: number, y: number) => currentTask()?.parentId + ':' + currentTask()?.rootId + ':' + (x + y));
export const waitsInside = async () => (await addTask.delay(1, 1)).get();
export const bigint = () => 12345678901234567890n;
export const circular = () => { const loop: { self?: unknown } = {}; loop.self = loop; return loop; };
export const nothing = () => undefined;
`;

function startWorker(t: Test, args: readonly string[] = ['-c', '2'], config = ''): Promise<LiveScene> {
  return openScene(t, tasks, ['-n', 'w@example.com', ...args], config);
}

let ids = 0;
async function send(
  { client }: LiveScene,
  task: string,
  args: readonly unknown[] = [],
  kwargs: Record<string, unknown> = {},
  options: CallOptions = {},
): Promise<string> {
  ids += 1;
  const taskId = options.taskId ?? `${task}-${ids}`;
  await client.call({ task: `tasks.${task}`, args, kwargs, options: { ...options, taskId } });
  return taskId;
}

/** The value, or the error of a failed one. */
const outcome = ({ client }: LiveScene, id: string): Promise<unknown> => client.result(id).get({ timeoutMs: 20_000, propagate: false });

async function run(scene: LiveScene, task: string, args: readonly unknown[] = [], kwargs: Record<string, unknown> = {}): Promise<unknown> {
  return outcome(scene, await send(scene, task, args, kwargs));
}

void t.test('the context', async (t) => {
  const scene = await startWorker(t);
  const id = await send(scene, 'context', [1, 'two'], { three: 3 }, { headers: { tenant: 'x' }, priority: 3 });
  t.match(await outcome(scene, id), {
    same: true,
    id,
    name: 'tasks.context',
    retries: 0,
    hostname: 'w@example.com',
    rootId: id,
    parentId: null,
    deliveryInfo: { exchange: '', routingKey: 'celery', priority: 3, redelivered: false },
    correlationId: id,
    origin: /^gen\d+@./,
    headers: { tenant: 'x' },
    ignoreResult: false,
    args: [1, 'two'],
    kwargs: { three: 3 },
    aborted: false,
  });
  const deep = await send(scene, 'deep');
  t.equal(await outcome(scene, deep), deep, 'currentTask() twenty awaits below');
  await scene.worker.stop();
});

void t.test('retry', async (t) => {
  const scene = await startWorker(t);
  const { client, worker, folder } = scene;
  const id = await send(scene, 'flaky', [2, 0.2]);
  await worker.event('task.retried', ({ taskId }) => taskId === id);
  t.match(worker.all('task.retried')[0], { level: 'info', message: `Task tasks.flaky[${id}] retry: Retry in 0.2s: TypeError('try 0')` });
  const waiting = await send(scene, 'flaky', [1, 600]);
  await worker.event('task.retried', ({ taskId }) => taskId === waiting);
  // The line is written before the state is durable.
  await eventually(t, 'its state is RETRY', async () => (await folder.umbel(['result', waiting, '--state'])).stdout === 'RETRY\n');
  t.strictSame(await outcome(scene, id), { retries: 2, id, args: [2, 0.2] });
  const started = await worker.count('task.started', 3, ({ taskId }) => taskId === id);
  t.equal(started.length, 3);
  // As the child saw it: the parent's lines may lag behind.
  const runs = folder
    .read('runs')
    .split('\n')
    .filter((line) => line.startsWith(`${id} `));
  const gaps = [1, 2].map((n) => Number(runs[n]?.split(' ')[1]) - Number(runs[n - 1]?.split(' ')[1]));
  t.ok(
    gaps.every((ms) => ms >= 199),
    `each after its countdown, got ${gaps}`,
  );

  t.match(await run(scene, 'hopeless', [true]), { remoteName: 'TypeError', message: 'the cause' });
  t.match(await run(scene, 'hopeless', [false]), {
    remoteName: 'MaxRetriesExceededError',
    message: /^Can't retry tasks\.hopeless\[.+\] args:\(False,\) kwargs:\{\}$/,
  });
  t.equal(await run(scene, 'otherArguments', [1]), 2);
  t.equal(await client.result(id).state(), 'SUCCESS');
  await worker.stop();
  t.equal(worker.all('task.retried').filter(({ taskId }) => taskId !== waiting).length, 2 + 2 + 2 + 1, 'as many as each needed');
});

void t.test('a state of its own is seen by umbel result --state', async (t) => {
  const scene = await startWorker(t);
  const { folder, worker } = scene;
  const id = await send(scene, 'progress', [folder.file('go')]);
  await worker.event('task.started', ({ taskId }) => taskId === id);
  const isIn = async (task: string, state: string): Promise<boolean> =>
    (await folder.umbel(['result', task, '--state'])).stdout === `${state}\n`;
  await eventually(t, 'its state is PROGRESS', () => isIn(id, 'PROGRESS'));
  t.equal((await folder.umbel(['result', id])).status, 75, 'it is not the result');
  writeFileSync(folder.file('go'), '');
  t.strictSame(await folder.umbel(['result', id, '--wait']), { status: 0, signal: null, stdout: '"done"\n', stderr: '' });

  const tracked = await send(scene, 'tracked', [folder.file('go2')]);
  await worker.event('task.started', ({ taskId }) => taskId === tracked);
  await eventually(t, 'its state is STARTED', () => isIn(tracked, 'STARTED'));
  writeFileSync(folder.file('go2'), '');
  t.equal(await outcome(scene, tracked), null);
  await worker.stop();
});

void t.test('Ignore and Reject', async (t) => {
  const scene = await startWorker(t);
  const { client, worker } = scene;
  const ignored = await send(scene, 'ignores');
  t.match(await worker.event('task.ignored', ({ taskId }) => taskId === ignored), { level: 'info' });
  t.equal(await client.result(ignored).state(), 'PENDING');
  const aside = await send(scene, 'stateThenIgnore');
  await worker.event('task.ignored', ({ taskId }) => taskId === aside);
  t.equal(await client.result(aside).state(), 'ASIDE');

  const dropped = await send(scene, 'rejects');
  t.match(await worker.event('task.rejected', ({ taskId }) => taskId === dropped), {
    level: 'warning',
    requeue: false,
    message: `Task tasks.rejects[${dropped}] reject requeue=False: not for me`,
  });
  t.equal(await client.result(dropped).state(), 'PENDING');
  t.equal(await run(scene, 'rejectsOnce'), 'second time');
  const early = await send(scene, 'rejectsEarly');
  await worker.event('task.rejected', ({ taskId }) => taskId === early);
  t.equal(await run(scene, 'add', [1, 1]), 2);
  t.strictSame(await worker.stop(), { code: 0, signal: null });
  t.equal(worker.all('task.received').filter(({ taskId }) => taskId === dropped || taskId === early).length, 2, 'they do not come back');
});

void t.test('arguments', async (t) => {
  const scene = await startWorker(t);
  t.equal(await run(scene, 'greet', ['hello'], { name: 'you' }), 'hello you!');
  t.equal(await run(scene, 'greet', [], { greeting: 'bye', name: 'you', mark: '?' }), 'bye you?');
  t.equal(await run(scene, 'named', [], { y: 1, x: 2 }), 201);
  t.equal(await run(scene, 'named', [3]), 310);
  t.strictSame(await run(scene, 'collects', [1], { a: 1, b: { c: 2 } }), [1, { a: 1, b: { c: 2 } }]);
  t.strictSame(await run(scene, 'untyped', [1, 2, 3]), [1, 2]);
  t.strictSame(await run(scene, 'untyped', [], { y: 5 }), [null, 5]);
  const wrong: readonly (readonly [task: string, args: unknown[], kwargs: Record<string, unknown>, message: string])[] = [
    ['add', [1], {}, "add() missing 1 required positional argument: 'y'"],
    ['add', [], {}, "add() missing 2 required positional arguments: 'x' and 'y'"],
    ['add', [1, 2, 3], {}, 'add() takes 2 positional arguments but 3 were given'],
    ['add', [1], { y: 2, z: 3 }, "add() got an unexpected keyword argument 'z'"],
    ['add', [1, 2], { x: 3 }, "add() got multiple values for argument 'x'"],
    ['greet', ['hello'], { name: 'you', nam: 'x' }, "greet() got an unexpected keyword argument 'nam'"],
  ];
  for (const [task, args, kwargs, message] of wrong) t.match(await run(scene, task, args, kwargs), { remoteName: 'TypeError', message });
  await scene.worker.stop();
});

void t.test('results', async (t) => {
  const scene = await startWorker(t);
  const { client, worker } = scene;
  const silent = await send(scene, 'noResult');
  await worker.event('task.succeeded', ({ taskId }) => taskId === silent);
  t.equal(await client.result(silent).state(), 'PENDING');
  t.match(await run(scene, 'noResultButErrors'), { remoteName: 'TypeError', message: 'seen' });
  const byCall = await send(scene, 'add', [1, 2], {}, { ignoreResult: true });
  await worker.event('task.succeeded', ({ taskId }) => taskId === byCall);
  t.equal(await client.result(byCall).state(), 'PENDING');

  t.match(await run(scene, 'expected'), { remoteName: /./, message: 'usual' });
  t.match(await worker.event('task.failed', ({ taskName }) => taskName === 'tasks.expected'), {
    level: 'info',
    message: /raised expected: RangeError\('usual'\)$/,
  });
  t.match(await run(scene, 'throwsText'), { message: /just text/ });
  const chained = await run(scene, 'causes');
  t.match(chained, {
    remoteName: 'TypeError',
    message: 'outer',
    remoteTraceback: /TypeError: outer\n.*tasks\.ts:\d+:\d+.*Caused by: RangeError: inner/s,
  });
  t.notMatch((chained as { remoteTraceback: string }).remoteTraceback, /umbel\.cjs|node:internal/, 'no frames of the program');
  t.match(await worker.event('task.failed', ({ taskName }) => taskName === 'tasks.causes'), {
    level: 'error',
    message: /raised unexpected: TypeError\('outer'\)$/,
    traceback: /tasks\.ts:\d+:\d+/,
  });
  t.equal(await run(scene, 'nothing'), null);
  t.match(await run(scene, 'circular'), { remoteName: 'EncodeError' });
  const big = await send(scene, 'bigint');
  t.strictSame(await scene.folder.umbel(['result', big, '--wait']), {
    status: 0,
    signal: null,
    stdout: '12345678901234567890\n',
    stderr: '',
  });
  await worker.stop();
});

void t.test('task.delay() inside a task', async (t) => {
  const scene = await startWorker(t);
  const id = await send(scene, 'calls');
  const [plain, asked] = (await outcome(scene, id)) as [string, string];
  t.equal(asked, `${id}-child`);
  t.equal(await outcome(scene, plain), `${id}:${id}:3`, 'parent and root are the caller');
  t.equal(await outcome(scene, asked), `${id}:${id}:7`);
  t.match(await run(scene, 'waitsInside'), { message: 'Never call result.get() within a task!' });
  await scene.worker.stop();
});
