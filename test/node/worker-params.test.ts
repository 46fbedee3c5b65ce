/** From settings to names, queues and what a child is told. */
import { writeFileSync } from 'node:fs';
import { cpus, hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { childSettings, recyclingParams, workerNames } from '../../src/node/worker-params.ts';

const host = hostname();

function load(cwd: string, toml: string): Config {
  return loadConfig({ flags: {}, env: { HOME: cwd, UMBEL_CONFIG: '' }, cwd, file: writeToml(cwd, toml) });
}

function writeToml(cwd: string, toml: string): string {
  const path = join(cwd, 'umbel.toml');
  writeFileSync(path, toml);
  return path;
}

t.test('names', async (t) => {
  const names = (toml: string) => workerNames(load(t.testdir(), `[worker]\ntasks = ["tasks.ts"]\n${toml}`));
  t.match(names(''), { nodeName: `celery@${host}`, queues: [{ name: 'celery' }], taskPaths: ['tasks.ts'], logFile: null, pidfile: null });
  t.match(names('hostname = "w1@example.com"\nlogfile = "/tmp/%n%I.log"\npidfile = "/tmp/%n-%i.pid"'), {
    nodeName: 'w1@example.com',
    logFile: '/tmp/w1.log',
    pidfile: '/tmp/w1-0.pid',
  });
  const { children } = names('').pool;
  t.ok(children >= 1 && children <= cpus().length, 'as many children as there are CPUs for us');
});

t.test('the shape of each pool', async (t) => {
  const shape = (toml: string) => workerNames(load(t.testdir(), `[worker]\ntasks = ["tasks.ts"]\nconcurrency = 7\n${toml}`)).pool;
  t.same(shape(''), { concurrency: 7, text: '7', children: 7, slots: 1 });
  t.same(shape('child_concurrency = 3'), { concurrency: 7, text: '7', children: 7, slots: 3 });
  t.same(shape('pool = "threads"'), { concurrency: 7, text: '7', children: 7, slots: 1 });
  t.same(shape('pool = "solo"'), { concurrency: 1, text: '1', children: 1, slots: 1 });
  for (const word of ['async', 'eventlet', 'gevent'])
    t.same(shape(`pool = "${word}"`), { concurrency: 7, text: '7', children: 1, slots: 7 }, `${word}: all in one child`);
  t.same(
    shape('pool = "async"\nchild_concurrency = 3'),
    { concurrency: 7, text: '7', children: 3, slots: 3 },
    'as many children as are needed',
  );
});

t.test('queues: named, or the default one; excluded ones left out, doubles once', async (t) => {
  const queues = (toml: string) => workerNames(load(t.testdir(), `[worker]\ntasks = ["tasks.ts"]\n${toml}`)).queues.map(({ name }) => name);
  t.same(queues('queues = ["a", "b", "a"]'), ['a', 'b']);
  t.same(queues('queues = ["a", "b"]\nexclude_queues = ["a"]'), ['b']);
  t.same(queues('[task]\ndefault_queue = "mine"'), ['mine']);
  t.throws(() => queues('queues = ["a"]\nexclude_queues = ["a"]'), {
    code: 'USAGE',
    message: 'worker.exclude_queues must leave a queue to consume from, got a',
  });
});

t.test('a jitter needs the number it is taken from', async (t) => {
  const kind = { name: 'prefork' as const, features: { resize: true, terminate: true, memoryLimits: true } };
  const recycling = (toml: string) => recyclingParams(load(t.testdir(), `[worker]\n${toml}`), kind);
  t.match(recycling('max_tasks_per_child = 9\nmax_tasks_per_child_jitter = 2'), { maxTasks: 9, maxTasksJitter: 2 });
  t.match(recycling(''), { maxTasks: null, maxTasksJitter: 0 });
  t.throws(() => recycling('max_tasks_per_child_jitter = 2'), {
    code: 'CONFIG_INVALID',
    message: /^worker\.max_tasks_per_child_jitter needs worker\.max_tasks_per_child, .* got 2 alone \(.*umbel\.toml:2\)$/,
  });
});

t.test('no task modules', async (t) => {
  t.throws(() => workerNames(load(t.testdir(), '')), { code: 'USAGE', message: /a worker needs task modules/ });
});

t.test('a bad node name', async (t) => {
  t.throws(() => workerNames(load(t.testdir(), '[worker]\ntasks = ["x"]\nhostname = "a@b@c%q"')), { code: 'NAME_INVALID' });
});

t.test('what a child is told', async (t) => {
  const cwd = t.testdir();
  const told = (toml: string, index = 2) => {
    const config = load(cwd, `[worker]\ntasks = ["tasks.ts"]\n${toml}`);
    return childSettings(config, workerNames(config), index, { XDG_CACHE_HOME: cwd });
  };
  t.match(told(''), {
    nodeName: `celery@${host}`,
    index: 2,
    parentPid: process.pid,
    taskPaths: ['tasks.ts'],
    concurrency: 1,
    logFile: null,
    acceptContent: ['json'],
    wantResultText: false,
    wantArguments: false,
    taskDefaults: { acksLate: false, acksOnFailureOrTimeout: true, rejectOnWorkerLost: false },
    taskProtocol: 2,
  });
  t.equal(told('hostname = "w@h"\nlogfile = "/tmp/%n.log"').logFile, null, 'one file for all is written by the parent alone');
  t.equal(told('hostname = "w@h"\nlogfile = "/tmp/%n%I.log"').logFile, '/tmp/w-2.log');
  t.equal(told('hostname = "w@h"\nlogfile = "/tmp/%n%I.log"', 11).logFile, '/tmp/w-11.log');
  t.equal(told('loglevel = "info"').wantResultText, true, 'the text of a result is made when somebody reads it');
  t.equal(told('loglevel = "warning"').wantResultText, false);
  t.match(
    told(
      'child_concurrency = 5\n[task]\nacks_late = true\nreject_on_worker_lost = true\ntrack_started = true\nprotocol = 1\n[result]\nextended = true',
    ),
    {
      concurrency: 5,
      wantArguments: true,
      taskDefaults: { acksLate: true, rejectOnWorkerLost: true, trackStarted: true },
      taskProtocol: 1,
    },
  );
});
