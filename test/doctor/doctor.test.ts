/**
 * `umbel doctor` finds each of these broken set-ups, on real servers, and nothing else; `check` and `doctor` are silent on set-ups that are well; and
 * nothing is changed where it has looked.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { findingTable } from '../../src/doctor/finding-table.ts';
import { redisServer } from '../../src/doctor/redis.ts';
import type { RedisSurvey } from '../../src/driver/redis-survey.ts';
import { runInMemory } from '../cli/run-in-memory.ts';
import { certificates, noCertificates } from '../driver/certificates.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { RedisServer, redisProgram } from '../redis-server.ts';
import { endsWithUs, freePort, temporaryFolder } from '../test-server.ts';
import { type Looked, look } from './run-doctor.ts';

const tasks = 'export function add(x, y) { return x + y; }\n';
/** What the package of a distribution may well have. */
const safe = { appendonly: 'yes', 'aof-use-rdb-preamble': 'yes' };

function folder(t: Test, toml: string): string {
  const cwd = t.testdir({ 'umbel.toml': `${toml}\n[worker]\ntasks = ["tasks.mjs"]\n`, 'tasks.mjs': tasks });
  // Some have passwords.
  chmodSync(join(cwd, 'umbel.toml'), 0o640);
  return cwd;
}

async function finds(
  t: Test,
  toml: string,
  code: keyof typeof findingTable,
  text: RegExp,
  argv: readonly string[] = ['--no-modules'],
): Promise<Looked> {
  const looked = await look(['doctor', ...argv], { cwd: folder(t, toml) });
  t.same(looked.codes, [code], `${code} ${looked.stderr}${looked.stdout}`);
  t.match(looked.findings[0]?.text, text);
  t.equal(looked.status, findingTable[code].severity === 'error' ? 2 : 1);
  return looked;
}

async function silent(t: Test, cwd: string, name: string): Promise<void> {
  const env = { C_FORCE_ROOT: '1', XDG_STATE_HOME: join(cwd, '.state') };
  for (const command of ['check', 'doctor'])
    t.same(await runInMemory([command], { cwd, env }), { status: 0, stdout: '', stderr: 'Nothing found.\n' }, `${name}: ${command}`);
}

async function send(cwd: string, ...argv: readonly string[]): Promise<void> {
  const { status, stderr } = await runInMemory(['call', ...argv], { cwd });
  if (status !== 0) throw new Error(stderr);
}

