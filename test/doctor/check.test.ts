/** `umbel check` finds each of these broken set-ups, and nothing else; and nothing in a set-up that is well. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { findingTable } from '../../src/doctor/finding-table.ts';
import { runInMemory } from '../cli/run-in-memory.ts';
import { misfits } from '../live/json-shapes.ts';
import { look } from './run-doctor.ts';

const tasks = 'export function add(x, y) { return x + y; }\n';
const isRoot = process.getuid?.() === 0;

/** A set-up that is well but for `toml`. */
function setUp(t: Test, toml: string, files: Readonly<Record<string, string>> = {}): string {
  const cwd = t.testdir({ 'umbel.toml': '', 'tasks.mjs': tasks, ...files });
  const own = /^tasks = /m.test(toml) ? '' : 'tasks = ["tasks.mjs"]\n';
  writeFileSync(
    join(cwd, 'umbel.toml'),
    toml.includes('[worker]') ? toml.replace('[worker]\n', `[worker]\n${own}`) : `${toml}\n[worker]\n${own}`,
  );
  return cwd;
}

const broken: readonly {
  readonly code: string;
  readonly toml: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly text: RegExp;
  readonly place?: RegExp;
}[] = [
  {
    code: 'CONFIG_INVALID',
    toml: '[worker]\nconcurrency = 0',
    text: /concurrency must be a positive integer, got 0/,
    place: /^umbel\.toml:3$/,
  },
  {
    code: 'SETTINGS_REFUSED',
    toml: '[broker]\ntransport_options = { visibility_timeout = 60 }',
    text: /visibility_timeout\) must be left out unless/,
  },
  { code: 'SETTINGS_REFUSED', toml: '[worker]\nautoscaler = "scaler.mjs"', text: /worker\.autoscaler needs worker\.autoscale/ },
  { code: 'SETTINGS_REFUSED', toml: '[broker]\nurl = "redis://host:port/0"', text: /broker\.url/, place: /umbel\.toml:2/ },
  { code: 'SETTINGS_REFUSED', toml: '[worker]\nlogfile = "%q.log"', text: /%q/ },
  { code: 'TASK_MODULE_NOT_FOUND', toml: '[worker]\ntasks = ["none.ts"]', text: /none\.ts/, place: /^umbel\.toml:2$/ },
  {
    code: 'TASK_MODULE_BROKEN',
    toml: '',
    files: { 'tasks.mjs': 'export const a = 1;\nnope();\n' },
    text: /tasks\.mjs:2:1: ReferenceError: nope/,
  },
  {
    code: 'TASK_MODULE_BROKEN',
    toml: '',
    files: { 'tasks.mjs': 'export function a() {}\n\nprocess.exit(3);\n' },
    text: /tasks\.mjs:3:9: .*ended the process with status 3/,
  },
  {
    code: 'TASK_MODULE_BROKEN',
    toml: '',
    files: {
      'tasks.mjs':
        "export function a() {}\nvoid Promise.reject(new TypeError('left alone'));\nawait new Promise((go) => setTimeout(go, 60_000));\n",
    },
    text: /no error uncaught while it loads, got .*tasks\.mjs:2:21: TypeError: left alone$/,
  },
  { code: 'NO_TASKS', toml: '', files: { 'tasks.mjs': 'export const a = 1;\n' }, text: /must export tasks/, place: /^umbel\.toml:/ },
  {
    code: 'ROUTER_FAILED',
    toml: '[task]\nroutes = "router.mjs"',
    files: { 'router.mjs': 'export const a = 1;\n' },
    text: /must be an exported function/,
    place: /umbel\.toml:2/,
  },
  {
    code: 'CONTROL_MODULE_FAILED',
    toml: '[worker]\ncontrol_modules = ["commands.mjs"]',
    files: { 'commands.mjs': 'process.foo.bar;\n' },
    text: /did not load/,
  },
  { code: 'AUTOSCALER_FAILED', toml: '[worker]\nautoscale = "4,1"\nautoscaler = "scaler.mjs"', text: /scaler\.mjs/ },
  { code: 'ANNOTATION_UNUSED', toml: '[tasks."tasks.sub"]\nrate_limit = "1/s"', text: /tasks\.sub/, place: /umbel\.toml:1/ },
  {
    code: 'FOLDER_MISSING',
    toml: '[worker]\npidfile = "run/%n.pid"',
    text: /run\/celery\.pid must be there, got none/,
    place: /umbel\.toml:3/,
  },
  { code: 'FOLDER_MISSING', toml: '[broker]\nurl = "sqlite:///db/umbel.db"', text: /db\/umbel\.db/, place: /umbel\.toml:2/ },
  { code: 'FOLDER_MISSING', toml: '[worker]\nworkdir = "srv"', text: /worker\.workdir must be a folder/, place: /umbel\.toml:3/ },
  { code: 'PIDFILE_FOREIGN', toml: '[worker]\npidfile = "notes.txt"', files: { 'notes.txt': 'a'.repeat(200) }, text: /notes\.txt/ },
  { code: 'FILE_UNWRITABLE', toml: '[worker]\nlogfile = "."', text: /got a folder/ },
  {
    code: 'CERTIFICATE_UNUSABLE',
    toml: '[broker]\nurl = "rediss://localhost/0?ssl_ca_certs=/no/ca.pem"',
    text: /\/no\/ca\.pem/,
    place: /umbel\.toml:2/,
  },
  {
    code: 'CERTIFICATE_UNUSABLE',
    toml: '[broker]\nurl = "amqp://localhost//"\nuse_ssl = { ca_certs = "tasks.mjs" }',
    text: /tasks\.mjs/,
    place: /umbel\.toml:3/,
  },
  { code: 'BROKER_IN_MEMORY', toml: '[broker]\nurl = "memory://"', text: /memory:\/\// },
  { code: 'RESULTS_IN_MEMORY', toml: '[broker]\nurl = "redis://localhost"\n[result]\nbackend = "memory://"', text: /results must be kept/ },
  { code: 'SQLITE_SYNCHRONOUS_OFF', toml: '[sqlite]\nsynchronous = "off"', text: /got 'off'/ },
  { code: 'HEARTBEAT_OFF', toml: '[broker]\nurl = "amqp://localhost//"\nheartbeat = 0', text: /broker\.heartbeat/ },
  {
    code: 'ROUTE_TO_NOWHERE',
    toml: '[task]\nroutes = { "tasks.add" = "mial" }\n[queues.mail]',
    text: /got mial for tasks\.add/,
    place: /umbel\.toml:2/,
  },
  {
    code: 'DEAD_LETTER_CIRCLE',
    toml: '[broker]\nurl = "amqp://localhost//"\n[queues.a]\nqueue_arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "b" }\n[queues.b]\nqueue_arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "a" }',
    text: /a → b → a/,
  },
  { code: 'SOFT_LIMIT_TOO_LATE', toml: '[task]\ntime_limit = 10\nsoft_time_limit = 10', text: /10 s and 10 s/, place: /umbel\.toml:3/ },
  { code: 'PREFETCH_UNLIMITED', toml: '[worker]\nprefetch_multiplier = 0', text: /got 0/ },
  {
    code: 'NODES_SHARE',
    toml: '[node.w1]\n[node.w2]\n[worker]\npidfile = "one.pid"\nlogfile = "%n.log"',
    text: /one\.pid for w1@.* and w2@/,
  },
];

