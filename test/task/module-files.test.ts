import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { displayPath, findModuleFiles } from '../../src/task/module-files.ts';

t.test('files: the base name; without extension: the first that exists', async (t) => {
  const dir = t.testdir({ 'tasks.ts': '', 'both.mts': '', 'both.js': '', 'v1.mail.cjs': '', sub: { 'email.mjs': '' } });
  const modules = (...paths: string[]) => findModuleFiles(paths, dir).map(({ file, module }) => [module, displayPath(file, dir)]);
  t.same(modules('tasks.ts'), [['tasks', 'tasks.ts']]);
  t.same(modules('tasks'), [['tasks', 'tasks.ts']]);
  t.same(modules('both', 'v1.mail.cjs', './sub/email'), [
    ['both', 'both.mts'],
    ['v1.mail', 'v1.mail.cjs'],
    ['email', join('sub', 'email.mjs')],
  ]);
  t.same(modules('tasks.ts', './tasks.ts', join(dir, 'tasks')), [['tasks', 'tasks.ts']], 'once');
  t.same(modules(), []);
  t.equal(displayPath('/srv/tasks.ts', '/'), '/srv/tasks.ts', 'whole where it would look like a relative one');
});

t.test('folders: the path from their own name, sorted', async (t) => {
  const dir = t.testdir({
    jobs: {
      'index.ts': '',
      'email.ts': '',
      'email.test.ts': '',
      'types.d.ts': '',
      'types.d.mts': '',
      '.hidden.ts': '',
      'README.md': '',
      '.git': { 'x.ts': '' },
      node_modules: { dep: { 'index.js': '' } },
      billing: { 'index.js': '', 'invoice.cjs': '', deep: { 'er.mts': '' } },
    },
  });
  symlinkSync(join(dir, 'jobs'), join(dir, 'jobs', 'loop'));
  symlinkSync(join(dir, 'absent.ts'), join(dir, 'jobs', 'broken.ts'));
  const expected = ['jobs.billing.deep.er', 'jobs.billing', 'jobs.billing.invoice', 'jobs.email', 'jobs'];
  t.same(
    findModuleFiles(['jobs'], dir).map((found) => found.module),
    expected,
  );
  t.same(
    findModuleFiles(['.'], join(dir, 'jobs')).map((found) => found.module),
    expected,
    'the working folder by its name',
  );
});

t.test('what cannot be found', async (t) => {
  const dir = t.testdir({ 'tasks.py': '', 'types.d.ts': '', empty: { 'README.md': '' } });
  const refuses = (path: string, message: string) =>
    t.throws(() => findModuleFiles([path], dir), { code: 'TASK_MODULE_NOT_FOUND', message }, path);
  refuses('nope.ts', `the task module "nope.ts" does not exist: looked for ${join(dir, 'nope.ts')}`);
  refuses('nope', `the task module "nope" does not exist: looked for ${join(dir, 'nope')}, with or without .ts .mts .cts .js .mjs .cjs`);
  refuses(
    'tasks.py/x',
    `the task module "tasks.py/x" does not exist: looked for ${join(dir, 'tasks.py/x')}, with or without .ts .mts .cts .js .mjs .cjs`,
  );
  refuses('tasks.py', `a task module must be a .ts, .mts, .cts, .js, .mjs, .cjs file or a folder of them, got ${join(dir, 'tasks.py')}`);
  refuses(
    'types.d.ts',
    `a task module must be a .ts, .mts, .cts, .js, .mjs, .cjs file or a folder of them, got ${join(dir, 'types.d.ts')}`,
  );
  refuses('empty', `the folder ${join(dir, 'empty')} has no task modules (.ts .mts .cts .js .mjs .cjs)`);
});
