import t from 'tap';
import { tracebackOf } from '../../src/child/traceback.ts';

t.test('the stack of the task, without the frames of this program and of the runtime', (t) => {
  const error = new RangeError('too far');
  error.stack = [
    'RangeError: too far',
    '    at step (file:///home/me/tasks.ts:3:9)',
    '    at Array.forEach (<anonymous>)',
    '    at file:///repo/src/child/run-task.ts:80:20',
    '    at run (/repo/src/child/run-task.ts:80:20)',
    '    at runInContext (/repo/src/task/task-context.ts:12:3)',
    '    at AsyncLocalStorage.run (node:internal/async_local_storage:1:2)',
    '    at node:internal/main:1:2',
    '    at async node:internal/modules/esm/loader:650:26',
    '    at pump (/snapshot/umbel.cjs:100:1)',
  ].join('\n');
  t.equal(tracebackOf(error), 'RangeError: too far\n    at step (file:///home/me/tasks.ts:3:9)\n    at Array.forEach (<anonymous>)\n');
  t.end();
});

t.test('causes', (t) => {
  const error = new Error('outer', { cause: new TypeError('inner', { cause: 'a text' }) });
  const text = tracebackOf(error);
  t.match(text, /^Error: outer\n/);
  t.match(text, /\nCaused by: TypeError: inner\n/);
  t.match(text, /\nCaused by: Thrown: a text\n$/);
  t.end();
});

t.test('the errors of an AggregateError, as a fetch that tried two addresses has them for its cause', (t) => {
  const several = new AggregateError(
    [new RangeError('first'), 'second', new Error('third', { cause: new Error('deeper') })],
    'none worked',
  );
  const lines = tracebackOf(new TypeError('fetch failed', { cause: several })).split('\n');
  t.same(
    lines.filter((line) => !line.startsWith('    at ')),
    [
      'TypeError: fetch failed',
      'Caused by: AggregateError: none worked',
      'Error 1 of 3: RangeError: first',
      'Error 2 of 3: Thrown: second',
      'Error 3 of 3: Error: third',
      'Caused by: Error: deeper',
      '',
    ],
  );
  const many = tracebackOf(new AggregateError(Array.from({ length: 100 }, (_, index) => new Error(`number ${index}`))));
  t.equal(many.match(/^Error \d+ of 100: /gm)?.length, 7);
  t.end();
});

t.test('a circle of causes ends', (t) => {
  const [one, other] = [new Error('one'), new Error('other')];
  one.cause = other;
  other.cause = one;
  t.equal(tracebackOf(one).match(/Caused by/g)?.length, 7);
  t.end();
});

t.test('no errors, and errors without a stack', (t) => {
  t.equal(tracebackOf('a text'), 'Thrown: a text\n');
  t.equal(tracebackOf(undefined), 'Thrown: undefined\n');
  t.equal(tracebackOf(null), 'Thrown: null\n');
  t.equal(tracebackOf({ code: 'E_X', at: { line: 3 } }), "Thrown: { code: 'E_X', at: { line: 3 } }\n");
  t.equal(tracebackOf(Object.create(null)), 'Thrown: [Object: null prototype] {}\n');
  const bare = new Error('bare');
  Object.assign(bare, { stack: undefined });
  t.equal(tracebackOf(bare), 'Error: bare\n');
  t.end();
});
