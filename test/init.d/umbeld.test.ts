/** The init script through all its verbs, with a program in the place of umbel; as root with another user for the workers. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { eventually } from '../pool/eventually.ts';
import { StandIn } from '../systemd/stand-in.ts';

const script = resolve(import.meta.dirname, '../../init.d/umbeld');
const isRoot = userInfo().uid === 0;
/** Root gives the workers to somebody else, as it does in earnest. */
const user = isRoot ? 'nobody' : userInfo().username;
const unprivileged = isRoot ? false : 'root alone can give files away';

class Scene {
  readonly path: string;
  readonly standIn: StandIn;

  constructor(t: Test) {
    // Not a fixture folder of tap: another user must be able to enter it.
    this.path = mkdtempSync(join(tmpdir(), 'umbel-init-'));
    chmodSync(this.path, 0o755);
    mkdirSync(join(this.path, 'bin'));
    // The stand-in leaves its marks beside itself.
    chmodSync(join(this.path, 'bin'), 0o777);
    this.standIn = new StandIn(join(this.path, 'bin'));
    this.write(`UMBEL_NODES="w1 w2"\nUMBEL_OPTS="-c:w1 3 -Q 'a b'"\n`);
    t.teardown(() => {
      this.run('kill');
      rmSync(this.path, { recursive: true, force: true });
    });
  }

  /** Variables, after those that every test needs. */
  write(text: string): void {
    const files = `UMBEL_USER=${user}\nUMBEL_PID_FILE="${this.path}/run/%n.pid"\nUMBEL_LOG_FILE="${this.path}/log/%n%I.log"\nUMBEL_CREATE_DIRS=1\n`;
    writeFileSync(this.defaults, files + text);
    chmodSync(this.defaults, 0o644);
  }

  get defaults(): string {
    return join(this.path, 'defaults');
  }

  run(verb: string, env: Record<string, string> = {}) {
    const PATH = `${join(this.path, 'bin')}:${process.env.PATH}`;
    const { status, stdout, stderr } = spawnSync(script, verb === '' ? [] : [verb], {
      encoding: 'utf8',
      env: { PATH, UMBELD_DEFAULTS: this.defaults, ...env },
    });
    return { status, text: (stdout + stderr).replaceAll(this.path, '.') };
  }

  /** What umbel was called for, without questions for names of files. */
  calls(): string[] {
    return this.standIn
      .calls()
      .filter((call) => !call.includes('[expand]'))
      .map((call) => call.replaceAll(this.path, '.'));
  }

  pid(node: string): number {
    return Number(readFileSync(this.pidFile(node), 'utf8'));
  }

  pidFile(node: string): string {
    return join(this.path, 'run', `${node}.pid`);
  }
}

const files = '[--logfile=./log/%n%I.log] [--loglevel=info]';
const started = `[w1] [w2] ${files} [-c:w1] [3] [-Q] [a b] [--pidfile=./run/%n.pid]`;

t.test('start, status, graceful, restart, stop', async (t) => {
  const scene = new Scene(t);
  t.same(scene.run('status'), { status: 3, text: 'umbeld: w1 is stopped\numbeld: w2 is stopped\n' });
  t.match(scene.run('start'), { status: 0, text: 'umbeld: made ./log\numbeld: made ./run\n' });
  t.same(scene.calls(), [`${user} / [multi] [start] ${started}`]);
  const [one, two] = [scene.pid('w1'), scene.pid('w2')];
  t.same(scene.run('status'), { status: 0, text: `umbeld: w1 runs (pid ${one})\numbeld: w2 runs (pid ${two})\n` });

  t.match(scene.run('start'), { status: 0, text: /all nodes run already/ });
  t.same(scene.calls(), [], 'what runs is not started again');

  for (const [count, verb] of ['graceful', 'reload', 'force-reload'].entries()) {
    const hup = scene.run(verb);
    t.equal(hup.status, 0, verb);
    t.match(hup.text, `umbeld: HUP -> ${one}\n`);
    t.match(hup.text, `umbeld: HUP -> ${two}\n`);
    for (const node of ['w1', 'w2']) {
      const marks = `${scene.pidFile(node)}.hup`;
      await eventually(t, `${node} got HUP`, () => existsSync(marks) && readFileSync(marks, 'utf8') === 'hup\n'.repeat(count + 1));
    }
  }
  t.same([scene.pid('w1'), scene.pid('w2')], [one, two]);

  for (const verb of ['restart', 'try-restart']) {
    t.equal(scene.run(verb).status, 0);
    t.same(scene.calls(), [`${user} / [multi] [restart] ${started}`], verb);
  }
  t.equal(scene.run('stop').status, 0);
  t.same(scene.calls(), [`${user} / [multi] [stopwait] [w1] [w2] [--pidfile=./run/%n.pid]`]);
  t.equal(scene.run('status').status, 3);
  t.match(scene.run('stop'), { status: 0, text: /stopped already/ });
  t.match(scene.run('try-restart'), { status: 0, text: /no node runs/ });
  t.equal(scene.run('graceful').status, 1, 'nobody to tell');
  t.same(scene.calls(), []);
});