for (const { code, toml, files, text, place } of broken)
  t.test(`${code}: ${text.source}`, async (t) => {
    const cwd = setUp(t, toml, files);
    const modules = /MODULE|TASKS|ROUTER|AUTOSCALER|ANNOTATION/.test(code) ? [] : ['--no-modules'];
    const { findings, codes, status, stderr } = await look(['check', ...modules], { cwd });
    t.same(codes, [code], stderr);
    t.match(findings[0]?.text, text);
    if (place !== undefined) t.match(findings[0]?.place, place);
    t.equal(status, findingTable[code as keyof typeof findingTable].severity === 'error' ? 2 : 1);
  });

t.test('nothing in a set-up that is well', async (t) => {
  const cwd = setUp(
    t,
    '[broker]\nurl = "redis://localhost/1"\n[task]\nroutes = { "tasks.*" = "mail" }\n[worker]\nqueues = ["mail"]\npidfile = "%n.pid"\nlogfile = "%n%I.log"\nstate_db = "%n.state"',
  );
  const before = readdirSync(cwd);
  t.same(await runInMemory(['check'], { cwd, env: { C_FORCE_ROOT: '1' } }), { status: 0, stdout: '', stderr: 'Nothing found.\n' });
  t.same(await runInMemory(['-q', 'check'], { cwd, env: { C_FORCE_ROOT: '1' } }), { status: 0, stdout: '', stderr: '' });
  t.same(
    readdirSync(cwd).filter((name) => name !== '.cache'),
    before,
    'and it has made no file but compiled code',
  );
});

