import t from 'tap';
import { defineTask, TaskRegistry } from '../../src/task/registry.ts';
import { defaultTaskOptions, resolveTaskOptions } from '../../src/task/task-options.ts';

const add = (x: number, y: number) => x + y;
const define = (name: string, over = {}) =>
  defineTask({ name, fn: add, options: defaultTaskOptions, file: '/a/tasks.ts', sources: () => [], ...over });

t.test('names and definitions', async (t) => {
  const registry = new TaskRegistry();
  const definition = define('tasks.b');
  registry.add(definition);
  registry.add(define('tasks.a'));
  t.equal(registry.get('tasks.b'), definition);
  t.equal(registry.get('toString'), undefined);
  t.same(registry.names(), ['tasks.a', 'tasks.b']);
  t.same(
    definition.parameters?.map((p) => p.name),
    ['x', 'y'],
  );
});

t.test('a name belongs to one function', async (t) => {
  const registry = new TaskRegistry();
  registry.add(define('tasks.add'));
  t.doesNotThrow(() => registry.add(define('tasks.add', { file: '/a/index.ts' })), 'the same one again');
  const code = 'TASK_DUPLICATE';
  t.throws(() => registry.add(define('tasks.add', { fn: () => 1, file: '/b/tasks.ts' })), {
    code,
    message:
      'a task name must belong to one function, but tasks.add is exported in /a/tasks.ts and in /b/tasks.ts; give one of them another name',
  });
  t.throws(() => registry.add(define('tasks.add', { fn: () => 1 })), { code, message: /tasks\.add is exported twice in \/a\/tasks\.ts/ });
  t.throws(() => registry.add(define('tasks.add', { options: resolveTaskOptions({ acksLate: true }, 'add') })), { code });
});

t.test('the sources are asked for only when an argument is missing', async (t) => {
  let asked = 0;
  const definition = define('tasks.add', {
    sources: () => {
      asked += 1;
      return [];
    },
  });
  t.equal(asked, 0);
  t.same([...definition.binding.optionalIndices(definition.parameters ?? [])], []);
  definition.binding.optionalIndices(definition.parameters ?? []);
  t.equal(asked, 1, 'and once');
});