t.test('Redis', async (t) => {
  const redis = await RedisServer.start(t, { config: safe });
  const toml = `[broker]\nurl = "${redis.url()}"`;
  const config = (name: string): string => redis.cli('CONFIG', 'GET', name).split('\n')[1] ?? '';
  /** One setting at a time is wrong. */
  const withConfig = async (settings: Readonly<Record<string, string>>, code: keyof typeof findingTable, text: RegExp): Promise<void> => {
    const before = Object.keys(settings).map((name) => [name, config(name)] as const);
    for (const [name, value] of Object.entries(settings)) redis.cli('CONFIG', 'SET', name, value);
    try {
      const { findings } = await finds(t, toml, code, text);
      t.equal(findings[0]?.place, 'umbel.toml:2');
    } finally {
      for (const [name, value] of before) redis.cli('CONFIG', 'SET', name, value);
    }
  };
  await silent(t, folder(t, toml), 'Redis');
  await withConfig({ 'maxmemory-policy': 'allkeys-lru' }, 'REDIS_EVICTION', /must be noeviction, got allkeys-lru/);
  await withConfig({ appendonly: 'no' }, 'REDIS_NOT_PERSISTENT', /appendonly must be yes, got no, and no snapshots/);
  await withConfig({ appendonly: 'no', save: '60 1' }, 'REDIS_SNAPSHOTS_ONLY', /got no, and snapshots/);
  await withConfig({ appendfsync: 'no' }, 'REDIS_FSYNC_OFF', /appendfsync/);
  await withConfig({ timeout: '10' }, 'REDIS_IDLE_TIMEOUT', /got 10 /);
  await withConfig(
    { 'client-output-buffer-limit': 'pubsub 1000 1000 1' },
    'REDIS_OUTPUT_BUFFER',
    /pubsub must be 0 or at least 8 MiB, got 1000 bytes/,
  );
  const used = Number(/used_memory:(\d+)/.exec(redis.cli('INFO', 'memory'))?.[1]);
  await withConfig({ maxmemory: String(used + 40_000) }, 'REDIS_MEMORY', /used memory must stay well below/);

  await finds(t, `[broker]\nurl = "${redis.url(99)}"`, 'SERVER_HAS_NOT', /the database of the URL must be one that the server has, got 99/);
  await finds(
    t,
    `[broker]\nurl = "redis://nobody:wrong@127.0.0.1:${redis.port}/0"`,
    'SERVER_REFUSES_LOGIN',
    /does not accept the user and password/,
  );
  redis.cli('ACL', 'SETUSER', 'weak', 'on', '>secret', '~*', '&*', '+@all', '-multi');
  await finds(
    t,
    `[broker]\nurl = "redis://weak:secret@127.0.0.1:${redis.port}/0"`,
    'SERVER_REFUSES_RIGHTS',
    /lacks a right that is needed/,
  );
  await finds(t, `[broker]\nurl = "redis://127.0.0.1:1/0"`, 'SERVER_UNREACHABLE', /does not answer/);
  redis.cli('REPLICAOF', '127.0.0.1', '1');
  await finds(t, toml, 'REDIS_REPLICA', /is a replica/);
  redis.cli('REPLICAOF', 'NO', 'ONE');
  await finds(t, `${toml}\n[result]\nbackend = "${redis.url(99)}"`, 'SERVER_HAS_NOT', /got 99/);

  const peers = `${toml}\ntransport_options = { visibility_timeout = 60 }`;
  await finds(t, `${peers}\n[task]\ntime_limit = 600`, 'VISIBILITY_BELOW_LIMIT', /above the time limit of tasks\.add, 600 s, got 60 s/, []);
  const sentMs = Date.now();
  await send(folder(t, toml), 'tasks.add', '--args', '[1, 2]', '--countdown', '3600');
  redis.cli('LPUSH', 'other', '{}');
  const far = await look(['doctor', '--no-modules'], { cwd: folder(t, peers) });
  t.same(far.codes.toSorted(), ['NO_WORKER', 'VISIBILITY_BELOW_ETA']);
  const eta = far.findings.find(({ code }) => code === 'VISIBILITY_BELOW_ETA');
  t.equal(eta?.place, 'umbel.toml:3');
  const stillSeconds = Number(/(\d+) s for a task that is there now, got 60 s/.exec(eta?.text ?? '')?.[1]);
  const passedSeconds = (Date.now() - sentMs) / 1000;
  t.ok(stillSeconds <= 3600 && stillSeconds >= 3599 - passedSeconds, `${stillSeconds} s, ${passedSeconds} s after it was sent`);
  await finds(t, toml, 'NO_WORKER', /got 1 in celery and no worker/);
  t.same((await look(['doctor', '--no-modules', '-Q', 'mail'], { cwd: folder(t, toml) })).codes, [], 'of its own queues only');

  // As a Python worker waits; then the wait for the ETA is its business, and the queue has a worker.
  const python = connect(redis.port, '127.0.0.1').setEncoding('utf8');
  t.teardown(() => python.destroy());
  python.write('BRPOP no-such-list 0\r\n');
  while (!redis.cli('CLIENT', 'LIST').includes('cmd=brpop')) await new Promise(setImmediate);
  t.same(
    (await look(['doctor', '--no-modules'], { cwd: folder(t, toml) })).codes,
    [],
    'an hour is within the visibility timeout of an hour',
  );
  python.destroy();

  redis.cli('FLUSHALL');
  redis.cli('HSET', 'unacked', 'umbel-00112233445566ff.1', '[{},"","celery"]');
  redis.cli('ZADD', 'unacked_index', '1', 'umbel-00112233445566ff.1');
  await finds(t, toml, 'HELD_BY_THE_DEAD', /got 1 held by others/);
  const changes = (): string | undefined => /rdb_changes_since_last_save:(\d+)/.exec(redis.cli('INFO', 'persistence'))?.[1];
  const before = changes();
  await look(['doctor', '--no-modules'], { cwd: folder(t, toml) });
  t.equal(changes(), before, 'it has changed nothing');
});

t.test('a cluster', async (t) => {
  const cluster = await RedisServer.start(t, { config: { ...safe, 'cluster-enabled': 'yes' } });
  await finds(t, `[broker]\nurl = "${cluster.url()}"`, 'REDIS_CLUSTER', /Redis Cluster is not supported/);
});