t.test('a module that computes or waits for ever is found in its time', async (t) => {
  // A busy machine takes seconds to start the process that the module loads in.
  const cwd = setUp(t, '[worker]\nproc_alive_timeout = 8', { 'tasks.mjs': 'export function a() {}\nlet n = 0;\nfor (;;) n += 1;\n' });
  const busy = await look(['check'], { cwd });
  t.same(busy.codes, ['TASK_MODULE_BROKEN']);
  t.match(busy.findings[0]?.text, /did not load within 8 s: it is busy at .*tasks\.mjs:3:\d+/);
  writeFileSync(join(cwd, 'tasks.mjs'), 'await new Promise((resolve) => setTimeout(resolve, 60_000));\nexport function a() {}\n');
  const waits = await look(['check'], { cwd });
  t.match(waits.findings, [{ code: 'TASK_MODULE_BROKEN', text: /tasks\.mjs did not load: a top-level await in it has not settled/ }]);
});

t.test('all problems of a configuration, errors first, as text with the fix', async (t) => {
  const cwd = setUp(t, '[task]\ntime_limit = 10\nsoft_time_limit = 11\n[worker]\nstate_db = "none/x"');
  const { stdout, status } = await runInMemory(['check', '--no-modules'], { cwd, env: { C_FORCE_ROOT: '1' } });
  t.equal(status, 2);
  t.match(
    stdout,
    /^error FOLDER_MISSING: the folder of .*none\/x must be there, got none \(umbel\.toml:6\)\n {2}\S.*\nwarning SOFT_LIMIT_TOO_LATE: .*\(umbel\.toml:3\)\n {2}\S.*\n$/,
  );
  const errors = await look(['check', '--no-modules', '--errors'], { cwd });
  t.same(errors.codes, ['FOLDER_MISSING']);
  writeFileSync(join(cwd, 'umbel.toml'), '[worker]\nconcurrency = 0\nqueue = 1\n');
  t.same((await look(['check', '--no-modules'], { cwd })).codes, ['CONFIG_INVALID', 'CONFIG_INVALID']);
  t.same((await look(['check', '--no-modules', '--config', 'none.toml'], { cwd })).codes, ['CONFIG_UNREADABLE']);
});

t.test('as JSON, in the shape that the page has', async (t) => {
  const page = readFileSync(resolve(import.meta.dirname, '../../docs/json-output.md'), 'utf8');
  const shape: unknown = JSON.parse(/^```json finding\n(.*?)^```$/ms.exec(page)?.[1] ?? '');
  const cwd = setUp(
    t,
    '[task]\ntime_limit = 9\nsoft_time_limit = 9\n[worker]\npidfile = "%n.pid"\nlogfile = "%n.log"\n[node.w1]\nstate_db = "none/%n"\n[node.w2]',
  );
  const { findings } = await look(['check', '--no-modules'], { cwd });
  t.equal(findings.length, 2);
  for (const finding of findings) t.same(misfits(finding, shape), []);
});

t.test('a circle of dead letters with a pause in it is meant', async (t) => {
  const queue = (to: string, more = '') => `{ x-dead-letter-exchange = "", x-dead-letter-routing-key = "${to}"${more} }`;
  const toml = `[broker]\nurl = "amqp://localhost//"\n[queues.a]\nqueue_arguments = ${queue('b')}\n[queues.b]\nqueue_arguments = ${queue('a', ', x-message-ttl = 1000')}`;
  t.same((await look(['check', '--no-modules'], { cwd: setUp(t, toml) })).codes, []);
});

t.test('no task modules at all', async (t) => {
  t.same((await look(['check'], { cwd: t.testdir() })).codes, ['NO_TASK_MODULES']);
});

