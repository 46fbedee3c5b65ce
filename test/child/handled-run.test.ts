/** Handlers of a task: their order, what they are told, and what becomes of what they throw. */
import t from 'tap';
import type { TaskEnd } from '../../src/child/run-task.ts';
import { Ignore } from '../../src/task/control-flow.ts';
import { currentTask, type TaskContext } from '../../src/task/task-context.ts';
import type { TaskOptions } from '../../src/task/task-options.ts';
import { FakeHost } from '../task/fake-request.ts';
import { runOnce } from './one-run.ts';

function recorder() {
  const calls: unknown[][] = [];
  const handler =
    (name: string) =>
    async (...told: unknown[]): Promise<void> => {
      await null;
      calls.push([name, ...told, currentTask()?.id]);
    };
  const options: TaskOptions = {
    beforeStart: handler('beforeStart'),
    onSuccess: handler('onSuccess'),
    onFailure: handler('onFailure'),
    onRetry: handler('onRetry'),
    afterReturn: handler('afterReturn'),
  };
  return { calls, options };
}

const message = { args: [1], kwargs: { y: 2 } };
const told = ['id-1', [1], { y: 2 }];

t.test('success', async (t) => {
  const { calls, options } = recorder();
  const task = (x: number, y: number): number => {
    calls.push(['task']);
    return x + y;
  };
  t.match(await runOnce(options, task, message), { kind: 'succeeded', resultJson: '3' });
  t.strictSame(calls, [
    ['beforeStart', ...told, 'id-1'],
    ['task'],
    ['onSuccess', 3, ...told, 'id-1'],
    ['afterReturn', 'SUCCESS', 3, ...told, null, 'id-1'],
  ]);
});

t.test('failure', async (t) => {
  const { calls, options } = recorder();
  const error = new TypeError('no');
  const task = (_x: number, { y: _y }: { y: number }): never => {
    throw error;
  };
  t.match(await runOnce(options, task, message), { meta: { kind: 'failed', text: "TypeError('no')" } });
  const info = { exception: error, traceback: /^TypeError: no/ };
  t.match(calls.slice(1), [
    ['onFailure', error, ...told, info, 'id-1'],
    ['afterReturn', 'FAILURE', error, ...told, info, 'id-1'],
  ]);
  t.equal(calls.length, 3);
});

t.test('a retry, by itself too: onRetry with its cause, and no afterReturn', async (t) => {
  const error = new TypeError('not now');
  const asks = (context: TaskContext): never => context.retry({ exc: error });
  const throws = (): never => {
    throw error;
  };
  for (const [more, task] of [
    [{ bind: true }, asks],
    [{ autoretryFor: [TypeError] }, throws],
  ] as const) {
    const { calls, options } = recorder();
    t.match(await runOnce({ ...options, ...more }, task), { meta: { kind: 'retried' }, followUps: [{}] });
    t.match(calls, [['beforeStart'], ['onRetry', error, 'id-1', [], {}, { exception: error, traceback: /TypeError: not now/ }]]);
    t.equal(calls.length, 2);
  }
});

t.test('Ignore: none but beforeStart', async (t) => {
  const { calls, options } = recorder();
  const ignores = (): never => {
    throw new Ignore();
  };
  t.match(await runOnce(options, ignores), { meta: { kind: 'ignored' } });
  t.equal(calls.length, 1);
});

t.test('a result that cannot be encoded is a failure for the handlers too', async (t) => {
  const { calls, options } = recorder();
  t.match(await runOnce(options, () => () => {}), { meta: { kind: 'failed', text: /EncodeError/ } });
  t.match(calls.slice(1), [
    ['onFailure', /EncodeError/],
    ['afterReturn', 'FAILURE'],
  ]);
});

t.test('what beforeStart throws is what the task throws; the function does not run, and nothing is retried by itself', async (t) => {
  const { calls, options } = recorder();
  const beforeStart = (): never => {
    throw new RangeError('not today');
  };
  const end = await runOnce({ ...options, beforeStart, autoretryFor: [Error] }, () => calls.push(['task']));
  t.match(end, { meta: { kind: 'failed', text: "RangeError('not today')" } });
  t.match(calls, [['onFailure'], ['afterReturn', 'FAILURE']]);
});

t.test('what the others throw is said, and changes nothing', async (t) => {
  const broken = (name: string) => async () => {
    throw new Error(`${name} is broken`);
  };
  const handlers: TaskOptions = {
    onSuccess: broken('onSuccess'),
    onFailure: broken('onFailure'),
    onRetry: broken('onRetry'),
    afterReturn: broken('afterReturn'),
  };
  const host = new FakeHost();
  t.match(await runOnce(handlers, () => 1, {}, host), { kind: 'succeeded', resultJson: '1' });
  const fails = (): never => {
    throw new TypeError('no');
  };
  t.match(await runOnce(handlers, fails, {}, host), { meta: { kind: 'failed', text: "TypeError('no')" } });
  t.match(await runOnce({ ...handlers, autoretryFor: [TypeError] }, fails, {}, host), { meta: { kind: 'retried' } });
  const lines = host.lines.map(([level, text]) => `${level} ${text}`);
  t.equal(lines.length, 5);
  for (const [at, name] of ['onSuccess', 'afterReturn', 'onFailure', 'afterReturn', 'onRetry'].entries())
    t.match(lines[at], new RegExp(`^error its handler ${name} failed, .*: Error: ${name} is broken`));
});

t.test('each handler is checked to be a function', async (t) => {
  t.throws(() => runOnce({ onSuccess: 'x' } as never, () => {}), /onSuccess must be a function, got 'x'/);
  t.ok((await (runOnce({ afterReturn: () => {} }, () => 1) as Promise<TaskEnd>)).kind === 'succeeded', 'one is enough');
});
