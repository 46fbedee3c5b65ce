/** Flags, environment, file and defaults: who wins, where values come from, and that all problems are told at once. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError } from '../../src/config/config-error.ts';
import { type LoadParams, loadConfig } from '../../src/config/load-config.ts';
import { reasonsAgainst } from '../../src/config/not-settings.ts';
import { isSettingName } from '../../src/config/settings-table.ts';
import { UmbelError } from '../../src/errors.ts';

function load(cwd: string, { flags = {}, env = {}, file }: Partial<LoadParams> = {}) {
  return loadConfig({ flags, env: { HOME: join(cwd, 'home'), ...env }, cwd, file });
}

function problems(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems.map(({ message, place }) => `${message} (${place})`);
    throw thrown;
  }
  throw new Error('no problem found');
}

t.test('without anything, the defaults', async (t) => {
  const { settings, origin, file } = load(t.testdir());
  t.equal(file, null);
  t.equal(settings.worker_concurrency, null);
  t.equal(settings.task_default_queue, 'celery');
  t.same(settings.accept_content, ['json']);
  t.same(origin('task_default_queue'), { kind: 'default', text: 'default' });
  t.ok(Object.isFrozen(settings));
  t.ok(Object.isFrozen(settings.accept_content));
});

t.test('flag, UMBEL_*, CELERY_*, file, default: the stronger wins and says so', async (t) => {
  const cwd = t.testdir({
    'umbel.toml': '# one\n[worker]\nconcurrency = 1\nprefetch_multiplier = 1\nloglevel = "ERROR"\nhostname = "file@%h"\n',
  });
  const { settings, origin } = load(cwd, {
    flags: { worker_concurrency: '4' },
    env: {
      UMBEL_WORKER_CONCURRENCY: '3',
      CELERY_WORKER_CONCURRENCY: '2',
      UMBEL_WORKER_PREFETCH_MULTIPLIER: '3',
      CELERY_WORKER_PREFETCH_MULTIPLIER: '2',
      CELERY_WORKER_LOGLEVEL: 'FATAL',
      UMBEL_WORKER_HOSTNAME: '',
    },
  });
  t.equal(settings.worker_concurrency, 4);
  t.same(origin('worker_concurrency'), { kind: 'flag', text: '--concurrency' });
  t.equal(settings.worker_prefetch_multiplier, 3);
  t.same(origin('worker_prefetch_multiplier'), { kind: 'environment', text: 'UMBEL_WORKER_PREFETCH_MULTIPLIER' });
  t.equal(settings.worker_loglevel, 'critical');
  t.same(origin('worker_loglevel'), { kind: 'environment', text: 'CELERY_WORKER_LOGLEVEL' });
  t.equal(settings.worker_hostname, 'file@%h', 'an empty variable is not set');
  t.same(origin('worker_hostname'), { kind: 'file', text: 'umbel.toml:6' });
  const fromRoot = load('/', { file: join(cwd, 'umbel.toml') });
  t.same(fromRoot.origin('worker_hostname'), { kind: 'file', text: `${join(cwd, 'umbel.toml')}:6` }, 'whole for who stands in the root');
});

t.test("Celery's variables", async (t) => {
  const cwd = t.testdir();
  t.equal(
    load(cwd, { env: { CELERY_BROKER_URL: 'sqla+sqlite:////a.db', CELERY_RESULT_BACKEND: 'disabled' } }).settings.broker_url,
    'sqla+sqlite:////a.db',
  );
  t.equal(load(cwd, { env: { CELERY_BROKER_READ_URL: 'sqlite:////r.db' } }).settings.broker_url, 'sqlite:////r.db');
  t.same(
    problems(() => load(cwd, { env: { CELERY_BROKER_URL: 'sqlite:////a.db', CELERY_BROKER_WRITE_URL: 'sqlite:////b.db' } })),
    ['CELERY_BROKER_URL and CELERY_BROKER_WRITE_URL must be equal: one value serves both (CELERY_BROKER_WRITE_URL)'],
  );
  t.equal(
    load(cwd, { env: { CELERY_BROKER_URL: 'amqp://h', UMBEL_BROKER_URL: 'sqlite:////a.db' } }).settings.broker_url,
    'sqlite:////a.db',
    'one that is overridden may be of no use here',
  );
});

t.test('NO_COLOR means no colour, unless a stronger place has a say', async (t) => {
  const cwd = t.testdir();
  t.equal(load(cwd, { env: { NO_COLOR: '1' } }).settings.worker_log_color, false);
  t.equal(load(cwd, { env: { NO_COLOR: '' } }).settings.worker_log_color, null);
  t.equal(load(cwd, { env: { NO_COLOR: '1', UMBEL_WORKER_LOG_COLOR: 'yes' } }).settings.worker_log_color, true);
});

t.test('every problem at once, in the order of the file, then environment, then flags', async (t) => {
  const cwd = t.testdir({
    'umbel.toml': [
      'accept_content = ["pickle"]',
      'task_acks_late = true',
      'worker.concurency = 2',
      '[broker]',
      'url = "kafka://me:geheim@h/0"',
      '[workr]',
      'x = 1',
      '[task]',
      'acks_late = "yes"',
      'task_protocol = 1',
      '[sqlite]',
      'lease_seconds = 0',
      '[result]',
      'zzzzzzzzzzzz = 1',
    ].join('\n'),
  });
  const found = problems(() =>
    load(cwd, {
      env: { UMBEL_WORKER_PREFETCH_MULTIPLIER: 'x', UMBEL_WORKER_LOGLEVLE: 'info', UMBEL_SERVICE_HOST: 'k8s' },
      flags: { worker_concurrency: '0' },
    }),
  );
  t.same(found, [
    `accept_content must be a list of content types; item 1 has 'pickle', which is not built in this version; it may have 'json' (umbel.toml:1)`,
    'task_acks_late is not a setting; did you mean task.acks_late? (umbel.toml:2)',
    'worker.concurency is not a setting; did you mean worker.concurrency? (umbel.toml:3)',
    `broker.url has the scheme 'kafka', which is not built in this version; it must be a broker URL (sqlite://, sqla+sqlite://, amqp://, amqps://, pyamqp://, redis://, rediss://, redis+socket://, sentinel://, memory://) (umbel.toml:5)`,
    '[workr] is not a section; did you mean [worker]? (umbel.toml:6)',
    'task.acks_late must be true or false, got "yes" (umbel.toml:9)',
    'task.task_protocol is not a setting; did you mean task.protocol? (umbel.toml:10)',
    'sqlite.lease_seconds must be a number of seconds above 0, got 0 (umbel.toml:12)',
    'result.zzzzzzzzzzzz is not a setting (umbel.toml:14)',
    'UMBEL_WORKER_LOGLEVLE is not a setting; did you mean UMBEL_WORKER_LOGLEVEL? (UMBEL_WORKER_LOGLEVLE)',
    'worker.prefetch_multiplier must be an integer not below 0, got x (UMBEL_WORKER_PREFETCH_MULTIPLIER)',
    'worker.concurrency must be a positive integer, got 0 (--concurrency)',
  ]);
});

t.test('settings of Celery that are none here are refused with the reason', async (t) => {
  const cwd = t.testdir({
    'umbel.toml': '[redis]\nhost = "h"\nmax_connections = 10\n[result]\nserializer = "json"\ncache_max = 5\n[broker]\npool_limit = 10\n',
  });
  t.same(
    problems(() => load(cwd)),
    [
      'redis.host is not a setting: write it in result.backend, as redis://[user]:[password]@host:port/db (umbel.toml:2)',
      'redis.max_connections is not a setting: there is nothing to bound, results have two connections to Redis (umbel.toml:3)',
      'result.cache_max is not a setting: results are not cached (umbel.toml:6)',
      'broker.pool_limit is not a setting: there is no pool of connections (umbel.toml:8)',
    ],
  );
  for (const name of Object.keys(reasonsAgainst)) t.notOk(isSettingName(name), `${name} is no setting`);
});

t.test('the error says everything and has its exit status', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[worker]\nconcurrency = 0\n' });
  t.throws(() => load(cwd), {
    code: 'CONFIG_INVALID',
    exitStatus: 78,
    message: 'worker.concurrency must be a positive integer, got 0 (umbel.toml:2)',
  });
  t.throws(() => load(cwd, { flags: { worker_pool: 'custom' } }), {
    message: /^the configuration has 2 problems:\n {2}worker\.concurrency .*\n {2}worker\.pool 'custom' is a pool written in Python/,
  });
});

t.test('a key outside its section, a section that is a value, a wrong shape', async (t) => {
  const cwd = t.testdir({
    'umbel.toml':
      'concurrency = 2\nbroker = "sqlite:////x"\nresult = [1]\n[worker]\nqueues = "a"\ntasks = { a = 1 }\n[worker.pool]\nx = 1\n',
  });
  t.same(
    problems(() => load(cwd)),
    [
      'concurrency is not a setting; did you mean worker.concurrency? (umbel.toml:1)',
      'broker must be a section, written [broker] (umbel.toml:2)',
      'result must be a section, written [result] (umbel.toml:3)',
      'worker.queues must be a list of queues, got "a" (umbel.toml:5)',
      'worker.tasks must be a list of paths, got {"a":1} (umbel.toml:6)',
      `worker.pool must be 'prefork', 'threads', 'solo' or 'async', got {"x":1} (umbel.toml:7)`,
    ],
  );
});

t.test('a TOML syntax error has line and column, and the other layers are still checked', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '[worker]\nconcurrency = two\n' });
  const found = problems(() => load(cwd, { flags: { worker_concurrency: 'x' } }));
  t.match(found, [/^TOML syntax: .*\(umbel\.toml:2:15\)$/, /--concurrency/]);
});

t.test('no message shows a password', async (t) => {
  const cwd = t.testdir({
    'umbel.toml': '[broker]\nurl = ["kafka://u:geheim@h", "kafka://u:geheim@h2"]\n[result]\nbackend = "ftp://u:geheim@h"\n',
  });
  const found = problems(() => load(cwd, { env: { UMBEL_BROKER_URL: 'kafka://u:geheim@h', UMBEL_RESULT_BACKEND: 'u:geheim@h//x' } }));
  t.equal(found.length, 4);
  t.notMatch(found.slice(0, 3).join('\n'), /geheim/);
});

t.test('relative paths: the file against its folder, the rest against the working folder', async (t) => {
  const cwd = t.testdir({
    etc: { 'u.toml': '[broker]\nurl = "sqlite:///b.db"\n[worker]\ntasks = ["tasks.ts", "/abs.ts"]\nlogfile = "%n.log"\nworkdir = ".."\n' },
    app: {},
  });
  const fromFile = load(cwd, { file: 'etc/u.toml', flags: { worker_pidfile: 'x.pid' } });
  t.same(fromFile.settings.worker_tasks, [join(cwd, 'etc/tasks.ts'), '/abs.ts']);
  t.equal(fromFile.settings.broker_url, `sqlite:///${join(cwd, 'etc/b.db')}`);
  t.equal(fromFile.settings.worker_logfile, join(cwd, 'etc/%n.log'));
  t.equal(fromFile.settings.worker_workdir, cwd);
  t.equal(fromFile.settings.worker_pidfile, join(cwd, 'x.pid'));
  t.same(fromFile.origin('worker_tasks'), { kind: 'file', text: 'etc/u.toml:4' });

  const moved = load(cwd, { file: '../etc/u.toml', flags: { worker_workdir: 'app', worker_tasks: ['t.ts', 'a,b.ts'] } });
  t.equal(moved.settings.worker_workdir, join(cwd, 'app'));
  t.same(moved.settings.worker_tasks, [join(cwd, 'app/t.ts'), join(cwd, 'app/a,b.ts')]);
  t.equal(load(cwd, { env: { UMBEL_WORKER_WORKDIR: 'app', UMBEL_WORKER_LOGFILE: 'l' } }).settings.worker_logfile, join(cwd, 'app/l'));
});

t.test('repeated flags and lists', async (t) => {
  const cwd = t.testdir();
  t.same(load(cwd, { flags: { worker_queues: ['a,b', 'c'] } }).settings.worker_queues, ['a', 'b', 'c']);
  t.same(load(cwd, { flags: { worker_queues: 'a, b' } }).settings.worker_queues, ['a', 'b']);
  t.same(load(cwd, { env: { UMBEL_WORKER_TASKS: '/a,/b' } }).settings.worker_tasks, ['/a', '/b']);
  t.equal(load(cwd, { flags: { worker_concurrency: 7, worker_purge: true } }).settings.worker_concurrency, 7);
});

t.test('the file: the first of its places that exists', async (t) => {
  const cwd = t.testdir({
    work: { 'umbel.toml': '', 'other.toml': '' },
    bare: {},
    home: { '.config': { umbel: { 'umbel.toml': '' } } },
    xdg: { umbel: { 'umbel.toml': '' } },
  });
  const fileOf = (folder: string, env: NodeJS.ProcessEnv = {}, file?: string): string | null =>
    loadConfig({ flags: {}, env: { HOME: join(cwd, 'home'), ...env }, cwd: join(cwd, folder), file }).file;
  t.equal(fileOf('work'), join(cwd, 'work/umbel.toml'));
  t.equal(fileOf('work', {}, 'other.toml'), join(cwd, 'work/other.toml'));
  t.equal(fileOf('bare', { UMBEL_CONFIG: '../work/other.toml' }), join(cwd, 'work/other.toml'));
  t.equal(fileOf('work', { UMBEL_CONFIG: 'other.toml' }, 'umbel.toml'), join(cwd, 'work/umbel.toml'));
  t.equal(fileOf('bare'), join(cwd, 'home/.config/umbel/umbel.toml'));
  t.equal(fileOf('bare', { XDG_CONFIG_HOME: join(cwd, 'xdg') }), join(cwd, 'xdg/umbel/umbel.toml'));
  t.equal(fileOf('bare', { XDG_CONFIG_HOME: 'xdg' }), join(cwd, 'home/.config/umbel/umbel.toml'), 'a relative XDG path is ignored');
});

t.test('a file that cannot be read is an error with its reason', async (t) => {
  const cwd = t.testdir({ folder: { 'umbel.toml': {} } });
  const unreadable = (message: RegExp) => ({ code: 'CONFIG_UNREADABLE', exitStatus: 78, message });
  t.throws(() => load(cwd, { file: 'none.toml' }), unreadable(/no such file: .*none\.toml \(--config\)/));
  t.throws(() => load(cwd, { env: { UMBEL_CONFIG: 'none.toml' } }), unreadable(/no such file: .*none\.toml \(UMBEL_CONFIG\)/));
  t.throws(() => load(join(cwd, 'folder')), unreadable(/it is a folder/));
  mkdirSync(join(cwd, 'binary'));
  writeFileSync(join(cwd, 'binary/umbel.toml'), Buffer.from([0x61, 0x20, 0xff, 0xfe]));
  t.throws(() => load(join(cwd, 'binary')), unreadable(/not UTF-8/));
  if (process.getuid?.() !== 0) {
    writeFileSync(join(cwd, 'umbel.toml'), '');
    chmodSync(join(cwd, 'umbel.toml'), 0);
    t.throws(() => load(cwd), unreadable(/permission denied/));
  }
  t.ok(new UmbelError('CONFIG_UNREADABLE', 'x') instanceof Error);
});

t.test('a byte order mark is no problem', async (t) => {
  const cwd = t.testdir({ 'umbel.toml': '\ufeff[worker]\nconcurrency = 3\n' });
  t.equal(load(cwd).settings.worker_concurrency, 3);
});
