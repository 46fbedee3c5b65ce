/** Hooks are functions. What they do in a child is test/child/process-life.test.ts. */
import t from 'tap';
import { hasHooks, onWorkerProcessInit, onWorkerProcessShutdown } from '../../src/task/process-hooks.ts';

t.test('what is no function is refused', async (t) => {
  t.throws(() => onWorkerProcessInit('x' as never), {
    code: 'TASK_OPTION_INVALID',
    message: 'onWorkerProcessInit() takes a function, got x',
  });
  t.throws(() => onWorkerProcessShutdown(undefined as never), { code: 'TASK_OPTION_INVALID' });
  t.equal(hasHooks('init'), false);
  onWorkerProcessInit(() => {});
  t.strictSame([hasHooks('init'), hasHooks('shutdown')], [true, false]);
});