t.test('what no server here will say', async (t) => {
  const well: RedisSurvey = {
    displayUrl: 'redis://h',
    version: '7.0.1',
    majorVersion: 7,
    minorVersion: 0,
    maxmemoryBytes: 0,
    usedBytes: 1,
    maxmemoryPolicy: 'noeviction',
    appendOnly: true,
    appendFsync: 'everysec',
    snapshots: false,
    saveFailure: null,
    idleTimeoutSeconds: 0,
    clients: 3,
    maxClients: 10_000,
    outputBuffers: [],
    replicas: 0,
    replicasReadOnly: false,
    blockedInPop: 0,
    clockSkewMs: -3,
    clockErrorMs: 2,
  };
  const codes = (change: Partial<RedisSurvey>): readonly string[] =>
    [...redisServer({ ...well, ...change }, 'here')].map(({ code }) => code);
  t.same(codes({}), []);
  t.same(codes({ clockSkewMs: -2500 }), ['CLOCK_SKEW']);
  t.same(codes({ clockSkewMs: 2500, clockErrorMs: 1000 }), [], 'the question took that long');
  t.same(codes({ version: '6.0.16', majorVersion: 6 }), ['REDIS_OLD']);
  t.same(codes({ replicas: 2 }), ['REDIS_REPLICAS_WRITABLE']);
  t.same(codes({ clients: 9500 }), ['REDIS_CLIENTS']);
  t.same(codes({ saveFailure: 'rdb_last_bgsave_status err' }), ['REDIS_SAVE_FAILED']);
});

t.test('Redis with TLS', { skip: noCertificates }, async (t) => {
  const path = certificates(t, 'redis.test');
  const tls = {
    'tls-cert-file': path('server.pem'),
    'tls-key-file': path('server.key'),
    'tls-ca-cert-file': path('ca.pem'),
    'tls-port': '0',
  };
  const redis = await RedisServer.start(t, { config: { ...safe, ...tls, 'tls-auth-clients': 'no' } });
  const port = await freePort();
  redis.cli('CONFIG', 'SET', 'tls-port', String(port));
  const url = `rediss://127.0.0.1:${port}/0?ssl_ca_certs=${path('ca.pem')}&ssl_check_hostname=false`;
  await silent(t, folder(t, `[broker]\nurl = "${url}"\n[result]\nbackend = "${redis.url(1)}"`), 'TLS');
});

