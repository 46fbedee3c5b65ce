/** `umbel multi` and workers in the background, on the embedded broker: start, wait for a running task, restart, nodes that fail. */
import { mkdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { BackgroundFolder } from './background-folder.ts';
import { liveTasks } from './live-tasks.ts';
import { allGone, isRunning, processesIn } from './live-worker.ts';

const files = ['--pidfile=run/%n.pid', '--logfile=log/%n%I.log'];
const options = ['-A', 'tasks.ts', '-l', 'info', '-c', '1', ...files];

function newFolder(t: Test): BackgroundFolder {
  const folder = new BackgroundFolder(t);
  folder.write('tasks.ts', liveTasks);
  return folder;
}

const multi = (...words: readonly string[]): string[] => ['multi', words[0] ?? '', '--nosplash', ...words.slice(1)];
/** Names end in the name of this machine. */
const named = (text: string): string => text.replaceAll(/@[^\s:]+/g, '@host').replaceAll(/\d{3,}/g, 'PID');

void t.test('two nodes: start, run, wait for a task, restart, kill', async (t) => {
  const folder = newFolder(t);
  const started = await folder.umbel(multi('start', 'w1', 'w2', ...options));
  t.match(started, { status: 0, signal: null });
  t.equal(named(started.stdout), '> Starting nodes...\n\t> w1@host: OK\n\t> w2@host: OK\n');
  const first = folder.pids();
  t.same([first.length, first.every(isRunning)], [2, true], 'ready when the command has ended');
  t.match(await folder.umbel(['call', 'tasks.add', '--args', '[2, 3]', '--wait', '30']), { status: 0, stdout: '5\n' });

  const taken = await folder.umbel(multi('start', 'w1', ...options));
  t.equal(taken.status, 1, 'a pid file that is taken');
  t.equal(named(taken.stdout), '> Starting nodes...\n\t> w1@host: * Child terminated with exit code 73\nFAILED\n');
  t.match(taken.stderr, /\[PIDFILE_EXISTS\]\n.*w1@.* ended with status 73 before it was ready/);
  t.same(folder.pids(), first);

  const { stdout: sent } = await folder.umbel(['call', 'tasks.gate', '--args', JSON.stringify([folder.file('gate')])]);
  const id = sent.trim();
  const isTaken = (): boolean => ['w1', 'w2'].some((name) => folder.read(`log/${name}.log`).includes(`tasks.gate[${id}] received`));
  await eventually(t, 'one of them has it', isTaken);
  const stopping = folder.start(multi('stopwait', 'w1', 'w2', ...options));
  // What it says has its end when it says more, ten seconds later, and each time it asks it starts a program.
  const says = await stopping.line(/runs tasks\.gate/, 60_000);
  t.match(says, new RegExp(`\\((${first.join('|')})\\) runs tasks\\.gate\\[${id}\\]`), 'what it waits for');
  folder.write('gate', '');
  t.match(await stopping.end(), { code: 0 });
  t.same(stopping.stdout.filter((line) => /^\t> w.*: OK$/.test(line)).length, 2);
  t.same(folder.pids(), [], 'nothing is left');
  t.match(await folder.umbel(['result', id]), { status: 0, stdout: /first/ });

  const both = await folder.umbel(multi('restart', 'w1', 'w2', ...options));
  t.equal(named(both.stdout), '> Restarting node w1@host: OK\n> Restarting node w2@host: OK\n', 'those that are down are started');
  const second = folder.pids();
  const rolled = await folder.umbel(multi('restart', 'w1', 'w2', '--rolling', '-QUIT', ...options));
  t.equal(rolled.status, 0);
  t.match(
    named(rolled.stdout).replaceAll(/\.{3,}/g, '...'),
    '> Stopping nodes...\n\t> w1@host: QUIT -> PID\n> Waiting for 1 node -> PID...\n\t> w1@host: OK\n> Restarting node w1@host: OK\n\n> Stopping nodes...\n\t> w2@host: QUIT',
    'one after the other',
  );
  t.same(
    second.filter((pid) => folder.pids().includes(pid)),
    [],
  );

  const third = folder.pids();
  const killed = await folder.umbel(multi('kill', 'w1', 'w2', ...options));
  t.equal(named(killed.stdout), 'Sending KILL to node w1@host (PID)\nSending KILL to node w2@host (PID)\n');
  t.same(await allGone(third), [], 'which it has not waited for');
  const down = await folder.umbel(multi('stopwait', 'w1', 'w2', 'w3', ...options));
  t.equal(down.status, 0);
  t.match(down.stdout, /^> w1@.*: DOWN \(stale pidfile .*w1\.pid, pid \d+\)\n> w2@.*stale.*\n> w3@.*: DOWN\n$/);
});

void t.test('a node that fails: status, reason, the end of its log, nothing left', async (t) => {
  const folder = newFolder(t);
  folder.write('broken.js', 'export const x = ;\n');
  folder.write('dies.js', 'process.exit(3);\n');
  folder.write('umbel.toml', '[worker]\nmax_start_failures = 1\n');
  const one = await folder.umbel(multi('start', 'w1', 'w2', ...options, '-A:w2', 'broken.js'));
  t.equal(one.status, 1);
  t.equal(named(one.stdout), '> Starting nodes...\n\t> w1@host: OK\n\t> w2@host: * Child terminated with exit code 65\nFAILED\n');
  t.match(one.stderr, /\[TASK_MODULE_BROKEN\]/);
  t.equal(folder.pids().length, 1, 'the other one runs');

  const dies = await folder.umbel(multi('start', 'w3', ...options, '-A', 'dies.js'));
  t.equal(dies.status, 1);
  t.match(dies.stderr, /\[CHILD_CANNOT_START\]/);
  const rolling = await folder.umbel(multi('restart', 'w4', 'w1', '--rolling', ...options, '-A:w4', 'broken.js'));
  t.equal(rolling.status, 1);
  t.match(rolling.stderr, /Not restarted, because w4@.* failed: w1@/);
  t.equal(folder.pids().length, 1, 'one that fails stops the others from being restarted');

  folder.write('log2', 'no folder');
  const log = await folder.umbel(multi('start', 'w5', '-A', 'tasks.ts', '--pidfile=run/%n.pid', '--logfile=log2/%n.log'));
  t.equal(log.status, 1);
  t.match(log.stderr, /\[FILE_CANNOT_CREATE\]/);
  const deep = await folder.umbel(multi('start', 'w5', '-A', 'tasks.ts', '--pidfile=run/%n.pid', '--logfile=log2/x/%n.log'));
  t.match(deep, { status: 1, stderr: /its folders could not be made/ });

  folder.write(
    'hangs.mjs',
    `import { existsSync } from 'node:fs';
console.log('is loading');
while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 5));
export const add = (a, b) => a + b;
`,
  );
  const starting = folder.start(multi('start', 'w6', ...options, '-A', 'hangs.mjs'));
  const pid = await folder.pidIn('run/w6.pid');
  process.kill(pid, 'SIGKILL');
  t.match(await starting.end(), { code: 1 });
  t.match(starting.lines.join('\n'), /w6@.*Child terminated with exit code 137\nFAILED\n.*w6@.* ended with SIGKILL before it was ready/s);
  t.match(await folder.umbel(multi('stop', 'w6', ...options)), {
    status: 0,
    stdout: new RegExp(`w6@.*DOWN .stale pidfile .*w6.pid, pid ${pid}`),
  });
  folder.write('go', '');
  t.match(await folder.umbel(multi('start', 'w6', ...options, '-A', 'hangs.mjs')), { status: 0 }, 'over its stale pid file');
  t.match(folder.read('log/w6.log'), `Stale pidfile exists - Removing it. (${folder.file('run/w6.pid')}, pid ${pid})`);
  t.match(await folder.umbel(multi('stopwait', 'w1', 'w6', ...options)), { status: 0 });
  t.same(folder.pids(), []);
  t.same(await allGone(processesIn(folder.path)), [], 'no process of those that failed is left either');
});

void t.test('--detach: user, groups, umask, the end of the log', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const folder = newFolder(t);
  folder.write(
    'tasks.js',
    'export const who = () => [process.getuid(), process.getgid(), process.getgroups().join(), process.env.USER, process.umask()];\n',
  );
  mkdirSync(folder.file('open/run'), { recursive: true });
  await folder.run('chmod', ['-R', 'a+rwX', folder.path]);
  const { stdout: ids } = await folder.run('id', ['daemon']);
  const [uid, gid] = (/uid=(\d+).*?gid=(\d+)/.exec(ids) ?? []).slice(1).map(Number);
  const broker = ['-b', 'sqlite:///open/b.db', '--result-backend', 'sqlite:///open/b.db'];
  const worker = [
    'worker',
    '-D',
    '-A',
    'tasks.js',
    '-c',
    '1',
    '--uid',
    'daemon',
    '--umask',
    '027',
    '--pidfile=run/w.pid',
    '--logfile=open/w.log',
  ];
  const noFolder = await folder.umbel([...worker, ...broker]);
  t.equal(noFolder.status, 73);
  t.match(noFolder.stderr, /FILE_CANNOT_CREATE.*\n.* ended with status 73 before it was ready/);
  mkdirSync(folder.file('run'));
  await folder.run('chmod', ['a+rwx', folder.file('run')]);
  t.match(await folder.umbel([...worker, ...broker]), { status: 0, stdout: '', stderr: '' });
  const { stdout } = await folder.umbel(['call', 'tasks.who', '--wait', '30', ...broker]);
  t.same(JSON.parse(stdout), [uid, gid, String(gid), 'daemon', 0o027]);
  const other = await folder.umbel([...worker, ...broker, '--pidfile=run/o.pid', '--statedb=/proc/nowhere']);
  t.not(other.status, 0);
  t.match(other.stderr, /ended with status \d+ before it was ready/);
  const front = folder.worker(['-D', '-A', 'tasks.js', '-c', '1', ...broker], { env: { UMBEL_FAKEFORK: '1' } });
  await front.ready();
  t.match(await front.stop(), { code: 0 });
});

