/**
 * Whatever is wrong at the start ends in one clear message, the documented exit status, no stack trace and no process left.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { certificates, noCertificates } from '../driver/certificates.ts';
import { RedisServer } from '../redis-server.ts';
import { type Ended, LiveFolder, type RunOptions } from './live-folder.ts';
import { allGone, processesIn } from './live-worker.ts';

/** Root may write anywhere; without this capability it is refused like anybody. */
const withoutRootsRights = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search', '--inh-caps', '-dac_override,-dac_read_search'];
const asAnybody: RunOptions = process.getuid?.() === 0 ? { via: withoutRootsRights } : {};

function newFolder(t: Test): LiveFolder {
  const folder = new LiveFolder(t);
  folder.write('ok.js', 'export const add = (x, y) => x + y;\n');
  return folder;
}

/** One message on stderr (its further lines are indented), nothing on stdout, the status, nothing left running. */
async function refused(t: Test, folder: LiveFolder, ended: Ended, status: number, first: RegExp, ...more: RegExp[]): Promise<void> {
  const lines = ended.stderr.split('\n').filter((line) => line !== '');
  t.equal(ended.signal, null, 'it ends by itself');
  t.equal(ended.status, status, `exit status ${status}`);
  t.equal(ended.stdout, '', 'nothing on stdout');
  t.match(lines[0], /^umbel: .+ \[[A-Z_]+\]$/, 'one message with its code');
  t.match(lines[0], first);
  t.equal(lines.length, 1 + more.length, `no other line: ${ended.stderr}`);
  for (const [index, pattern] of more.entries()) t.match(lines[index + 1], pattern);
  t.notMatch(ended.stderr, /^ +at /m, 'no stack trace');
  t.strictSame(await allGone(processesIn(folder.path)), [], 'no process is left');
}

void t.test('a task module that does not load: 65 with file, line and cause', async (t) => {
  const modules: readonly (readonly [file: string, text: string, message: RegExp])[] = [
    ['syntax.ts', 'export function a() {}\nexport const x: = 3;\n', /syntax\.ts:2:17: SyntaxError: .+\[TASK_MODULE_BROKEN\]/],
    [
      'missing.js',
      "import './nope.js';\nexport function a() {}\n",
      /missing\.js:1:8: .*Cannot find module '.*nope\.js'.+\[TASK_MODULE_BROKEN\]/,
    ],
    [
      'throws.cjs',
      '\nfunction f() {\n  throw new TypeError("no good");\n}\nf();\n',
      /throws\.cjs:3:9: TypeError: no good \[TASK_MODULE_BROKEN\]/,
    ],
    [
      'throws.mts',
      'const n: number = 1;\nthrow new RangeError(`not ${n}`);\n',
      /throws\.mts:2:7: RangeError: not 1 \[TASK_MODULE_BROKEN\]/,
    ],
    [
      'never.mjs',
      'await new Promise(() => {});\n',
      /never\.mjs did not load: a top-level await in it never settles \[TASK_MODULE_BROKEN\]/,
    ],
    [
      'duplicate.ts',
      "import { task } from 'umbel';\nexport const a = task({ name: 'same' }, () => 1);\nexport const b = task({ name: 'same' }, () => 2);\n",
      /same is exported twice in .*duplicate\.ts.+\[TASK_DUPLICATE\]/,
    ],
    [
      'option.ts',
      "import { task } from 'umbel';\nexport const a = task({ maxRetrys: 1 }, () => 1);\n",
      /option\.ts:2:18: .*maxRetrys is not an option.+\[TASK_OPTION_INVALID\]/,
    ],
  ];
  for (const [file, text, message] of modules) {
    await t.test(file, async (t) => {
      const folder = newFolder(t);
      folder.write(file, text);
      // Two children: both report it, one message comes out.
      await refused(t, folder, await folder.umbel(['worker', '-c', '2', '-A', file]), 65, message);
    });
  }
  await t.test('a file that is not there', async (t) => {
    const folder = newFolder(t);
    await refused(t, folder, await folder.umbel(['worker', '-A', 'gone.ts']), 65, /gone\.ts.+\[TASK_MODULE_NOT_FOUND\]/);
  });
  await t.test('the same task in two modules', async (t) => {
    const folder = newFolder(t);
    folder.write('one/ok.js', 'export const add = 1 && ((x) => x);\n');
    await refused(
      t,
      folder,
      await folder.umbel(['worker', '-A', 'ok.js', '-A', 'one/ok.js']),
      65,
      /ok\.add.+ok\.js.+ok\.js.+\[TASK_DUPLICATE\]/,
    );
  });
});