t.test('a dead node, an unreadable pid file and a number that belongs to somebody else', async (t) => {
  const scene = new Scene(t);
  scene.run('start');
  const dead = scene.pid('w1');
  process.kill(dead, 'SIGKILL');
  await eventually(t, 'w1 is gone', () => !existsSync(`/proc/${dead}`));
  t.match(scene.run('status'), { status: 1, text: `w1 is dead (pid ${dead})` });
  t.equal(scene.run('graceful').status, 1);
  writeFileSync(scene.pidFile('w1'), 'what?\n');
  t.match(scene.run('status'), { status: 4, text: 'w1 is unknown, no pid in ./run/w1.pid' });
  rmSync(scene.pidFile('w1'));
  t.match(scene.run('status'), { status: 3, text: /w1 is stopped\n.*w2 runs/ });
  scene.standIn.calls();
  t.equal(scene.run('stop').status, 0);
  t.match(scene.calls(), [/stopwait/], 'the other one is stopped');
  if (isRoot) {
    writeFileSync(scene.pidFile('w1'), `${process.pid}\n`);
    t.match(scene.run('status'), { status: 1, text: `w1 is dead (pid ${process.pid})` });
    t.equal(scene.run('graceful').status, 1, 'and no signal for it: this test goes on');
    rmSync(scene.pidFile('w1'));
  }
});

t.test('kill, dryrun, check-config, paths; the status of umbel is ours', async (t) => {
  const scene = new Scene(t);
  t.equal(scene.run('check-paths').status, 0);
  for (const folder of ['run', 'log']) {
    const { mode, uid } = statSync(join(scene.path, folder));
    t.equal(mode & 0o7777, 0o2755);
    if (isRoot) t.not(uid, 0, `${folder} belongs to the workers`);
  }
  scene.run('start');
  scene.calls();
  t.equal(scene.run('kill').status, 0);
  t.same(scene.calls(), [`${user} / [multi] [kill] [w1] [w2] [--pidfile=./run/%n.pid]`]);
  t.equal(scene.run('dryrun').status, 0);
  t.same(scene.calls(), [`${user} / [multi] [start] [w1] [w2] [--verbose] ${started.slice('[w1] [w2] '.length)} in front`]);
  scene.run('kill');
  scene.calls();
  t.equal(scene.run('check-config', { STAND_IN_STATUS: '78' }).status, 78);
  t.same(scene.calls(), [`${user} / [config] [check]`]);
  t.equal(scene.run('check-tasks', { STAND_IN_STATUS: '1', UMBEL_APP: '/srv/a b.ts' }).status, 1);
  t.same(scene.calls(), [`${user} / [--app=/srv/a b.ts] [check]`]);
  t.equal(scene.run('restart', { STAND_IN_STATUS: '73' }).status, 73);
});

t.test('names of Celery, a folder, settings for the workers, and which name is stronger', async (t) => {
  const scene = new Scene(t);
  scene.write(
    'CELERYD_NODES="w3"\nCELERYD_OPTS="-c 4"\nUMBEL_OPTS="-c 5"\nUMBELD_OPTS="-c 6"\nCELERYD_CHDIR=/usr\nCELERYD_LOGLEVEL=debug\nUMBEL_APP="it\'s.ts"\nUMBEL_BROKER_URL=redis://there\nUMBEL_ULIMIT="-n 128"\n',
  );
  t.equal(scene.run('start').status, 0);
  t.same(scene.calls(), [
    `${user} /usr [multi] [start] [w3] [--logfile=./log/%n%I.log] [--loglevel=debug] [--workdir=/usr] [--app=it's.ts] [-c] [6] [--pidfile=./run/%n.pid] redis://there`,
  ]);
  t.match(readFileSync(`/proc/${scene.pid('w3')}/limits`, 'utf8'), /Max open files +128 /);
});

t.test('without names: the nodes of the configuration, kept beside the pid files', async (t) => {
  const scene = new Scene(t);
  scene.write('UMBEL_OPTS="--config=/etc/other.toml"\n');
  const kept = '[--nodes-file=./run/umbeld.nodes] [--pidfile=./run/%n.pid]';
  t.equal(scene.run('start').status, 0);
  t.same(scene.calls(), [`${user} / [multi] [start] ${files} [--config=/etc/other.toml] ${kept}`]);
  t.match(scene.run('status'), { status: 0, text: 'umbeld: celery runs' });
  t.same(
    scene.standIn.calls().map((call) => call.replaceAll(scene.path, '.')),
    [`${user} / [multi] [expand] [./run/%n.pid] ${files} [--config=/etc/other.toml] ${kept}`],
    'the options may name another configuration',
  );
  scene.run('check-tasks');
  scene.run('check-config');
  t.same(scene.calls(), [`${user} / [--config=/etc/other.toml] [check]`, `${user} / [--config=/etc/other.toml] [config] [check]`]);
  t.equal(scene.run('stop').status, 0);
  t.same(scene.calls(), [`${user} / [multi] [stopwait] ${kept}`]);
  scene.write('UMBEL_PID_FILE=/run/there/%n/x.pid\nUMBEL_CREATE_DIRS=0\n');
  scene.run('kill');
  t.same(scene.calls(), [`${user} / [multi] [kill] [--nodes-file=/run/there//umbeld.nodes] [--pidfile=/run/there/%n/x.pid]`]);
  scene.write('');
});

