import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { installApi } from '../../src/task/api-module.ts';
import { bindArguments } from '../../src/task/bind-arguments.ts';
import { Ignore } from '../../src/task/control-flow.ts';
import { loadTaskModules } from '../../src/task/loader.ts';
import { task, taskStateOf } from '../../src/task/task.ts';
import { currentTask } from '../../src/task/task-context.ts';

installApi({ task, currentTask, Ignore });

t.test('every kind of module', async (t) => {
  const esm = "import { task } from 'umbel'; export const add = task((x, y) => x + y); export const one = 1;";
  const ts = "import { task } from 'umbel'; export const add = task((x: number, y: number): number => x + y); export type N = number;";
  const cjs = "const { task } = require('umbel'); exports.add = task((x, y) => x + y); exports.one = 1;";
  const dir = t.testdir({
    'package.json': '{}',
    'a.ts': ts,
    'b.mts': ts,
    'c.cts': "const { task } = require('umbel'); exports.add = task((x: number, y: number): number => x + y);",
    'd.js': esm,
    'e.js': cjs,
    'f.mjs': esm,
    'g.cjs': cjs,
    'h.mjs': `const wait = await new Promise((resolve) => setImmediate(() => resolve(4))); export const add = () => wait;`,
    'i.cjs': 'module.exports = { add(x, y) { return x + y; }, two: 2 };',
    'j.cjs': "for (const name of ['add', 'odd name']) exports[name] = (x, y) => x + y;",
  });
  const files = ['a.ts', 'b.mts', 'c.cts', 'd.js', 'e.js', 'f.mjs', 'g.cjs', 'h.mjs', 'i.cjs', 'j.cjs'];
  const registry = await loadTaskModules(files, dir);
  t.same(registry.names(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].map((m) => `${m}.add`).concat('j.odd name'));
  for (const name of registry.names()) {
    const definition = registry.get(name)!;
    t.equal(definition.fn(...([1, 3] as never[])), 4, name);
    t.equal(definition.file, join(dir, files.find((file) => file[0] === name[0])!));
  }
});

t.test('what counts as a task, and its name', async (t) => {
  const dir = t.testdir({
    'tasks.ts': `
      import { task } from 'umbel';
      export default function whatever() {}
      export class Model {}
      export const named = task({ name: 'mail.send', acksLate: true }, () => 1);
      export const also = named;
      export const wrapped = task(() => 1);
      export const alias = wrapped;
      export const text = 'no task', nothing = null, object = { add() {} };
    `,
    'single.cjs': 'module.exports = function () {}; module.exports.other = () => 1;',
    jobs: { 'index.ts': "export { send } from './email.ts';", 'email.ts': 'export async function send() {}' },
  });
  const registry = await loadTaskModules(['tasks.ts', 'single.cjs', 'jobs'], dir);
  t.same(registry.names(), [
    'jobs.email.send',
    'jobs.send',
    'mail.send',
    'single',
    'single.other',
    'tasks',
    'tasks.alias',
    'tasks.wrapped',
  ]);
  t.equal(registry.get('mail.send')?.options.acksLate, true);
  t.equal(registry.get('jobs.send')?.fn, registry.get('jobs.email.send')?.fn);
  const wrapped = ((await import(join(dir, 'tasks.ts'))) as { wrapped: { taskName: string } }).wrapped;
  t.equal(wrapped.taskName, 'tasks.alias', 'exports of a module are sorted by name');
  t.equal(taskStateOf(wrapped)?.binding, registry.get('tasks.alias')?.binding);
});

t.test('two functions of one name', async (t) => {
  const dir = t.testdir({ 'tasks.ts': 'export const add = () => 1;', other: { 'tasks.mjs': 'export const add = () => 1;' } });
  await t.rejects(loadTaskModules(['tasks.ts', 'other/tasks.mjs'], dir), {
    code: 'TASK_DUPLICATE',
    message: `a task name must belong to one function, but tasks.add is exported in ${join(dir, 'tasks.ts')} and in ${join(dir, 'other/tasks.mjs')}; give one of them another name`,
  });
});

t.test('what TypeScript marks as optional may be left out, in a re-exported function too', async (t) => {
  const dir = t.testdir({
    'tasks.ts': "export { send } from './lib.ts'; export function add(x: number, y?: number) { return [x, y]; }",
    'lib.ts': 'export function send(to: string, cc?: string) { return [to, cc]; }',
  });
  const registry = await loadTaskModules(['tasks.ts'], dir);
  t.same(bindArguments(registry.get('tasks.add')!.binding, [1], {}), [1]);
  t.same(bindArguments(registry.get('tasks.send')!.binding, [], { to: 'a' }), ['a']);
  t.throws(
    () => bindArguments(registry.get('tasks.send')!.binding, [], {}),
    new TypeError("send() missing 1 required positional argument: 'to'"),
  );
});

