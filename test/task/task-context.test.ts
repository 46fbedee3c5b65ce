import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { MaxRetriesExceededError, Retry } from '../../src/task/control-flow.ts';
import { currentTask, type RetryOptions, runInContext, TaskContext } from '../../src/task/task-context.ts';
import { FakeHost, fakeRequest } from './fake-request.ts';

const policy = { maxRetries: 3, defaultRetryDelay: 180, retryFor: null };
const contextOf = (over = {}, host = new FakeHost()) => new TaskContext(fakeRequest(over), policy, host);

/** What retry() throws. */
function thrownBy(context: TaskContext, options?: RetryOptions): unknown {
  try {
    context.retry(options);
  } catch (error) {
    return error;
  }
}

t.test('every request field is there, and read-only', async (t) => {
  const request = fakeRequest({ headers: { tenant: 7 }, retries: 2 });
  const context = new TaskContext(request, policy, new FakeHost());
  for (const [key, value] of Object.entries(request)) t.equal(context[key as keyof TaskContext], value, key);
  t.equal(context.isEager, false);
  t.equal(context.calledDirectly, false);
  t.equal(context.maxRetries, 3);
  t.throws(() => Object.assign(context, { id: 'other' }), TypeError);
});

t.test('log, signal and states go to the host', async (t) => {
  const host = new FakeHost();
  const context = contextOf({}, host);
  context.log.debug('a');
  context.log.info('read %d files in %s', 3, 'docs');
  context.log.warning({ odd: 1 });
  context.log.error('b');
  t.same(host.lines, [
    ['debug', 'a'],
    ['info', 'read 3 files in docs'],
    ['warning', '{ odd: 1 }'],
    ['error', 'b'],
  ]);
  host.controller.abort();
  t.equal(context.signal.aborted, true);
  await context.updateState({ state: 'PROGRESS', meta: { done: 1 } });
  await context.updateState({ state: 'WAITING' });
  t.same(host.states, [
    ['PROGRESS', { done: 1 }],
    ['WAITING', null],
  ]);
  await t.rejects(context.updateState({ state: '' }), { code: 'TASK_OPTION_INVALID' });
});

t.test('retry', async (t) => {
  const plain = thrownBy(contextOf());
  t.ok(plain instanceof Retry);
  t.match(plain, { countdown: 180, args: undefined, kwargs: undefined });
  t.match(thrownBy(contextOf(), { countdown: 0, args: [9], kwargs: { k: 1 } }), { countdown: 0, args: [9], kwargs: { k: 1 } });
  t.match(thrownBy(contextOf(), { eta: '2030-01-02T03:04:05', countdown: 5 }), { etaMs: Date.UTC(2030, 0, 2, 3, 4, 5), countdown: null });
  t.match(thrownBy(contextOf(), { eta: new Date(7000) }), { etaMs: 7000 });
  const exc = new Error('x');
  t.equal((thrownBy(contextOf(), { exc }) as Retry).exc, exc);
});

t.test('no retries left', async (t) => {
  t.ok(thrownBy(contextOf({ retries: 2 })) instanceof Retry, 'the third of three');
  const exceeded = thrownBy(contextOf({ retries: 3 }));
  t.ok(exceeded instanceof MaxRetriesExceededError);
  t.match(exceeded, { message: "Can't retry tasks.add[id-1] args:(2, 3) kwargs:{}" });
  const exc = new Error('x');
  t.equal(thrownBy(contextOf({ retries: 3 }), { exc }), exc);
  t.ok(thrownBy(contextOf({ retries: 3 }), { maxRetries: 4 }) instanceof Retry);
  t.ok(thrownBy(contextOf(), { maxRetries: 0 }) instanceof MaxRetriesExceededError);
  const endless = new TaskContext(
    fakeRequest({ retries: 999 }),
    { maxRetries: null, defaultRetryDelay: 1, retryFor: null },
    new FakeHost(),
  );
  t.ok(thrownBy(endless) instanceof Retry);
});