void t.test('nodes of the configuration: start alone starts them, each with its own', async (t) => {
  const folder = newFolder(t);
  folder.write(
    'umbel.toml',
    '[worker]\ntasks = ["tasks.ts"]\nconcurrency = 1\nloglevel = "info"\nlog_format = "json"\npidfile = "run/%n.pid"\nlogfile = "log/%n.log"\n[node.w1]\nconcurrency = 2\n[node.w2]\nlogfile = "log/second.log"\n',
  );
  t.equal(named((await folder.umbel(['multi', 'names'])).stdout), 'w1@host\nw2@host\n');
  const started = await folder.umbel(multi('start'));
  t.equal(started.status, 0, started.stderr);
  t.equal(folder.pids().length, 2);
  const ready = (file: string): unknown =>
    JSON.parse(
      folder
        .read(file)
        .split('\n')
        .find((line) => line.includes('worker.ready')) ?? '{}',
    );
  t.match(ready('log/w1.log'), { concurrency: 2 });
  t.match(ready('log/second.log'), { concurrency: 1 });
  const before = folder.pids();
  t.match(await folder.umbel(multi('restart', '--rolling')), { status: 0 });
  t.same(
    folder.pids().filter((pid) => before.includes(pid)),
    [],
  );
  t.match(await folder.umbel(multi('stopwait')), { status: 0 });
  t.same(folder.pids(), []);
  t.match(await folder.umbel(multi('stop')), { status: 0, stdout: /w1.*DOWN\n.*w2.*DOWN/ });
});