void t.test('a child that always dies while starting: 70 with the cause', async (t) => {
  const folder = newFolder(t);
  folder.write('dies.js', 'process.exit(3);\n');
  folder.write('umbel.toml', '[worker]\nmax_start_failures = 2\n');
  const ended = await folder.umbel(['worker', '-c', '2', '-A', 'dies.js']);
  t.match(ended, { status: 70, signal: null });
  t.equal(ended.stdout, '');
  const lines = ended.stderr.trimEnd().split('\n');
  t.match(lines.at(-1), /^umbel: no pool child can start: PoolChild-\d ended with exit code 3 while starting \[CHILD_CANNOT_START\]$/);
  for (const line of lines.slice(0, -1))
    t.match(line, /ERROR\/MainProcess\] PoolChild-\d could not start: .+; next try (in \d+ ms|when the others have started, or none)$/);
  t.notMatch(ended.stderr, /^ +at /m);
  t.strictSame(await allGone(processesIn(folder.path)), []);
});

void t.test('a child that does not get ready in time: 70 and the time', async (t) => {
  const folder = newFolder(t);
  folder.write('spins.js', 'for (;;) {}\n');
  folder.write('umbel.toml', '[worker]\nproc_alive_timeout = 0.5\nmax_start_failures = 1\n');
  const ended = await folder.umbel(['worker', '-c', '1', '-A', 'spins.js']);
  t.match(ended, { status: 70, signal: null });
  t.match(ended.stderr, /umbel: no pool child can start: PoolChild-1 was not ready within 0\.5s \[CHILD_CANNOT_START\]\n$/);
  t.strictSame(await allGone(processesIn(folder.path)), []);
});

void t.test('the configuration: 78 with file and line', async (t) => {
  const folder = newFolder(t);
  const worker = ['worker', '-A', 'ok.js', '--config', 'test.toml'];
  const cases: readonly (readonly [toml: string, first: RegExp, ...more: RegExp[]])[] = [
    ['[worker]\nconcurrency = 3\n[broker\n', /\(test\.toml:3:\d+\) \[CONFIG_INVALID\]$/],
    [
      '[worker]\nconcurency = 3\n',
      /worker\.concurency is not a setting; did you mean worker\.concurrency\? \(test\.toml:2\) \[CONFIG_INVALID\]$/,
    ],
    ['[worker]\nconcurrency = "many"\n', /worker\.concurrency must be a positive integer, got "many" \(test\.toml:2\) \[CONFIG_INVALID\]$/],
    [
      '[worker]\nconcurency = 3\nloglevel = "loud"\n\n[brokr]\nurl = "x"\n',
      /the configuration has 3 problems: \[CONFIG_INVALID\]$/,
      /^ {2}worker\.concurency is not a setting; .+ \(test\.toml:2\)$/,
      /^ {2}worker\.loglevel must be .+, got "loud" \(test\.toml:3\)$/,
      /^ {2}\[brokr\] is not a section; did you mean \[broker\]\? \(test\.toml:5\)$/,
    ],
    ['broker_url = "amqp://guest:geheim@localhost//"\n', /\[CONFIG_INVALID\]$/],
  ];
  for (const [toml, first, ...more] of cases) {
    folder.write('test.toml', toml);
    const ended = await folder.umbel(worker);
    await refused(t, folder, ended, 78, first, ...more);
    t.notMatch(ended.stderr, 'geheim', 'no password is shown');
  }
  await refused(t, folder, await folder.umbel(['worker', '--config', 'gone.toml']), 78, /gone\.toml \(--config\) \[CONFIG_UNREADABLE\]/);
});

void t.test('the command line: 64', async (t) => {
  const folder = newFolder(t);
  const cases: readonly (readonly [args: readonly string[], first: RegExp])[] = [
    [['worker', '-A', 'ok.js', '--bogus'], /--bogus is not an option of umbel worker; see umbel worker --help \[USAGE\]/],
    [['worker', '-A', 'ok.js', '-c', 'zero'], /must be a positive integer, got "?zero"? \(--concurrency\) \[USAGE\]/],
    [['worker', '-A', 'ok.js', 'extra'], /too many arguments: 'extra'.+\[USAGE\]/],
    [['worker'], /-A.+\[USAGE\]/],
    [['wroker'], /'wroker' is not a command of umbel; did you mean worker\? \[USAGE\]/],
    [['worker', '-A', 'ok.js', '-b', 'bogus://u:geheim@x'], /broker\.url must be .+bogus:.+\(--broker\) \[USAGE\]/],
    [['worker', '-A', 'ok.js', '-b', 'kafka://u:geheim@x//'], /'kafka', which is not built in this version.+\(--broker\) \[USAGE\]/],
    [['worker', '-A', 'ok.js', '--result-backend', 'bogus://x'], /result\.backend must be .+\(--result-backend\) \[USAGE\]/],
    [['worker', '-A', 'ok.js', '-P', 'thread'], /worker\.pool must be .+, got "thread" \(--pool\) \[USAGE\]/],
    [['worker', '-A', 'ok.js', '-n', 'a%Zb'], /%Z.+\[NAME_INVALID\]/],
    [['worker', '-A', 'ok.js', '-X', 'celery'], /leave a queue.+\[USAGE\]/],
    [['call'], /arguments are missing.+\[USAGE\]/],
    [['call', 'ok.add', '-b', 'memory://'], /broker that other processes can use, got memory:.+\[USAGE\]/],
    [['call', 'ok.add', '--args', '[1'], /--args must be JSON, got "\[1" \[USAGE\]/],
    [['call', 'ok.add', '--args', '{}'], /--args must be a JSON array.+\[USAGE\]/],
    [['call', 'ok.add', '--kwargs', '[]'], /--kwargs must be a JSON object.+\[USAGE\]/],
    [['call', 'ok.add', '--eta', 'tomorrow'], /--eta must be an ISO 8601 time, got "tomorrow" \[USAGE\]/],
  ];
  for (const [args, first] of cases) {
    const ended = await folder.umbel(args);
    await refused(t, folder, ended, 64, first);
    t.notMatch(ended.stderr, 'geheim', 'no password is shown');
  }
});