t.test('a time after which there are no retries, counted from the first run', async (t) => {
  const limited = { maxRetries: null, defaultRetryDelay: 0, retryFor: 60 };
  const beforeMs = Date.now();
  const first = new TaskContext(fakeRequest(), limited, new FakeHost());
  const untilMs = first.retryUntilMs ?? 0;
  t.ok(untilMs >= beforeMs + 60_000 && untilMs <= Date.now() + 60_000);
  t.match(thrownBy(first, { countdown: 59 }), { untilMs, isAttempt: true });
  t.ok(thrownBy(first, { countdown: 61 }) instanceof MaxRetriesExceededError, 'the next run would come too late');
  const exc = new Error('x');
  t.equal(thrownBy(first, { countdown: 61, exc }), exc);
  const later = new TaskContext(fakeRequest({ retries: 7, retryUntilMs: Date.now() + 5000 }), limited, new FakeHost());
  t.ok(thrownBy(later, { countdown: 4 }) instanceof Retry);
  t.ok(thrownBy(later, { countdown: 6 }) instanceof MaxRetriesExceededError, 'what an earlier run has set counts');
});

t.test('a retry of what the worker interrupted is no attempt, and comes at once', async (t) => {
  const host = new FakeHost();
  const context = new TaskContext(fakeRequest({ retries: 3, retryUntilMs: 1 }), { ...policy, retryFor: 5 }, host);
  t.ok(thrownBy(context) instanceof MaxRetriesExceededError);
  host.interrupted = true;
  t.equal(context.interrupted, true);
  t.match(thrownBy(context, { countdown: 600 }), { isAttempt: false, countdown: 0 });
});

t.test('a retry that is not thrown is sent at once, and the run goes on', async (t) => {
  const host = new FakeHost();
  const context = new TaskContext(fakeRequest(), policy, host);
  const retry = await context.retry({ throw: false, countdown: 5, args: [9] });
  t.ok(retry instanceof Retry);
  t.strictSame(host.retries, [retry]);
  t.match(retry, { countdown: 5, args: [9] });
  const last = new TaskContext(fakeRequest({ retries: 3 }), policy, host);
  t.throws(() => last.retry({ throw: false }), { name: 'MaxRetriesExceededError' });
  t.equal(host.retries.length, 1, 'without retries left nothing is sent');
  host.sendRetry = async () => {
    throw new Error('no broker');
  };
  await t.rejects(context.retry({ throw: false }), { message: 'no broker' });
  t.ok(thrownBy(context, { throw: true } as RetryOptions) instanceof Retry);
});

t.test('bad retry options', async (t) => {
  const message = (options: unknown) => (thrownBy(contextOf(), options as RetryOptions) as Error).message;
  t.equal(message({ countdown: '5' }), "retry() of task tasks.add[id-1]: countdown must be a number of seconds, 0 or more, got '5'");
  t.match(message({ throw: 0 }), /throw must be a boolean/);
  t.match(message({ priority: 'x' }), /priority must be an integer/);
  t.match(message({ coutdown: 1 }), /coutdown is not an option/);
});

t.test('currentTask reaches across awaits, and each task sees its own', async (t) => {
  t.equal(currentTask(), undefined);
  const seen = await Promise.all(
    ['a', 'b'].map((id) =>
      runInContext(contextOf({ id }), async () => {
        await nextTurn();
        return currentTask()?.id;
      }),
    ),
  );
  t.same(seen, ['a', 'b']);
  t.equal(currentTask(), undefined);
});

t.test('an event of its own has its id, and no field that every event has', async (t) => {
  const host = new FakeHost();
  const context = contextOf({ id: 'id-7' }, host);
  await context.sendEvent('task-progress', { percent: 50 });
  await context.sendEvent('task-progress');
  t.same(host.sent, [
    ['task-progress', { uuid: 'id-7', percent: 50 }],
    ['task-progress', { uuid: 'id-7' }],
  ]);
  await t.rejects(context.sendEvent(''), { code: 'TASK_OPTION_INVALID', message: /type must be a non-empty string/ });
  for (const field of ['uuid', 'clock', 'hostname'])
    await t.rejects(context.sendEvent('x', { [field]: 1 }), { code: 'TASK_OPTION_INVALID', message: new RegExp(`got ${field}$`) });
  t.equal(host.sent.length, 2);
});