t.test('modules that do not load: file, line, column and cause', async (t) => {
  const dir = t.testdir({
    'package.json': '{ "type": "module" }',
    'syntax.ts': 'export const a = 1;\nexport function f(x: number {\n}\n',
    'syntax.mjs': 'export const a = 1;\nexport const b = ;\n',
    'syntax.cjs': 'const a = 1;\nconst b = ;\n',
    'enum.ts': 'export const a = 1;\nexport enum E { A }\n',
    'typed.mjs': 'export const a = 1;\nexport const b: number = 2;\n',
    'twice.mjs': 'export const a = 1;\nexport const a = 2;\n',
    'name.mjs': "import { nope } from './fine.mjs';\nexport const a = nope;\n",
    'fine.mjs': 'export const a = 1;\n',
    'package.ts': "import { readFile } from 'node:fs';\nimport x from 'missing-package';\nexport const a = [readFile, x];\n",
    'file.ts': "import { readFile } from 'node:fs';\nimport x from './missing.ts';\nexport const a = [readFile, x];\n",
    'require.cjs': "const fs = require('node:fs');\nconst x = require('missing-package');\n",
    'json.mjs': "import x from './package.json';\nexport const a = x;\n",
    'throws.ts': "function g(): never {\n  throw new RangeError('boom');\n}\nexport const a = g();\n",
    'inner.ts': '\nexport const a = null as never as string;\na.trim();\n',
    'rejects.mjs': "export const a = 1;\nawait Promise.reject(new Error('no database', { cause: new Error('refused') }));\n",
    'value.mjs': 'throw { code: 7 };\n',
    'nested.ts': "import { a } from './inner.ts';\nexport const b = a;\n",
    'deep.ts': "import { b } from './syntax.mjs';\nexport const c = b;\n",
    'parse.mjs': "export const a = JSON.parse('{');\n",
  });
  const cases: readonly (readonly [string, string | RegExp])[] = [
    ['syntax.ts', "syntax.ts:2:29: SyntaxError: Expected ',', got '{'"],
    ['syntax.mjs', "syntax.mjs:2:18: SyntaxError: Unexpected token ';'"],
    ['syntax.cjs', "syntax.cjs:2:11: SyntaxError: Unexpected token ';'"],
    ['enum.ts', /^enum\.ts:2:8: SyntaxError: TypeScript enum is not supported in strip-only mode\. Types are removed and the rest runs/],
    ['typed.mjs', /^typed\.mjs:2:15: SyntaxError: .*\. This is TypeScript in a JavaScript file; name it \.ts or \.mts$/],
    ['twice.mjs', "twice.mjs: SyntaxError: Identifier 'a' has already been declared"],
    ['name.mjs', "name.mjs:1:10: SyntaxError: The requested module './fine.mjs' does not provide an export named 'nope'"],
    ['package.ts', /^package\.ts:2:15: Error: Cannot find package 'missing-package'/],
    ['file.ts', /^file\.ts:2:15: Error: Cannot find module '.*missing\.ts'/],
    ['require.cjs', "require.cjs:2:19: Error: Cannot find module 'missing-package'"],
    ['json.mjs', /^json\.mjs:1:15: TypeError: Module ".*" needs an import attribute of "type: json"/],
    ['throws.ts', 'throws.ts:2:9: RangeError: boom'],
    ['rejects.mjs', 'rejects.mjs:2:22: Error: no database (cause: refused)'],
    ['value.mjs', 'it threw { code: 7 }, which is not an Error'],
    ['nested.ts', /^inner\.ts:3:3: TypeError: Cannot read properties of null/],
    ['deep.ts', "syntax.mjs:2:18: SyntaxError: Unexpected token ';'"],
    ['parse.mjs', /^parse\.mjs:1:23: SyntaxError: /],
  ];
  for (const [file, expected] of cases) {
    const error = await loadTaskModules([file], dir).then(
      () => null,
      (thrown: unknown) => thrown as Error & { code: string; exitStatus: number },
    );
    t.equal(error?.code, 'TASK_MODULE_BROKEN', file);
    t.equal(error?.exitStatus, 65);
    const prefix = `the task module ${file} did not load: `;
    t.equal(error?.message.slice(0, prefix.length), prefix);
    const rest = error?.message.slice(prefix.length) ?? '';
    if (typeof expected === 'string') t.equal(rest, expected, file);
    else t.match(rest, expected, file);
  }
});

