/** docs/writing-tasks.md: its snippets type-check with its own tsconfig, its modules load, its test passes, its tables are complete. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { App } from '../../src/client/umbel.ts';
import { installApi } from '../../src/task/api-module.ts';
import { checkCallOptions } from '../../src/task/call-options.ts';
import { Ignore, Reject } from '../../src/task/control-flow.ts';
import { loadTaskModules } from '../../src/task/loader.ts';
import { task, taskHandle } from '../../src/task/task.ts';
import { currentTask, TaskContext } from '../../src/task/task-context.ts';
import { resolveTaskOptions } from '../../src/task/task-options.ts';
import { group } from '../../src/task/workflow.ts';
import { FakeHost, fakeRequest } from './fake-request.ts';

const root = new URL('../..', import.meta.url).pathname;
const text = readFileSync(join(root, 'docs/writing-tasks.md'), 'utf8');

/** Every block of code: its language, its file name (when it is a file) and its text. */
const blocks = [...text.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)].map(([, language, file, code]) => ({
  language,
  file,
  code: code!,
}));
const files = Object.fromEntries(
  blocks.flatMap(({ language, file, code }, index) => {
    if (language === 'ts') return [[file ?? `snippet-${index}.ts`, code]];
    return file === undefined ? [] : [[file, code]];
  }),
);
const modules = [
  'tasks.ts',
  'shop.ts',
  'crawl.ts',
  'mail.ts',
  'orders.ts',
  'report.ts',
  'files.ts',
  'weather.ts',
  'invoices.ts',
  'alarm.ts',
];

/** The cells of the table that follows `heading`, by row. */
function table(heading: string): readonly (readonly string[])[] {
  const rows = text.slice(text.indexOf(heading)).split('\n').slice(2);
  return rows
    .slice(
      0,
      rows.findIndex((row) => !row.startsWith('|')),
    )
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The names in backquotes in the first cells. */
const namesIn = (rows: readonly (readonly string[])[]) =>
  rows.flatMap(([first]) => [...first!.matchAll(/`(\w+)/g)].map((match) => match[1]!));

/** The options a check knows, from its own complaint. */
function optionsOf(check: (given: object) => void): readonly string[] {
  try {
    check({ nonsense: 1 });
    return [];
  } catch (error) {
    return /the options are (.*), got 1$/.exec((error as Error).message)?.[1]?.split(', ') ?? [];
  }
}

t.test('the snippets type-check', async (t) => {
  t.ok(Object.keys(files).length >= 10);
  const config = JSON.parse(files['tsconfig.json']!) as { compilerOptions: Record<string, unknown> };
  config.compilerOptions.paths = { umbel: [join(root, 'src/client/umbel.ts')] };
  config.compilerOptions.typeRoots = [join(root, 'node_modules/@types')];
  const dir = t.testdir({ ...files, 'tsconfig.json': JSON.stringify(config), 'package.json': '{ "type": "module" }' });
  const ran = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', dir, '--pretty', 'false'], { encoding: 'utf8', cwd: dir });
  const complaints = ran.stdout.split('\n').filter((line) => /^[\w.-]+\.ts\(/.test(line));
  t.same(complaints, []);
  t.notMatch(ran.stdout, /^error/m, 'tsc itself ran');
});

t.test('the modules load and the names are those of the text', async (t) => {
  installApi({ App, task, taskHandle, currentTask, group, Ignore, Reject });
  const dir = t.testdir(files);
  const registry = await loadTaskModules(modules, dir);
  t.same(registry.names(), [
    'alarm.alarm',
    'crawl.count',
    'crawl.fetchPage',
    'files.total',
    'invoices.remind',
    'mail.send',
    'orders.place',
    'report.build',
    'shop.price',
    'shop.sum',
    'shop.tell',
    'shop.withTax',
    'tasks.add',
    'weather.fetchWeather',
  ]);
  const remind = (await import(pathToFileURL(join(dir, 'invoices.ts')).href)) as { remind(invoice: string): string };
  t.equal(remind.remind('12'), 'reminded of 12');
  t.throws(() => remind.remind('x'), Reject);
});

t.test('the test in the text passes', async (t) => {
  const dir = t.testdir({
    ...files,
    'package.json': '{ "type": "module" }',
    node_modules: {
      umbel: {
        'package.json': '{ "type": "module", "exports": "./index.js" }',
        'index.js': `export { task } from ${JSON.stringify(pathToFileURL(join(root, 'src/task/task.ts')).href)};`,
      },
    },
  });
  const ran = spawnSync(process.execPath, ['--test', join(dir, 'mail.test.ts')], { encoding: 'utf8', env: {} });
  t.match(ran.stdout, /^. pass 2$/m);
  t.equal(ran.status, 0, ran.stdout);
});

t.test('the tables are complete', async (t) => {
  t.same([...namesIn(table('| option of `task` |'))].sort(), [...optionsOf((given) => resolveTaskOptions(given, 'x'))].sort());
  const appOptions = /interface AppOptions \{(.*?)^\}/ms.exec(readFileSync(join(root, 'src/client/app-options.ts'), 'utf8'))?.[1] ?? '';
  const ofApp = [...appOptions.matchAll(/readonly (\w+)\?:/g)].map(([, name]) => name);
  t.same([...namesIn(table('| option of `App` |'))].sort(), ofApp.sort());
  t.same([...namesIn(table('| option of `applyAsync` |'))].sort(), [...optionsOf((given) => checkCallOptions('x', given))].sort());
  const retry = optionsOf((given) =>
    new TaskContext(fakeRequest(), { maxRetries: 3, defaultRetryDelay: 1, retryFor: null }, new FakeHost()).retry(given),
  );
  t.same([...namesIn(table('| option | |\n| --- | --- |\n| `exc`'))].sort(), [...retry].sort());
  const members = Object.getOwnPropertyNames(TaskContext.prototype).filter((name) => name !== 'constructor');
  t.same([...namesIn(table('| member | |'))].sort(), members.sort());
});

t.test('the links lead somewhere', async (t) => {
  const anchors = new Set(
    [...text.matchAll(/^##+ (.*)$/gm)].map((match) =>
      match[1]!
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
  for (const [, anchor] of text.matchAll(/\]\(#([^)]+)\)/g)) t.ok(anchors.has(anchor!), `#${anchor}`);
});
