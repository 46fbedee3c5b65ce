/** What is said about an error, and with which status. */
import t from 'tap';
import { reportError } from '../../src/cli/report-error.ts';
import { UmbelError } from '../../src/errors.ts';

function report(thrown: unknown, env: NodeJS.ProcessEnv = {}) {
  let stderr = '';
  const status = reportError(thrown, { env, cwd: '/', stdout: { write: () => undefined }, stderr: { write: (text) => (stderr += text) } });
  return { status, stderr };
}

t.test('one of ours', async (t) => {
  t.same(report(new UmbelError('BROKER_UNAVAILABLE', 'the broker must be reachable')), {
    status: 69,
    stderr: 'umbel: the broker must be reachable [BROKER_UNAVAILABLE]\n',
  });
  t.same(report(new UmbelError('CONFIG_INVALID', 'two:\n  a\n  b')), { status: 78, stderr: 'umbel: two: [CONFIG_INVALID]\n  a\n  b\n' });
});

t.test('anything else is a defect', async (t) => {
  const { status, stderr } = report(new TypeError('x is not a function'));
  t.equal(status, 70);
  t.match(stderr, /^umbel: x is not a function \[INTERNAL\]\n.*UMBEL_DEBUG=1/);
  t.notMatch(stderr, /\n\s+at /);
  t.equal(report('a string').status, 70);
});

t.test('the debug output has the causes', async (t) => {
  const { stderr } = report(new UmbelError('TASK_MODULE_BROKEN', 'tasks.ts', { cause: new SyntaxError('bad token') }), {
    UMBEL_DEBUG: '1',
  });
  t.match(stderr, /UmbelError: tasks\.ts\n\s+at [\s\S]*caused by SyntaxError: bad token\n\s+at /);
});
