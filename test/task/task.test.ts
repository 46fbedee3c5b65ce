import t from 'tap';
import { Retry } from '../../src/task/control-flow.ts';
import { setPublisher } from '../../src/task/publisher.ts';
import { task, taskHandle, taskStateOf } from '../../src/task/task.ts';
import { FakePublisher } from './fake-publisher.ts';

t.test('a task is its function', async (t) => {
  const add = task(function add(x: number, y: number) {
    return x + y;
  });
  t.equal(add(2, 3), 5);
  t.equal(add.name, 'add');
  t.equal(add.length, 2);
  t.same(add.options, {});
  t.same(Object.keys(add), [], 'nothing of it is enumerable');
  t.equal(taskStateOf(add)?.fn(...([4, 5] as never[])), 9);
  t.equal(
    taskStateOf(() => 1),
    undefined,
  );
});

t.test('delay and applyAsync', async (t) => {
  const sender = new FakePublisher();
  setPublisher(sender);
  t.teardown(() => setPublisher(undefined));
  const add = task({ name: 'tasks.add', queue: 'sums', priority: 2, ignoreResult: true }, (x: number, y: number) => x + y);
  const result = await add.delay(2, 3);
  t.equal(result.id, 'id-1');
  await add.applyAsync({ args: [2], kwargs: { y: 3 }, countdown: 5, priority: 7, ignoreResult: false });
  await add.applyAsync({ args: [2, 3], exchange: 'e', routingKey: 'k' });
  t.match(sender.calls, [
    { task: 'tasks.add', args: [2, 3], kwargs: {}, options: { queue: 'sums', priority: 2, ignoreResult: true } },
    { task: 'tasks.add', args: [2], kwargs: { y: 3 }, options: { queue: 'sums', countdown: 5, priority: 7, ignoreResult: false } },
    { options: { exchange: 'e', routingKey: 'k', queue: undefined } },
  ]);
  t.notOk('args' in sender.calls[1]!.options);
});

t.test('calls are checked before they are sent', async (t) => {
  const sender = new FakePublisher();
  setPublisher(sender);
  t.teardown(() => setPublisher(undefined));
  const add = task({ name: 'tasks.add' }, (x: number, y: number) => x + y);
  const loosely = add as unknown as { delay(...args: unknown[]): Promise<unknown>; applyAsync(call: unknown): Promise<unknown> };
  await t.rejects(loosely.delay(1, 2, 3), new TypeError('add() takes 2 positional arguments but 3 were given'));
  await t.rejects(loosely.applyAsync({ args: [1], kwargs: { z: 1 } }), new TypeError("add() got an unexpected keyword argument 'z'"));
  await t.rejects(loosely.applyAsync({ args: [1, 2], countdow: 3 }), { code: 'TASK_OPTION_INVALID' });
  t.same(sender.calls, []);
});

t.test('without an app', async (t) => {
  const add = task({ name: 'tasks.add' }, () => 1);
  await t.rejects(add.delay(), { code: 'NO_APP' });
  await t.rejects(taskHandle('x').delay(), { code: 'NO_APP' });
});

t.test('a task without a name asks for its module to be loaded', async (t) => {
  const add = task(function add() {});
  t.throws(() => add.taskName, { code: 'TASK_UNNAMED', message: /^task add has no name here/ });
  const sender = new FakePublisher();
  setPublisher(sender);
  t.teardown(() => setPublisher(undefined));
  await t.rejects(add.delay(), { code: 'TASK_UNNAMED' });
  setPublisher({
    call: (call) => sender.call(call),
    apply: (call) => sender.apply(call),
    loadTasks: async () => {
      taskStateOf(add)!.name = 'jobs.add';
    },
  });
  await add.delay();
  t.match(sender.calls, [{ task: 'jobs.add' }]);
  t.equal(add.taskName, 'jobs.add');
});

t.test('taskHandle', async (t) => {
  const sender = new FakePublisher();
  setPublisher(sender);
  t.teardown(() => setPublisher(undefined));
  const mul = taskHandle<[number, number], number>('proj.mul');
  t.equal(mul.taskName, 'proj.mul');
  await mul.delay(2, 3);
  await mul.applyAsync({ kwargs: { x: 1, y: 2 }, queue: 'q' });
  t.match(sender.calls, [
    { task: 'proj.mul', args: [2, 3], kwargs: {}, options: {} },
    { task: 'proj.mul', args: [], kwargs: { x: 1, y: 2 }, options: { queue: 'q' } },
  ]);
  t.throws(() => taskHandle(''), { code: 'TASK_OPTION_INVALID' });
});

t.test('a bound task called directly', async (t) => {
  const work = task({ bind: true, name: 'tasks.work' }, async function work(context, x: number) {
    await context.updateState({ state: 'PROGRESS' });
    return [context.calledDirectly, context.name, context.args, context.signal.aborted, x];
  });
  t.same(await work(7), [true, 'tasks.work', [7], false, 7]);
  t.equal(work.length, 1);
  const cause = new Error('x');
  const failing = task({ bind: true }, (context, exc: Error | undefined) => context.retry({ exc }));
  t.throws(() => failing(cause), cause, 'the cause itself');
  t.throws(() => failing(undefined), { constructor: Retry, message: 'Task can be retried' });
});

t.test('a bound task called directly logs to the console', async (t) => {
  const lines = t.capture(console, 'warn', () => {});
  task({ bind: true, name: 'tasks.work' }, (context) => context.log.warning('%d left', 3))();
  t.same(
    lines().map((call) => call.args),
    [['tasks.work[???]: 3 left']],
  );
});

t.test('what is not a task', async (t) => {
  const define = task as unknown as (...args: unknown[]) => unknown;
  const wrong = { code: 'TASK_OPTION_INVALID' };
  t.throws(() => define({}), wrong);
  t.throws(() => define(undefined), wrong);
  t.throws(() => define('name', () => 1), wrong);
  t.throws(() => define(null, () => 1), wrong);
  t.throws(() => define(task(() => 1)), wrong, 'a task already');
  t.throws(() => define({ bind: 'yes' }, () => 1), wrong);
});
