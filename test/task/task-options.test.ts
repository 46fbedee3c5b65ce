import t from 'tap';
import { defaultTaskOptions, resolveTaskOptions, type TaskOptions } from '../../src/task/task-options.ts';

t.test("Celery's defaults; the rest is the worker's to decide", async (t) => {
  t.match(defaultTaskOptions, { bind: false, maxRetries: 3, defaultRetryDelay: 180, typing: true, throws: [] });
  for (const key of ['name', 'acksLate', 'ignoreResult', 'trackStarted', 'rejectOnWorkerLost', 'queue', 'priority'] as const) {
    t.equal(defaultTaskOptions[key], undefined, key);
  }
});

t.test('given ones are kept', async (t) => {
  class AppError extends Error {}
  const given: TaskOptions = {
    name: 'a.b',
    bind: true,
    acksLate: true,
    maxRetries: null,
    defaultRetryDelay: 1,
    throws: [AppError, 'X'],
    priority: 0,
  };
  t.match(resolveTaskOptions(given, 'fn'), given);
});

t.test('refused', async (t) => {
  const refuses = (given: Record<string, unknown>, message: RegExp) =>
    t.throws(() => resolveTaskOptions(given, 'send'), { code: 'TASK_OPTION_INVALID', message });
  refuses({ bind: 1 }, /^options of task send: bind must be a boolean, got 1$/);
  refuses({ name: 'mail.send', bind: 1 }, /^options of task mail\.send: bind/);
  refuses({ maxRetries: 1.5 }, /maxRetries must be an integer, 0 or more, or null for no limit, got 1\.5/);
  refuses({ throws: [3] }, /throws must be an array of error classes or names of them, got \[ 3 \]/);
  refuses({ rateLimit: '10/d' }, /rateLimit must be a rate such as '100\/m'.* got '10\/d'/);
  refuses({ autoretryFor: Error }, /autoretryFor must be an array of error classes/);
  refuses({ dontAutoretryFor: [''] }, /dontAutoretryFor must be an array/);
  refuses({ retryBackoff: 0.5 }, /retryBackoff must be a boolean, or seconds as an integer, 0 or more, got 0\.5/);
  refuses({ retryBackoffMax: '9' }, /retryBackoffMax must be an integer/);
  refuses({ retryKwargs: { max_retries: 3 } }, /retryKwargs must be an object of maxRetries .* and countdown/);
  refuses({ retryKwargs: { countdown: -1 } }, /retryKwargs must be/);
  refuses({ retryFor: -1 }, /retryFor must be a number of seconds/);
  refuses({ softTimeLimit: -3 }, /softTimeLimit must be a number of seconds/);
  refuses({ serializer: 'json' }, /serializer is not built yet/);
  refuses({ acks_late: true }, /acks_late is not an option; the options are name, bind, acksLate/);
});
