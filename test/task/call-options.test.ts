import t from 'tap';
import { checkCallOptions, type RawCall } from '../../src/task/call-options.ts';

t.test('accepted', async (t) => {
  const call: RawCall = {
    args: [1],
    kwargs: { y: 2 },
    countdown: 2,
    expires: 60,
    queue: 'mail',
    priority: 3,
    taskId: 'my-id',
    retries: 0,
    ignoreResult: true,
    headers: { tenant: 7 },
  };
  t.doesNotThrow(() => checkCallOptions('add', call));
  t.doesNotThrow(() => checkCallOptions('add', { eta: new Date(), expires: new Date() }));
});

t.test('refused', async (t) => {
  const refuses = (given: Record<string, unknown>, message: string) =>
    t.throws(() => checkCallOptions('add', given), { code: 'TASK_OPTION_INVALID', message: `call of task add: ${message}` });
  refuses({ args: 'x' }, "args must be an array, got 'x'");
  refuses({ kwargs: [1] }, 'kwargs must be an object, got [ 1 ]');
  refuses({ expires: '2030-01-01' }, "expires must be a number of seconds or a Date, got '2030-01-01'");
  refuses({ countdown: 1, eta: new Date() }, 'countdown cannot be given together with eta, got 1');
  refuses({ link: [1] }, 'link must be a signature or a list of them: task.s(), chain(), …, got [ 1 ]');
  refuses({ chain: [] }, 'chain is not built yet in this version, got []');
});