t.test('nodes: what one has is said with its name, what all have without', async (t) => {
  const cwd = setUp(
    t,
    '[task]\nsoft_time_limit = 9\ntime_limit = 9\n[worker]\npidfile = "%n.pid"\nlogfile = "%n.log"\n[node.w1]\nstate_db = "none/%n"\n[node.w2]\nconcurrency = 2',
  );
  const { findings } = await look(['check', '--no-modules'], { cwd });
  t.match(findings, [
    { code: 'FOLDER_MISSING', nodes: ['w1'], place: /^umbel\.toml:9$/, text: /none\/w1/ },
    { code: 'SOFT_LIMIT_TOO_LATE', nodes: [] },
  ]);
  const one = async (name: string): Promise<readonly string[]> => (await look(['check', '--no-modules', '-n', name], { cwd })).codes;
  t.same(await one('w1'), ['FOLDER_MISSING', 'SOFT_LIMIT_TOO_LATE'], 'one of them alone');
  t.same(await one('w1@%h'), ['FOLDER_MISSING', 'SOFT_LIMIT_TOO_LATE'], 'as the worker is told its name');
  t.same(await one('w2'), ['SOFT_LIMIT_TOO_LATE']);
  const other = setUp(t, '[node.w1]\nstate_db = "none/%n"\n[worker]\nhostname = "x@y"\npidfile = "%n.pid"\nlogfile = "%n.log"');
  t.same((await look(['check', '--no-modules'], { cwd: other })).codes, ['FOLDER_MISSING'], 'also beside the name of a worker alone');
  const withMulti = async (log: string, ...words: readonly string[]): Promise<readonly string[]> =>
    (await look(['check', '--no-modules', ...words], { cwd: setUp(t, `[node.w1]\n[worker]\npidfile = "%n.pid"\nlogfile = "${log}"`) }))
      .codes;
  t.same(await withMulti('log/a/%n.log'), [], 'made by umbel multi');
  t.same(await withMulti('log/a/%n.log', '-n', 'w1@%h'), ['FOLDER_MISSING'], 'and not by umbel worker');
  t.same(await withMulti('umbel.toml/%n.log'), ['FOLDER_MISSING'], 'where a file is it cannot');
  const apart = await runInMemory(['check'], { cwd: setUp(t, '[node.w1]\nworkdir = "."\n[node.w2]\nworkdir = "/"') });
  t.match(apart, { status: 64, stderr: /looked at one by one, with -n NAME, got w1 and w2/ });
});

t.test('rights', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const cwd = setUp(t, '[worker]\npidfile = "run/%n.pid"');
  mkdirSync(join(cwd, 'run'), { mode: 0o755 });
  chownSync(join(cwd, 'run'), 12345, 12345);
  t.same((await look(['check', '--no-modules'], { cwd })).codes, [], 'root may');
  const { codes } = await look(['check', '--no-modules'], { cwd, env: { C_FORCE_ROOT: '' } });
  t.same(codes, ['RUNS_AS_ROOT']);
  t.same((await look(['check', '--no-modules', '--uid', 'no-such-user'], { cwd })).codes, ['USER_REFUSED']);
  chmodSync(join(cwd, 'umbel.toml'), 0o666);
  t.same((await look(['check', '--no-modules'], { cwd })).codes, ['CONFIG_WRITABLE_BY_ALL']);
  const secret = setUp(t, '[broker]\nurl = "redis://:secret@localhost/0"');
  chmodSync(join(secret, 'umbel.toml'), 0o644);
  t.match((await look(['check', '--no-modules'], { cwd: secret })).findings, [{ code: 'CONFIG_SECRET_READABLE', place: 'umbel.toml:2' }]);
  chmodSync(join(secret, 'umbel.toml'), 0o640);
  t.same((await look(['check', '--no-modules'], { cwd: secret })).codes, []);
});

const main = resolve(import.meta.dirname, '../../src/main.ts');
const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
const nobodyReads = isRoot && spawnSync('setpriv', [...asNobody, 'test', '-r', main]).status === 0;