void t.test('the broker: 69', async (t) => {
  const folder = newFolder(t);
  writeFileSync(folder.file('noise.db'), Buffer.from(Array.from({ length: 8192 }, (_, index) => (index * 31) % 251)));
  mkdirSync(folder.file('readonly'));
  const made = await folder.umbel(['call', 'ok.add', '-b', 'sqlite:///readonly/broker.db']);
  t.equal(made.status, 0);
  chmodSync(folder.file('readonly/broker.db'), 0o444);
  mkdirSync(folder.file('folder.db'));
  const cases: readonly (readonly [url: string, first: RegExp])[] = [
    ['sqlite:///no-such-folder/broker.db', /the folder of the SQLite database must exist: .*no-such-folder.+\[BROKER_UNAVAILABLE\]/],
    ['sqlite:///noise.db', /damaged or not a database.+noise\.db.+\[BROKER_UNAVAILABLE\]/],
    ['sqlite:///readonly/broker.db', /must be writable: .*readonly\/broker\.db \[BROKER_UNAVAILABLE\]/],
    ['sqlite:///folder.db', /must be a file: .*folder\.db \[BROKER_UNAVAILABLE\]/],
  ];
  for (const [url, first] of cases) {
    await refused(t, folder, await folder.umbel(['worker', '-A', 'ok.js', '-b', url], asAnybody), 69, first);
    await refused(t, folder, await folder.umbel(['call', 'ok.add', '-b', url], asAnybody), 69, first);
    await refused(t, folder, await folder.umbel(['result', 'x', '-b', url], asAnybody), 69, first);
  }
});

void t.test('what is wrong with the way to a Redis server: 78, instead of trying for ever', async (t) => {
  const folder = newFolder(t);
  const server = await RedisServer.start(t, { config: { databases: '4' } });
  const cases: readonly (readonly [args: readonly string[], first: RegExp])[] = [
    [['-b', server.url(4)], /^umbel: the database of the URL must be one that the server has, got 4.+\[CONFIG_INVALID\]/],
    [['-b', server.url(), '--result-backend', server.url(9)], /database of the URL .+, got 9.+\[CONFIG_INVALID\]/],
    [
      ['-b', 'rediss://127.0.0.1:1/0?ssl_ca_certs=no/such.pem'],
      /ssl_ca_certs must be a readable file, got no\/such\.pem.+\[CONFIG_INVALID\]/,
    ],
    [
      ['-b', `${server.url()}?client_name=a%20b`],
      /client_name must be printable ASCII without spaces, got 'a b'.+\[(CONFIG_INVALID|BROKER_URL_INVALID)\]/,
    ],
  ];
  for (const [args, first] of cases) await refused(t, folder, await folder.umbel(['worker', '-A', 'ok.js', ...args]), 78, first);
});

