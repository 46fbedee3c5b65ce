/** The limits of the machine, from files like those of the kernel, beside what a worker needs. */
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.ts';
import { sqliteFile } from '../../src/doctor/embedded.ts';
import { machine } from '../../src/doctor/machine.ts';
import { rabbitmqBroker } from '../../src/doctor/rabbitmq.ts';
import { unreachable } from '../../src/doctor/reach.ts';
import { subjectOf } from '../../src/doctor/subject.ts';
import { unitChecks } from '../../src/doctor/unit.ts';
import { parseUnit } from '../../src/doctor/unit-file.ts';
import { RedisFailure } from '../../src/driver/redis-failure.ts';
import type { SqliteSurvey } from '../../src/driver/sqlite-survey.ts';
import { UmbelError } from '../../src/errors.ts';
import { machineLimits } from '../../src/os/machine-limits.ts';

function subject(flags: Readonly<Record<string, unknown>> = {}) {
  return subjectOf(loadConfig({ flags: { worker_tasks: ['tasks.ts'], ...flags }, env: { HOME: '/nowhere' }, cwd: '/' }), null, {});
}

const none = { openFiles: null, processes: null, cgroupMemoryBytes: null, cgroupPids: null };
const codes = (findings: Iterable<{ readonly code: string }>) => [...findings].map(({ code }) => code);

t.test('limits are those of the process and the least of all cgroups around it', async (t) => {
  const root = t.testdir({
    proc: {
      self: {
        limits:
          'Limit                     Soft Limit           Hard Limit           Units\nMax processes             unlimited            unlimited            processes\nMax open files            1024                 4096                 files\n',
        cgroup: '0::/system.slice/umbel.service\n',
      },
    },
    cgroup: {
      'system.slice': { 'memory.max': '4000\n', 'pids.max': 'max\n', 'umbel.service': { 'memory.max': '9000\n', 'pids.max': '50\n' } },
    },
  });
  t.same(machineLimits({ proc: join(root, 'proc'), cgroup: join(root, 'cgroup') }), {
    openFiles: 1024,
    processes: null,
    cgroupMemoryBytes: 4000,
    cgroupPids: 50,
  });
  t.same(machineLimits({ proc: join(root, 'none'), cgroup: join(root, 'none') }), none);
});

t.test('what the children need', async (t) => {
  const four = subject({ worker_concurrency: 4 });
  t.same(codes(machine(four, none, null)), []);
  t.same(codes(machine(four, { ...none, openFiles: 88 }, null)), []);
  t.same(codes(machine(four, { ...none, openFiles: 87 }, null)), ['OPEN_FILES_LIMIT']);
  t.same(codes(machine(four, { ...none, cgroupPids: 59 }, null)), ['PROCESS_LIMIT']);
  t.same(codes(machine(four, { ...none, processes: 59 }, null)), ['PROCESS_LIMIT']);
  t.same(codes(machine(four, { ...none, cgroupMemoryBytes: 288 * 1024 * 1024 }, null)), []);
  t.same(codes(machine(four, { ...none, cgroupMemoryBytes: 287 * 1024 * 1024 }, null)), ['CGROUP_MEMORY']);
  const limited = subject({ worker_concurrency: 4, worker_max_memory_per_child: 1024 * 1024 });
  t.match(
    [...machine(limited, { ...none, cgroupMemoryBytes: 4e9 }, null)],
    [{ code: 'CGROUP_MEMORY', text: /4 children may have 4192 MiB/, place: '--max-memory-per-child' }],
  );
  t.same(codes(machine(subject({ worker_autoscale: { max: 40, min: 1 } }), { ...none, openFiles: 100 }, null)), ['OPEN_FILES_LIMIT']);
  t.same(codes(machine(subject({ worker_pool: 'solo' }), { ...none, openFiles: 64, cgroupPids: 12 }, null)), []);
  const unit = parseUnit('[Service]\nLimitNOFILE=65536\nTasksMax=20\nMemoryMax=100M\n', 'u');
  t.match(
    [...machine(four, { ...none, openFiles: 10 }, unit)],
    [{ code: 'PROCESS_LIMIT' }, { code: 'CGROUP_MEMORY', text: /got 100 MiB/ }],
    'those of the unit count',
  );
});

t.test('what a unit does not say, or leaves open, is not taken from whoever asks', async (t) => {
  const four = subject({ worker_concurrency: 4 });
  const little = { openFiles: 10, processes: 10, cgroupMemoryBytes: 1000, cgroupPids: 10 };
  const unit = (text: string) => parseUnit(`[Service]\n${text}`, 'u.service');
  t.same(codes(machine(four, little, null)), ['OPEN_FILES_LIMIT', 'PROCESS_LIMIT', 'PROCESS_LIMIT', 'CGROUP_MEMORY']);
  t.same(codes(machine(four, little, unit(''))), []);
  t.same(codes(machine(four, little, unit('LimitNOFILE=infinity\nTasksMax=15%\nMemoryMax=infinity'))), []);
  t.same(codes(machine(four, little, unit('LimitNOFILE=10:1000'))), [], 'Node takes the hard limit');
  t.match([...machine(four, little, unit('LimitNOFILE=10:20'))], [{ code: 'OPEN_FILES_LIMIT', place: 'u.service:2' }]);
});