t.test(
  'rights of another user, who this process becomes',
  { skip: nobodyReads ? false : 'needs root, and sources that nobody may read' },
  async (t) => {
    const cwd = setUp(t, '[worker]\npidfile = "run/%n.pid"\nlogfile = "own/%n.log"');
    for (const [name, uid] of [
      ['run', 0],
      ['own', 65534],
    ] as const) {
      mkdirSync(join(cwd, name), { mode: 0o755 });
      chownSync(join(cwd, name), uid, uid);
    }
    writeFileSync(join(cwd, 'own/celery.log'), '', { mode: 0o600 });
    chmodSync(join(cwd, 'umbel.toml'), 0o600);
    const { stdout, stderr } = spawnSync(process.execPath, [main, 'check', '-j', '--uid', '65534', '--gid', '65534'], {
      cwd,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: cwd },
    });
    const findings = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    t.match(
      findings.toSorted((one, other) => String(one.code).localeCompare(String(other.code))),
      [
        { code: 'CONFIG_UNREADABLE_LATER', text: /uid 65534/ },
        { code: 'FILE_UNWRITABLE', text: /got one of uid 0, gid 0, mode 0600/, place: 'umbel.toml:4' },
        { code: 'FOLDER_UNWRITABLE', text: /run\/celery\.pid must be writable for uid 65534/, place: 'umbel.toml:3' },
        { code: 'FOLDER_UNWRITABLE', text: /state\/umbel\/umbel\.db must be writable for uid 65534/, place: 'default' },
      ],
      stderr,
    );
    t.equal(findings.length, 4, stdout);
  },
);

t.test('unit and variables', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const cwd = setUp(t, '[worker]\nshutdown_timeout = 240', {
    defaults:
      'UMBEL_NODES="w1"\n# comment\nUMBEL_OPT="-c 2"\nCHDIR=$HOME\nUMBEL_CHDIR="$HOME"\nUMBELD_NODES="a"\nUMBELD_USR="b"\n# no \\\nUMBEL_ULIMIT="-n \\\n128"\nUMBEL_X="\\\n"\n',
    'bad.service': '[Service]\nType=simple\nExecStart=/usr/bin/umbel \\\n  worker\nWatchdogSec=5\nTimeoutStopSec=1min\n',
  });
  const packaged = resolve(import.meta.dirname, '../../systemd/umbel@.service');
  // Its user is made by the package.
  t.same((await look(['check', '--no-modules', '--unit', packaged], { cwd })).codes, ['USER_UNKNOWN']);
  const { findings } = await look(['check', '--no-modules', '--unit', './bad.service'], { cwd });
  t.same(findings.map(({ code }) => code).sort(), [
    'RUNS_AS_ROOT',
    'UNIT_NO_RESTART',
    'UNIT_OOM_POLICY',
    'UNIT_STOP_TIMEOUT',
    'UNIT_WATCHDOG_SHORT',
    'UNIT_WATCHDOG_UNHEARD',
  ]);
  t.match(
    findings.find(({ code }) => code === 'UNIT_STOP_TIMEOUT'),
    { place: './bad.service:6', text: /TimeoutStopSec, 60 s, got 240 s \(umbel\.toml:3\)/ },
  );
  chmodSync(join(cwd, 'defaults'), 0o664);
  const { findings: variables } = await look(['check', '--no-modules', '--defaults', join(cwd, 'defaults')], { cwd });
  t.match(variables, [
    { code: 'DEFAULTS_UNSAFE', text: /uid 0, mode 0664/ },
    { code: 'DEFAULTS_UNKNOWN', place: /defaults:3$/, text: /did you mean UMBEL_OPTS/ },
    { code: 'DEFAULTS_SYNTAX', place: /defaults:4$/ },
    { code: 'DEFAULTS_SYNTAX', place: /defaults:5$/ },
    { code: 'DEFAULTS_UNKNOWN', place: /defaults:7$/, text: /begins with UMBELD_ .*did you mean UMBELD_USER/ },
    { code: 'DEFAULTS_UNKNOWN', place: /defaults:11$/, text: /got UMBEL_X/ },
  ]);
  t.equal(variables.length, 6, 'a backslash goes on in the next line');
  writeFileSync(join(cwd, 'bad.toml'), '[worker]\nconcurrency = 0\n');
  const both = await look(['check', '--no-modules', '--config', 'bad.toml', '--defaults', 'defaults'], { cwd });
  t.same(
    [...new Set(both.codes)],
    ['CONFIG_INVALID', 'DEFAULTS_UNSAFE', 'DEFAULTS_UNKNOWN', 'DEFAULTS_SYNTAX'],
    'also beside a bad configuration',
  );
  t.match(await runInMemory(['check', '--unit', './none.service'], { cwd }), { status: 64, stderr: /--unit must name a file/ });
});