t.test('what trips people who come from a bundler gets a hint', async (t) => {
  const dir = t.testdir({
    'shape.ts': 'export interface Shape { width: number }\nexport const wide = 1;\n',
    jobs: { 'index.ts': 'export const mail = 1;' },
    'page.tsx': 'export const page = 1;',
    'data.json': '{}',
  });
  const mistakes: readonly (readonly [line: string, place: string, hint: string | null])[] = [
    ["import { Shape } from './shape.ts';", '1:10', 'If Shape is a type, import it as one: `import type { Shape }`'],
    ["import { wide } from './shape';", '1:22', "Imports name files as they are, with the extension: './shape.ts'"],
    ["import { wide } from './shape.js';", '1:22', "Imports name files as they are, with the extension: './shape.ts'"],
    ["import { mail } from './jobs';", '1:22', "Imports name files as they are, with the extension: './jobs/index.ts'"],
    ["import { wide } from './shapes.ts';", '1:22', null],
    ["import { wide } from '@/shape';", '1:22', '`paths` of a tsconfig.json are not followed'],
    ["import { page } from './page.tsx';", '1:22', 'JSX is not removed as types are'],
    ["import data from './data.json';", '1:18', "Write `with { type: 'json' }` behind the path"],
    ['class A { @once go() {} }', '1:11', 'Decorators are not run'],
    ['export const here = () => 1; console.log(__dirname);', '1:42', 'An ES module has `import.meta.dirname`'],
  ];
  for (const [index, [line, place, hint]] of mistakes.entries()) {
    const file = `mistake-${index}.ts`;
    writeFileSync(join(dir, file), `${line}\nexport {};\n`);
    const message = await loadTaskModules([file], dir).then(
      () => 'it loads',
      (error: Error) => error.message,
    );
    t.ok(message.startsWith(`the task module ${file} did not load: ${file}:${place}: `), message);
    if (hint === null) t.notMatch(message, /with the extension/);
    else t.ok(message.includes(`. ${hint}`), message);
  }
});

t.test('a bad option of task() keeps its code and gets its place', async (t) => {
  const dir = t.testdir({ 'tasks.ts': "import { task } from 'umbel';\n\nexport const a = task({ acksLate: 'yes' } as never, () => 1);\n" });
  await t.rejects(loadTaskModules(['tasks.ts'], dir), {
    code: 'TASK_OPTION_INVALID',
    message: "the task module tasks.ts did not load: tasks.ts:3:18: options of task (anonymous): acksLate must be a boolean, got 'yes'",
  });
});

t.test('a top-level await that does not settle', async (t) => {
  const dir = t.testdir({ 'tasks.mjs': 'await new Promise(() => {}); export const add = () => 1;' });
  const busy = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(busy));
  await t.rejects(loadTaskModules(['tasks.mjs'], dir, { timeoutMs: 20 }), {
    code: 'TASK_MODULE_BROKEN',
    message: 'the task module tasks.mjs did not load: a top-level await in it has not settled within 0.02 s',
  });
});

t.test('a program with nothing left to do learns that an await never settles', async (t) => {
  const loader = new URL('../../src/task/loader.ts', import.meta.url).href;
  const dir = t.testdir({
    'tasks.mjs': 'await new Promise(() => {}); export const add = () => 1;',
    'main.mjs': `import { loadTaskModules } from ${JSON.stringify(loader)};
      loadTaskModules(['tasks.mjs'], import.meta.dirname).catch((error) => console.log(error.message));`,
  });
  const out = execFileSync(process.execPath, [join(dir, 'main.mjs')], { encoding: 'utf8', env: {} });
  t.equal(out, 'the task module tasks.mjs did not load: a top-level await in it never settles\n');
});

t.test('from a CommonJS bundle, through the loader the single executable uses as well', async (t) => {
  const { buildSync } = await import('esbuild');
  const root = new URL('../..', import.meta.url).pathname;
  const dir = t.testdir({
    tasks: {
      'a.ts': "import { task } from 'umbel'; await null; export const add = task((x: number) => x + 1);",
      'b.cjs': "exports.add = require('umbel').task((x) => x + 1);",
      'c.ts': 'export const isProgram = ((main: boolean) => () => main)(import.meta.main);',
      'd.cjs': 'exports.isProgram = ((main) => () => main)(require.main === module);',
    },
    'broken.ts': 'export const a = 1;\nthrow new Error("boom");\n',
  });
  buildSync({
    stdin: {
      resolveDir: root,
      loader: 'ts',
      contents: `
        import { installApi } from './src/task/api-module.ts';
        import { importViaVm } from './src/task/import-module.ts';
        import { loadTaskModules } from './src/task/loader.ts';
        import { task } from './src/task/task.ts';
        async function main(dir: string) {
          installApi({ task });
          const viaVm = await importViaVm(dir + '/tasks/a.ts');
          await importViaVm(dir + '/tasks/c.ts');
          await importViaVm(dir + '/tasks/d.cjs');
          const registry = await loadTaskModules([dir + '/tasks'], dir);
          const sums = registry.names().map((name) => registry.get(name)?.fn(...([1] as never[])));
          const broken = await loadTaskModules(['broken.ts'], dir).catch((error: Error) => error.message);
          console.log(JSON.stringify([Object.keys(viaVm), registry.names(), sums, broken]));
        }
        void main(process.argv[2] ?? '');`,
    },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: join(dir, 'bundle.cjs'),
    logLevel: 'error',
  });
  const ran = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(dir, 'bundle.cjs'), dir], {
    encoding: 'utf8',
    env: {},
  });
  t.equal(ran.stderr, '');
  t.same(JSON.parse(ran.stdout), [
    ['add'],
    ['tasks.a.add', 'tasks.b.add', 'tasks.c.isProgram', 'tasks.d.isProgram'],
    [2, 2, false, false],
    'the task module broken.ts did not load: broken.ts:2:7: Error: boom',
  ]);
});