t.test('RabbitMQ', async (t) => {
  const rabbit = await RabbitmqServer.start(t);
  const vhost = async (name: string): Promise<string> => {
    await rabbit.control.addVhost(name);
    return `amqp://guest:guest@127.0.0.1:${rabbit.port}/${name}`;
  };
  const url = await vhost('well');
  const toml = `[broker]\nurl = "${url}"`;
  await silent(t, folder(t, toml), 'RabbitMQ, and nothing in it yet');
  t.equal(await rabbit.control.list('queues', ['name'], 'well'), '', 'it has declared nothing');

  await finds(t, `[broker]\nurl = "amqp://guest:guest@127.0.0.1:${rabbit.port}/none"`, 'RABBITMQ_VHOST', /there is none of that name/);
  await finds(t, `[broker]\nurl = "amqp://guest:wrong@127.0.0.1:${rabbit.port}/well"`, 'SERVER_REFUSES_LOGIN', /does not accept/);
  await finds(t, `[broker]\nurl = "amqp://guest:guest@127.0.0.1:1/well"`, 'SERVER_UNREACHABLE', /ECONNREFUSED/);

  const limits = `${toml}\n[task]\nacks_late = true\ntime_limit = 3600`;
  await finds(t, limits, 'LIMIT_BEYOND_CONSUMER_TIMEOUT', /1800 s, RabbitMQ's default; AMQP does not tell.*got 3600 s/);
  t.same(
    (await look(['doctor', '--no-modules', '--consumer-timeout', '7200', '--prefetch-multiplier', '1'], { cwd: folder(t, limits) })).codes,
    [],
  );
  t.same((await look(['doctor', '--no-modules', '--consumer-timeout', '0'], { cwd: folder(t, limits) })).codes, []);
  await finds(t, `${toml}\n[task]\ntime_limit = 900`, 'PREFETCH_BEYOND_CONSUMER_TIMEOUT', /3 tasks of up to 900 s/);
  await finds(t, `${toml}\npark_after_seconds = 2000`, 'PARK_BEYOND_CONSUMER_TIMEOUT', /got 2000 s/);
  await finds(t, `${toml}\n[queues.there]\nno_declare = true`, 'RABBITMQ_NO_QUEUE', /queue there must be on the server/);
  await finds(t, `${toml}\n[queues."amq.mine"]`, 'RABBITMQ_RESERVED_NAME', /must not begin with 'amq\.'.*got queue amq\.mine/);
  await finds(t, toml, 'PARK_BEYOND_CONSUMER_TIMEOUT', /got \d+ s/, ['--no-modules', '--consumer-timeout', '60']);
  t.notMatch(findingTable.PARK_BEYOND_CONSUMER_TIMEOUT.fix, /leave it out/, 'nothing has been said');
  const lost = await finds(
    t,
    `${toml}\n[queues.other]\n[queues.q]\nexchange = "e"\nqueue_arguments = { x-dead-letter-exchange = "dlx" }`,
    'DEAD_LETTERS_NOWHERE',
    /of queue q must be on the server, got none called dlx/,
  );
  t.match(lost.findings[0]?.place, /umbel\.toml:6$/);
  const straight = (target: string): string =>
    `${toml}\n[queues.q]\nqueue_arguments = { x-dead-letter-exchange = "", x-dead-letter-routing-key = "${target}" }\n[queues.dlq]`;
  const gone = await finds(
    t,
    straight('nowhere'),
    'DEAD_LETTERS_NOWHERE',
    /of queue q go to must be on the server, got none called nowhere/,
  );
  t.match(gone.findings[0]?.place, /umbel\.toml:4$/);
  await silent(t, folder(t, straight('dlq')), 'the worker declares the queue of dead letters itself');
  const through = '[queues.q]\nqueue_arguments = { x-dead-letter-exchange = "dlx", x-dead-letter-routing-key = "dlq" }';
  await silent(t, folder(t, `${toml}\n${through}\n[queues.dlq]\nexchange = "dlx"`), 'and its exchange');

  await rabbit.control.addUser('weak', 'secret');
  await rabbit.control.evaluate(
    'rabbit_auth_backend_internal:set_permissions(<<"weak">>, <<"well">>, <<"^$">>, <<"^$">>, <<"^$">>, <<"test">>)',
  );
  const weak = await look(['doctor', '--no-modules'], {
    cwd: folder(t, `[broker]\nurl = "amqp://weak:secret@127.0.0.1:${rabbit.port}/well"`),
  });
  t.same([...new Set(weak.codes)], ['SERVER_REFUSES_RIGHTS']);

  const differs = `[broker]\nurl = "${await vhost('differs')}"`;
  await send(folder(t, differs), 'tasks.add', '--args', '[1, 2]');
  await finds(t, differs, 'NO_WORKER', /got 1 in celery and no consumer/);
  await finds(t, differs, 'NO_WORKER', /got 1 in celery/).then(() => t.pass('the message is still there'));
  await rabbit.control.allow('weak', 'differs', '.*', '^$');
  const unread = await look(['doctor', '--no-modules'], {
    cwd: folder(t, `[broker]\nurl = "amqp://weak:secret@127.0.0.1:${rabbit.port}/differs"`),
  });
  t.match(unread.findings[0], { code: 'SERVER_REFUSES_RIGHTS', text: /consume from queue celery: ACCESS_REFUSED - access to queue/ });
  const other = await look(['doctor', '--no-modules'], { cwd: folder(t, `${differs}\n[queues.celery]\nmax_priority = 5`) });
  t.same(other.codes, ['RABBITMQ_DIFFERS', 'NO_WORKER']);
  t.match(other.findings[0], { text: /queue celery .*x-max-priority/, place: /^umbel\.toml:[34]$/ });
  const topic = await look(['doctor', '--no-modules'], { cwd: folder(t, `${differs}\n[queues.celery]\nexchange_type = "topic"`) });
  t.match(topic.findings.find(({ code }) => code === 'RABBITMQ_DIFFERS')?.text, /exchange celery .*type/);
  const own = await look(['doctor', '--no-modules'], { cwd: folder(t, `${differs}\n[queues.celery]\nexclusive = true`) });
  t.match(own.findings[0], { code: 'RABBITMQ_DIFFERS', text: /queue celery .*: exclusive is 'false' there and 'true' here/ });

  await rabbit.control.setMemoryLimit({ bytes: 1 });
  while (!(await rabbit.control.evaluate('rabbit_alarm:get_alarms()')).includes('memory'));
  await finds(t, toml, 'RABBITMQ_BLOCKED', /low on memory/);
  await rabbit.control.setMemoryLimit({ fraction: 0.4 });
});

t.test('embedded', async (t) => {
  const cwd = folder(t, '[broker]\nurl = "sqlite:///umbel.db"');
  await send(cwd, 'tasks.add', '--args', '[1, 2]');
  const path = join(cwd, 'umbel.db');
  const hash = () => createHash('sha256').update(readFileSync(path)).digest('hex');
  const [before, files] = [hash(), readdirSync(cwd).toSorted()];
  t.same((await look(['doctor', '--no-modules'], { cwd })).codes, ['NO_WORKER']);
  t.equal(hash(), before, 'it has changed nothing');
  t.same(
    readdirSync(cwd)
      .filter((name) => !/-(wal|shm)$/.test(name))
      .toSorted(),
    files.filter((name) => !/-(wal|shm)$/.test(name)),
  );

  const database = new DatabaseSync(path);
  database.exec("INSERT INTO umbel_consumer (id, host, pid, started, lease_until) VALUES (77, 'elsewhere', 1, NULL, 0)");
  database.exec('UPDATE kombu_message SET visible = 0, umbel_owner = 77');
  t.same((await look(['doctor', '--no-modules'], { cwd })).codes, ['HELD_BY_THE_DEAD']);
  database.exec('DELETE FROM kombu_message; PRAGMA journal_mode = DELETE');
  database.close();
  t.same((await look(['doctor', '--no-modules'], { cwd })).codes, ['SQLITE_NOT_WAL']);
  const again = new DatabaseSync(path);
  again.exec('PRAGMA journal_mode = WAL');
  again.close();
  await silent(t, cwd, 'embedded');
  const bytes = readFileSync(path);
  for (let at = 4096; at < Math.min(bytes.length, 20_000); at += 64) bytes.fill(0xff, at, at + 32);
  writeFileSync(path, bytes);
  t.same((await look(['doctor', '--no-modules'], { cwd })).codes, ['SQLITE_DAMAGED']);
  await silent(t, folder(t, ''), 'no file yet');
  const fresh = folder(t, '[broker]\nurl = "sqlite:///umbel.db"');
  writeFileSync(join(fresh, 'umbel.db'), '');
  await silent(t, fresh, 'an empty file, made for its owner');

  const memory = mkdtempSync('/dev/shm/umbel-doctor-');
  t.teardown(() => rmSync(memory, { recursive: true }));
  const { codes } = await look(['doctor', '--no-modules'], { cwd: folder(t, `[broker]\nurl = "sqlite:///${memory}/umbel.db"`) });
  t.ok(codes.includes('SQLITE_IN_MEMORY'), codes.join());
});

t.test('nodes of one file', async (t) => {
  const cwd = folder(
    t,
    '[broker]\nurl = "sqlite:///umbel.db"\n[task]\nroutes = { "tasks.add" = "mail" }\n[node.w1]\nconcurrency = 2\nqueues = ["celery"]\npidfile = "w1.pid"\nlogfile = "w1.log"\n[node.w2]\nqueues = ["mail"]\npidfile = "w2.pid"\nlogfile = "w2.log"',
  );
  await silent(t, cwd, 'nodes');
});

t.test('the limits of this process', async (t) => {
  const cwd = folder(t, '');
  const main = resolve(import.meta.dirname, '../../src/main.ts');
  const script = `ulimit -n 100; exec "$0" "$@"`;
  const run = spawnSync('sh', ['-c', script, process.execPath, main, 'doctor', '-j', '-c', '20'], {
    cwd,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: cwd, XDG_STATE_HOME: cwd, C_FORCE_ROOT: '1' },
  });
  t.equal(run.status, 2, run.stderr);
  const findings = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(
    findings.find(({ code }) => code === 'OPEN_FILES_LIMIT'),
    { text: '20 children need at least 184 open files, got a limit of 100', place: '--concurrency' },
  );
});

t.test('a sentinel', async (t) => {
  const master = await RedisServer.start(t, { config: safe });
  const port = await freePort();
  const home = temporaryFolder('sentinel');
  const path = join(home, 'sentinel.conf');
  writeFileSync(path, `port ${port}\nbind 127.0.0.1\ndir ${home}\nsentinel monitor mymaster 127.0.0.1 ${master.port} 1\n`);
  const sentinel = spawn(redisProgram, [path, '--sentinel'], { stdio: 'ignore' });
  endsWithUs(sentinel, { folder: home });
  t.teardown(async () => {
    const gone = new Promise((resolve) => sentinel.once('exit', resolve));
    sentinel.kill('SIGKILL');
    await gone;
    rmSync(home, { recursive: true });
  });
  while (spawnSync('redis-cli', ['-p', String(port), 'PING'], { encoding: 'utf8' }).stdout.trim() !== 'PONG');
  const url = `[broker]\nurl = "sentinel://127.0.0.1:${port}/0"\ntransport_options = { master_name = "NAME" }`;
  await silent(t, folder(t, url.replace('NAME', 'mymaster')), 'sentinel');
});