void t.test('a certificate or key that cannot be used with RabbitMQ: 78', { skip: noCertificates }, async (t) => {
  const folder = newFolder(t);
  const path = certificates(t, 'rabbit.test');
  const cases: readonly (readonly [useSsl: object, first: RegExp])[] = [
    [{ ca_certs: 'no/such.pem' }, /ssl_ca_certs must be a readable file, got \S*no\/such\.pem.+\[CONFIG_INVALID\]/],
    [{ ca_certs: 'ok.js' }, /ssl_ca_certs must be certificates, got \S*ok\.js.+\[CONFIG_INVALID\]/],
    [{ certfile: 'ok.js', keyfile: path('client.key') }, /ssl_certfile must be a certificate, got \S*ok\.js.+\[CONFIG_INVALID\]/],
    [{ certfile: path('client.pem'), keyfile: 'ok.js' }, /ssl_keyfile must be a private key.+got \S*ok\.js.+\[CONFIG_INVALID\]/],
    [{ certfile: path('client.pem'), keyfile: path('ca.key') }, /ssl_keyfile must be the key of ssl_certfile, got .+\[CONFIG_INVALID\]/],
  ];
  for (const [useSsl, first] of cases) {
    const env = { UMBEL_BROKER_USE_SSL: JSON.stringify(useSsl) };
    // Nobody listens there, and nobody is waited for.
    const ended = await folder.umbel(['worker', '-A', 'ok.js', '-b', 'amqps://127.0.0.1:1//'], { env });
    await refused(t, folder, ended, 78, first);
  }
  const ended = await folder.umbel(['worker', '-A', 'ok.js', '-b', 'amqps://127.0.0.1:1//?ssl_ca_certs=ok.js']);
  await refused(t, folder, ended, 78, /ssl_ca_certs must be certificates, got ok\.js.+\[CONFIG_INVALID\]/);
});

void t.test('files that cannot be made: 73', async (t) => {
  const folder = newFolder(t);
  mkdirSync(folder.file('closed'), 0o555);
  const cases: readonly (readonly [args: readonly string[], first: RegExp])[] = [
    [
      ['-f', 'no-such-folder/worker.log'],
      /log file must be writable, got .*no-such-folder\/worker\.log \(--logfile\).+\[FILE_CANNOT_CREATE\]/,
    ],
    [
      ['-f', 'no-such-folder/%n%I.log'],
      /log file must be writable, got .*no-such-folder\/celery\.log \(--logfile\).+\[FILE_CANNOT_CREATE\]/,
    ],
    [['-f', 'closed/worker.log'], /log file must be writable, got .*closed\/worker\.log \(--logfile\).+\[FILE_CANNOT_CREATE\]/],
    [['--pidfile', 'no-such-folder/x.pid'], /pid file must be writable, got .*no-such-folder\/x\.pid.+\[FILE_CANNOT_CREATE\]/],
    [['--pidfile', 'closed/x.pid'], /pid file must be writable, got .*closed\/x\.pid.+\[FILE_CANNOT_CREATE\]/],
  ];
  for (const [args, first] of cases) await refused(t, folder, await folder.umbel(['worker', '-A', 'ok.js', ...args], asAnybody), 73, first);
  const ended = await folder.umbel(['worker', '-A', 'ok.js'], { ...asAnybody, env: { XDG_STATE_HOME: folder.file('closed') } });
  await refused(t, folder, ended, 73, /state folder.+closed\/umbel.+\[FILE_CANNOT_CREATE\]/);
});

void t.test('--wait without a result backend: 78, and nothing is sent', async (t) => {
  const folder = newFolder(t);
  const ended = await folder.umbel(['call', 'ok.add', '--wait', '--result-backend', 'disabled']);
  await refused(t, folder, ended, 78, /--wait needs results.+\[BACKEND_DISABLED\]/);
  t.equal(await (await folder.broker()).countReady('celery'), 0);
});

void t.test('results that are not there: 75; a failed task: 1', async (t) => {
  const folder = newFolder(t);
  folder.write('fails.js', "export function no() { throw new TypeError('not this'); }\n");
  await refused(t, folder, await folder.umbel(['call', 'ok.add', '--wait', '1']), 75, /no result of task .+ within 1 s \[RESULT_TIMEOUT\]/);
  await refused(
    t,
    folder,
    await folder.umbel(['result', 'unknown']),
    75,
    /task unknown has no result yet: its state is PENDING \(or there is no such task\) \[RESULT_TIMEOUT\]/,
  );
  await refused(t, folder, await folder.umbel(['result', 'unknown', '--wait', '0.2']), 75, /no result of task unknown within 0\.2 s/);
  t.strictSame(await folder.umbel(['result', 'unknown', '--state']), { status: 0, signal: null, stdout: 'PENDING\n', stderr: '' });

  const worker = await folder.worker(['-A', 'fails.js', '-c', '1']).ready();
  const failed = await folder.umbel(['call', 'fails.no', '--wait', '--task-id', 'failing']);
  t.match(failed, { status: 1, signal: null });
  t.equal(failed.stdout, '');
  t.match(failed.stderr, /^FAILURE: TypeError: not this\n/);
  t.match(failed.stderr, /fails\.js:1:\d+/, 'the traceback of the task is shown');
  const again = await folder.umbel(['result', 'failing']);
  t.equal(again.status, 1);
  t.equal(again.stderr, failed.stderr);
  t.equal((await folder.umbel(['result', 'failing', '--state'])).stdout, 'FAILURE\n');
  t.equal((await worker.stop()).code, 0);
});