t.test('folders are not made when nobody said so', async (t) => {
  const scene = new Scene(t);
  scene.write('UMBEL_CREATE_DIRS=0\nUMBEL_CREATE_LOGDIR=1\n');
  t.equal(scene.run('check-paths').status, 0);
  t.same([existsSync(join(scene.path, 'log')), existsSync(join(scene.path, 'run'))], [true, false]);
  t.equal(scene.run('create-paths').status, 0);
  t.ok(existsSync(join(scene.path, 'run')));
});

t.test('a folder the workers may not write into is said, and not given away', { skip: unprivileged }, async (t) => {
  const scene = new Scene(t);
  mkdirSync(join(scene.path, 'run'));
  t.same(scene.run('start'), {
    status: 4,
    text: `umbeld: made ./log\numbeld: ${user} must be able to write into the folder ./run. Look through it, then: chown ${user} './run'\n`,
  });
  t.equal(statSync(join(scene.path, 'run')).uid, 0);
  t.same(scene.calls(), []);
});

t.test('folders of the session of root are not handed on', async (t) => {
  const scene = new Scene(t);
  scene.write('UMBEL_BROKER_URL="${XDG_RUNTIME_DIR-none} ${XDG_STATE_HOME-none}"\n');
  t.equal(scene.run('check-config', { XDG_RUNTIME_DIR: '/run/user/0', XDG_STATE_HOME: '/root/state' }).status, 0);
  t.same(scene.calls(), [`${user} / [config] [check] none none`]);
});

t.test('variables that others could have written are not executed', async (t) => {
  const scene = new Scene(t);
  scene.write(`touch ${scene.path}/executed\n`);
  for (const mode of [0o664, 0o646]) {
    chmodSync(scene.defaults, mode);
    t.match(scene.run('status'), { status: 6, text: /\.\/defaults must not be writable by/ });
  }
  chmodSync(scene.defaults, 0o644);
  t.test('nor of another owner', { skip: unprivileged }, async (t) => {
    chownSync(scene.defaults, 1, 1);
    t.match(scene.run('status'), { status: 6, text: /must belong to root, its owner is 1/ });
    chownSync(scene.defaults, 0, 0);
  });
  t.notOk(existsSync(join(scene.path, 'executed')));
  scene.run('status');
  t.ok(existsSync(join(scene.path, 'executed')));
});

t.test('what cannot be done is said, with its status', async (t) => {
  const scene = new Scene(t);
  t.match(scene.run(''), { status: 2, text: /^Usage: / });
  t.match(scene.run('explode'), { status: 2, text: /^Usage: / });
  t.match(scene.run('start', { UMBELD_DEFAULTS: '/nonexistent/defaults' }), { status: 6, text: /got \/nonexistent\/defaults/ });
  for (const [line, status, text] of [
    ['UMBEL_BIN=/nonexistent/umbel', 5, /got \/nonexistent\/umbel/],
    ['UMBEL_USER=nobody-at-all', isRoot ? 6 : 4, /nobody-at-all/],
    ['UMBEL_CHDIR=/nonexistent', 6, /got \/nonexistent/],
    ['UMBEL_ULIMIT="-n many"', 6, /ulimit -n many is refused/],
  ] as const) {
    scene.write(`${line}\n`);
    t.match(scene.run('start'), { status, text }, line);
  }
  t.same(scene.calls(), []);
  scene.write('');
});

t.test('under another name it reads other variables', async (t) => {
  const scene = new Scene(t);
  const other = join(scene.path, 'little-worker');
  symlinkSync(script, join(scene.path, 'S20umbeld'));
  writeFileSync(other, readFileSync(script));
  chmodSync(other, 0o755);
  const env = { PATH: process.env.PATH, UMBELD_USER: user, UMBELD_BIN: scene.standIn.path, UMBELD_PID_FILE: scene.pidFile('%n') };
  const status = (file: string) => spawnSync(file, ['status'], { encoding: 'utf8', env });
  t.match(status(other), { status: 3, stdout: 'little-worker: celery is stopped\n' });
  t.match(status(join(scene.path, 'S20umbeld')), { status: 3, stdout: 'umbeld: celery is stopped\n' });
});