t.test('units: spans of time, drop-ins, continued lines', async (t) => {
  const unit = parseUnit(
    '# /lib/systemd/system/u.service\n[Unit]\nTimeoutStopSec=1\n[Service]\nTimeoutStopSec=5min 20s\nWatchdogSec=\\\n  1min\n# /etc/systemd/system/u.service.d/o.conf\n[Service]\nWatchdogSec=500ms\nUser=\n',
    'u',
  );
  t.equal(unit.seconds('TimeoutStopSec'), 320);
  t.equal(unit.place('TimeoutStopSec'), '/lib/systemd/system/u.service:4');
  t.equal(unit.seconds('WatchdogSec'), 0.5);
  t.equal(unit.place('WatchdogSec'), '/etc/systemd/system/u.service.d/o.conf:2');
  t.equal(unit.get('User'), null);
  const service = (text: string) => parseUnit(`[Service]\nUser=nobody\nType=notify\nRestart=on-failure\nOOMPolicy=continue\n${text}`, 'u');
  t.same(codes(unitChecks(subject(), service('TimeoutStopSec=infinity'))), []);
  t.same(codes(unitChecks(subject(), service(''))), ['UNIT_STOP_TIMEOUT'], "systemd's 90 s, and no bound on tasks");
  t.match([...unitChecks(subject(), service('TimeoutSec=60'))], [{ place: 'u:6', text: /below TimeoutSec, 60 s/ }], 'both timeouts in one');
  t.same(codes(unitChecks(subject({ worker_pool: 'solo' }), service('TimeoutStopSec=infinity\nWatchdogSec=60'))), ['UNIT_WATCHDOG_SOLO']);
});

t.test('files of the embedded broker', async (t) => {
  const well: SqliteSurvey = {
    path: '/x/u.db',
    exists: true,
    writable: true,
    walBytes: 0,
    journalMode: 'wal',
    damage: [],
    failure: null,
    fileSystem: null,
    freeBytes: 1e12,
  };
  const of = (change: Partial<SqliteSurvey>, isNamed = true) => codes(sqliteFile({ ...well, ...change }, 'here', isNamed));
  t.same(of({}), []);
  t.same(of({ fileSystem: { name: 'nfs', remote: true, inMemory: false } }), ['SQLITE_REMOTE']);
  t.same(of({ freeBytes: 100 * 1024 * 1024 }), ['DISK_NEARLY_FULL']);
  t.same(of({ walBytes: 300 * 1024 * 1024 }), ['SQLITE_WAL_LARGE']);
  t.same(of({ writable: false }), ['FILE_UNWRITABLE']);
  t.same(of({ exists: false, writable: false, journalMode: null }), []);
  t.same(of({ exists: false, freeBytes: null, journalMode: null }), ['FOLDER_MISSING']);
  t.same(of({ exists: false, freeBytes: null, journalMode: null }, false), [], 'its first worker makes it');
});

t.test('versions of RabbitMQ that are not here', async (t) => {
  const report = { kind: 'rabbitmq', displayUrl: 'amqp://h', blocked: null, publishRefusal: null, queues: [], exchanges: [] } as const;
  const server = (version: string) => {
    const [majorVersion = 0, minorVersion = 0] = version.split('.').map(Number);
    return { product: 'RabbitMQ', version, majorVersion, minorVersion, clusterName: null };
  };
  const params = { consumerTimeoutSeconds: null, times: [] };
  t.same(codes(rabbitmqBroker(subject(), { ...report, server: server('3.7.28') }, params)), ['RABBITMQ_OLD']);
  t.same(codes(rabbitmqBroker(subject(), { ...report, server: server('3.12.1') }, params)), []);
  const transient = subject({ task_queues: { q: { durable: false } } });
  const queues = [
    { name: 'q', exists: true, ready: 0, consumers: 1, difference: null, denied: null, consumeRefusal: null, deadLetterQueue: null },
  ];
  t.same(codes(rabbitmqBroker(transient, { ...report, server: server('4.0.2'), queues }, params)), ['RABBITMQ_TRANSIENT_QUEUE']);
  t.same(codes(rabbitmqBroker(transient, { ...report, server: server('3.13.0'), queues }, params)), []);
});

t.test('why a server cannot be asked', async (t) => {
  const because = (kind: ConstructorParameters<typeof RedisFailure>[0]) =>
    unreachable(new UmbelError('BROKER_UNAVAILABLE', 'no', { cause: new RedisFailure(kind, 'why') }), 'here').code;
  t.equal(because('version'), 'REDIS_TOO_OLD');
  t.equal(because('loading'), 'SERVER_UNREACHABLE');
  t.throws(() => unreachable(new TypeError('defect'), 'here'), /defect/);
});
