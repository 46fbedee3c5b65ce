/** Patterns, and maps of them. */
import t from 'tap';
import { MapRouter, type TaskToRoute } from '../../src/producer/router.ts';
import { taskPattern } from '../../src/std/task-pattern.ts';

t.test('patterns as fnmatch and re.match have them', async (t) => {
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['mail.*', ['mail.', 'mail.send.now', 'mail.a\nb'], ['mail', 'xmail.send', 'mailXsend']],
    ['*.?', ['a.b'], ['a.', 'a.bc']],
    ['*[ab]', ['xa', 'b'], ['c', 'a]']],
    ['*[!ab]', ['xc'], ['xa', '']],
    ['*[]x]', ['a]', 'x'], ['a']],
    ['*[a', ['x[a'], ['a']],
    ['*(+$', ['x(+$'], ['x']],
    ['/(video|image)\\.tasks/', ['video.tasks', 'image.tasks.more'], ['my.video.tasks']],
  ];
  for (const [pattern, yes, no] of rows) {
    const expression = taskPattern(pattern);
    for (const name of yes) t.match(name, expression, `${pattern} ${name}`);
    for (const name of no) t.notMatch(name, expression, `${pattern} not ${name}`);
  }
  t.equal(taskPattern('mail.send'), null);
  t.equal(taskPattern('mail.sen?'), null, 'without a star it is a name, as in Celery');
  t.equal(taskPattern('//'), null);
  t.throws(() => taskPattern('/(/'), SyntaxError);
});

t.test('an exact name comes first, then patterns in their order', async (t) => {
  const router = new MapRouter([
    ['*', 'rest'],
    ['mail.*', 'mail'],
    ['mail.send', { queue: 'send', priority: 1 }],
  ]);
  const route = (name: string): unknown => router.route({ name } as TaskToRoute);
  t.same(route('mail.send'), { queue: 'send', priority: 1 });
  t.same(route('mail.other'), { queue: 'rest' });
  t.equal(new MapRouter([['a', 'b']]).route({ name: 'c' } as TaskToRoute), null);
  t.throws(() => new MapRouter([['a', { priority: 'high' } as never]]), {
    code: 'TASK_OPTION_INVALID',
    message: /^task\.routes: the route of a has a priority that must be/,
  });
});
