/**
 * The package in a Debian of its own: installed, its workers run through all verbs of the init script by root for the user umbel, upgraded while they run,
 * removed, purged; and in another one, its units under a systemd.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { umbelBinary } from '../live/umbel-binary.ts';
import { eventually } from '../pool/eventually.ts';
import { controlGroups, DebianRoot } from './debian-root.ts';

const script = resolve(import.meta.dirname, '../../scripts/package.ts');
const skip = process.getuid?.() !== 0 ? 'needs root' : spawnSync('dpkg', ['--version']).error !== undefined ? 'dpkg is not here' : false;

/** This version, and one that is newer and has another example of the configuration. */
function putPackages(t: Test, root: DebianRoot): void {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-deb-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const env = {
    ...process.env,
    UMBEL_BINARY: umbelBinary,
    UMBEL_OUTPUT: folder,
    UMBEL_DEB_COMPRESSION: 'none',
    SOURCE_DATE_EPOCH: '1700000000',
  };
  execFileSync(process.execPath, [script, 'deb'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const deb = readdirSync(folder).find((name) => name.endsWith('.deb')) ?? '';
  copyFileSync(join(folder, deb), root.file('tmp/umbel.deb'));
  const raw = join(folder, 'raw');
  execFileSync('dpkg-deb', ['--raw-extract', join(folder, deb), raw]);
  const control = join(raw, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, 'Version: 99.0.0'));
  appendFileSync(join(raw, 'etc/umbel/umbel.toml'), '# newer\n');
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', raw, root.file('tmp/newer.deb')], { stdio: 'ignore' });
}

const tasks = (version: number): string => `export const version = () => ${version};
export const who = () => [process.getuid(), process.getgid(), process.getgroups().join(), process.cwd(), process.env.HOME];
`;
const configuration = '[broker]\nurl = "sqlite:////var/lib/umbel/umbel.db"\n[worker]\ntasks = ["/srv/shop/tasks.js"]\n';
const variables = 'UMBEL_NODES="w1 w2"\nUMBEL_OPTS="-c 1"\nUMBEL_CHDIR=/srv/shop\nUMBEL_WORKER_ENABLE_MINGLE=false\n';
/** Processes of the user umbel. One that has ended is none, whether the first process has taken it in or not. */
const countOfUmbel = `cat /proc/[0-9]*/status 2>/dev/null |
  awk -v uid="$(id -u umbel)" '/^State:/ { ended = $2 == "Z" } /^Uid:/ && $2 == uid && !ended { count++ } END { print count + 0 }'`;

t.test('the package from its installation to its purge', { skip }, async (t) => {
  const root = await DebianRoot.make(t);
  putPackages(t, root);
  const before = root.paths();
  const service = (verb: string) => root.run(`/etc/init.d/umbeld ${verb}`);
  const says = (command: string): string => root.run(command).text.trimEnd();
  const pids = (): string => says('cat /run/umbel/w1.pid /run/umbel/w2.pid');
  const call = (task: string): string => says(`su -s /bin/sh -c 'umbel call tasks.${task} --wait 20' umbel`);
  const uid = (): string => says('id -u umbel');
  const ownedProcesses = (): string => says(countOfUmbel);
  const owner = (path: string): string => says(`stat -c '%U:%G %a' ${path}`);
  /** For HUP: the verb is back before the nodes are, and one may be long back before the other. A HUP as a program begins would end it. */
  const bothRestart = async (t: Test, verb: string): Promise<{ readonly status: number | null; readonly text: string }> => {
    const ready = (node: string): number => Number(says(`grep -c ' ready\\.$' /var/log/umbel/${node}.log 2>/dev/null`));
    const before = new Map(['w1', 'w2'].map((node) => [node, ready(node)]));
    const said = service(verb);
    for (const [node, count] of before) await eventually(t, `${verb}: ${node} is back`, () => ready(node) > count, 60_000);
    return said;
  };

  await t.test('installed: user, folders, nothing enabled, nothing started', async (t) => {
    const installed = root.run('dpkg -i /tmp/umbel.deb');
    t.equal(installed.status, 0, installed.text);
    t.match(installed.text, /^((?!warning|error).)*$/s);
    t.match(says('getent passwd umbel'), /^umbel:.*:\/var\/lib\/umbel:\/usr\/sbin\/nologin$/);
    for (const [path, wanted] of [
      ['/var/lib/umbel', 'umbel:umbel 750'],
      ['/var/log/umbel', 'umbel:umbel 750'],
      ['/etc/umbel/umbel.toml', 'root:umbel 640'],
      ['/etc/default/umbeld', 'root:root 644'],
    ] as const)
      t.equal(owner(path), wanted, path);
    t.match(says('ls -d /etc/rc*.d/*umbeld'), /^(\/etc\/rc\d\.d\/K\d\dumbeld\n?)+$/, 'not started at boot');
    t.equal(
      root.run('update-rc.d umbeld enable && ls /etc/rc2.d/S*umbeld && update-rc.d umbeld disable').status,
      0,
      'but that can be said',
    );
    t.equal(ownedProcesses(), '0');
    t.equal(service('status').status, 3);
    t.match(says('umbel --version'), /^umbel \d/);
  });

  await t.test('start, status, and the workers are the user’s', async (t) => {
    root.write('etc/umbel/umbel.toml', configuration);
    root.write('etc/default/umbeld', variables);
    root.write('srv/shop/tasks.js', tasks(1));
    t.match(service('check-config'), { status: 0, text: /is valid/ });
    const checked = service('check-tasks');
    t.equal(checked.status, 0, checked.text);
    t.match(root.run('umbel call tasks.version'), { status: 0 }, 'root sends the first task of all');
    const started = service('start');
    t.equal(started.status, 0, started.text);
    t.match(started.text, /made \/run\/umbel\n.*w1@.*OK\n.*w2@.*OK/s);
    const running = pids();
    t.match(service('status'), { status: 0, text: /w1 runs.*\n.*w2 runs/ });
    t.equal(owner('/run/umbel'), 'umbel:umbel 2755');
    t.same(JSON.parse(call('who')), [Number(uid()), Number(says('id -g umbel')), says('id -G umbel'), '/srv/shop', '/var/lib/umbel']);
    t.equal(says('umbel ctl -n w1@$(hostname) ping').includes('pong'), true, says('umbel ctl -n w1@$(hostname) ping'));
    t.match(service('start'), { status: 0, text: /run already/ });
    t.equal(pids(), running);
  });

  await t.test('graceful, reload, force-reload: the same processes, new code', async (t) => {
    const running = pids();
    for (const [index, verb] of ['graceful', 'reload', 'force-reload'].entries()) {
      root.write('srv/shop/tasks.js', tasks(index + 2));
      t.match(await bothRestart(t, verb), { status: 0, text: /HUP -> \d+\n.*\n.*HUP -> \d+/ });
      // Both take part, so several in a row.
      for (let count = 0; count < 4; count++) t.equal(call('version'), String(index + 2), `${verb}: new code`);
      t.equal(pids(), running);
    }
  });

  await t.test('restart, try-restart, stop, kill, and a start after that', async (t) => {
    for (const verb of ['restart', 'try-restart']) {
      const running = pids().split('\n');
      const restarted = service(verb);
      t.equal(restarted.status, 0, restarted.text);
      t.same(
        pids()
          .split('\n')
          .filter((pid) => running.includes(pid)),
        [],
        verb,
      );
      t.equal(service('status').status, 0);
    }
    t.match(service('stop'), { status: 0, text: /w1@.*TERM/ });
    t.equal(ownedProcesses(), '0');
    t.equal(service('status').status, 3);
    t.match(service('stopwait'), { status: 0, text: /stopped already/ });
    t.match(service('try-restart'), { status: 0, text: /no node runs/ });
    t.equal(service('start').status, 0);
    t.match(service('kill'), { status: 0, text: /Sending KILL to node w1/ });
    await eventually(t, 'they are gone', () => ownedProcesses() === '0');
    // For the script they live until the first process has taken them in.
    await eventually(
      t,
      'and their numbers, too',
      () => root.run('for pid in $(cat /run/umbel/*.pid); do [ ! -e /proc/$pid ] || exit 1; done').status === 0,
    );
    t.match(service('status'), { status: 1, text: /w1 is dead/ });
    t.equal(service('start').status, 0, 'with stale pid files');
    t.equal(call('version'), '4');
    t.equal(service('stop').status, 0);
  });

  await t.test('dryrun stays in front', async (t) => {
    root.run('/etc/init.d/umbeld dryrun > /tmp/dryrun 2>&1 &');
    for (const node of ['w1', 'w2']) {
      await eventually(t, `${node} has its pid file`, () => existsSync(root.file(`run/umbel/${node}.pid`)));
      await eventually(t, `${node} answers`, () => root.run(`umbel ctl -n ${node}@$(hostname) ping`).status === 0);
      t.equal(root.run(`kill $(cat /run/umbel/${node}.pid)`).status, 0);
    }
    await eventually(t, 'it has ended', () => ownedProcesses() === '0');
    t.match(root.read('tmp/dryrun'), /umbel --workdir=\/srv\/shop worker --detach .*-n w1@.*OK\n.*-n w2@/s, 'the command lines');
  });

  await t.test('folders: made, and taken back from root, who has run a worker first', async (t) => {
    const made = (): void => {
      for (const folder of ['/run/umbel', '/var/log/umbel']) t.equal(says(`stat -c %U ${folder}`), 'umbel', folder);
    };
    for (const verb of ['check-paths', 'create-paths']) {
      root.run('rm -rf /run/umbel /var/log/umbel');
      t.match(service(verb), { status: 0, text: /made/ });
      made();
    }
    root.run('rm -rf /run/umbel /var/log/umbel && mkdir /run/umbel /var/log/umbel');
    t.match(service('start'), { status: 0, text: /gave umbel \/var\/log\/umbel\n.*gave umbel \/run\/umbel\n/s });
    made();
    t.equal(service('stop').status, 0);

    root.run('rm -rf /run/umbel /var/log/umbel');
    const byRoot = root.run('umbel multi start w3 -c 1 && kill -9 $(cat /run/umbel/w3.pid) && mv /run/umbel/w3.pid /run/umbel/w1.pid');
    t.equal(byRoot.status, 0, byRoot.text);
    made();
    const started = service('start');
    t.equal(started.status, 0, `over a pid file of root: ${started.text}`);
    t.equal(service('stop').status, 0);
    root.run('rm -rf /run/umbel');
    t.match(root.run('umbel worker -D -c 1 --logfile=/root/w.log --pidfile=/root/w.pid && kill $(cat /root/w.pid)'), { status: 0 });
    made();
  });

  await t.test('who may, and what is missing', async (t) => {
    t.match(service('explode'), { status: 2, text: /^Usage:/ });
    t.match(root.run('su -s /bin/sh -c "/etc/init.d/umbeld status" nobody'), { status: 4 });
    t.match(root.run('chmod 666 /etc/default/umbeld && /etc/init.d/umbeld start'), { status: 6, text: /chmod 644/ });
    root.run('chmod 644 /etc/default/umbeld');
  });

  await t.test('logs are rotated, and the workers notice', async (t) => {
    t.equal(service('start').status, 0);
    const tried = root.run('logrotate -d /etc/logrotate.d/umbel');
    t.equal(tried.status, 0, tried.text);
    t.notMatch(tried.text, /error|insecure/);
    t.match(tried.text, /considering log \/var\/log\/umbel\/w1\.log/);
    const forced = root.run('logrotate -f /etc/logrotate.d/umbel');
    t.equal(forced.status, 0, forced.text);
    await eventually(t, 'the new file is written', () => call('version') === '4' && existsSync(root.file('var/log/umbel/w1.log')));
    t.equal(owner('/var/log/umbel/w1.log').split(' ')[0], 'umbel:umbel');
  });

  await t.test('upgraded while it runs: configuration is kept, workers go on, HUP brings them to the new program', async (t) => {
    const running = pids();
    const upgraded = root.run('dpkg --force-confold -i /tmp/newer.deb');
    t.equal(upgraded.status, 0, upgraded.text);
    t.equal(says("dpkg-query -W -f '${Version}' umbel"), '99.0.0');
    t.equal(root.read('etc/umbel/umbel.toml'), configuration);
    t.match(root.read('etc/umbel/umbel.toml.dpkg-dist'), /# newer\n$/);
    t.equal(owner('/etc/umbel/umbel.toml'), 'root:umbel 640');
    t.equal(root.read('etc/default/umbeld'), variables);
    t.equal(pids(), running);
    t.equal(service('status').status, 0);
    t.equal(call('version'), '4', 'the old program in its deleted file still works');
    root.write('srv/shop/tasks.js', tasks(5));
    t.equal((await bothRestart(t, 'reload')).status, 0);
    for (let count = 0; count < 4; count++) t.equal(call('version'), '5', 'the new code');
    t.equal(pids(), running);
    t.match(says('for pid in $(cat /run/umbel/*.pid); do readlink /proc/$pid/exe; done'), /^\/usr\/bin\/umbel\n\/usr\/bin\/umbel$/);
  });

  await t.test('removed: nothing runs, configuration stays; purged: what is left are the tasks, and the user', async (t) => {
    const removed = root.run('dpkg --remove umbel');
    t.equal(removed.status, 0, removed.text);
    t.equal(ownedProcesses(), '0');
    t.equal(root.read('etc/umbel/umbel.toml'), configuration);
    t.notOk(existsSync(root.file('usr/bin/umbel')));
    t.match(service('status'), { status: 5, text: /program must be there/ });
    const purged = root.run('dpkg --purge umbel');
    t.equal(purged.status, 0, purged.text);
    root.run('rm -rf /srv /tmp/dryrun /root/.cache /root/w.log /run/adduser /var/lib/logrotate/status');
    // Two workers that close the database at one moment may each take the other for the last, and leave its journal to whoever closes it next.
    const database = new DatabaseSync(root.file('var/lib/umbel/umbel.db'));
    t.ok(database.prepare('SELECT name FROM sqlite_schema').all().length > 0);
    database.close();
    const known = new Set(before);
    const left = root
      .paths()
      .filter(
        (path) =>
          !known.has(path) &&
          !/^\.\/(var\/(lib\/(dpkg|systemd)|cache|log\/dpkg)|etc\/(passwd|group|shadow|gshadow|\.pwd|subuid|subgid|systemd))/.test(path),
      );
    t.same(left.toSorted(), ['./var/lib/umbel', './var/lib/umbel/umbel.db']);
  });
});

t.test('the units under systemd', { skip: skip || (controlGroups() === null && 'cgroup2 is not mounted') }, async (t) => {
  const root = await DebianRoot.make(t, { systemd: true });
  putPackages(t, root);
  const says = (command: string): string => root.run(command).text.trimEnd();
  const state = (unit: string): string => says(`systemctl show -P ActiveState ${unit}`);
  const pid = (unit: string): string => says(`systemctl show -P MainPID ${unit}`);
  const call = (): string => says(`su -s /bin/sh -c 'umbel call tasks.version --wait 20' umbel`);
  const done = (t: Test, command: string): void => {
    const { status, text } = root.run(command);
    t.equal(status, 0, `${command}: ${text}${status === 0 ? '' : says('journalctl --no-pager -n 40')}`);
  };
  const processes = (): string => says(countOfUmbel);

  await t.test('nothing is enabled or started; systemd takes the units', async (t) => {
    done(t, 'dpkg -i /tmp/umbel.deb');
    for (const unit of ['umbel', 'umbel@mail']) t.equal(says(`systemctl is-enabled ${unit}`), 'disabled', unit);
    t.equal(processes(), '0');
    t.same(root.run('systemd-analyze verify --man=no umbel.service umbel@mail.service umbeld.service'), { status: 0, text: '' });
    root.write('etc/umbel/umbel.toml', configuration);
    root.write('etc/default/umbeld', variables.replace('UMBEL_OPTS="-c 1"', 'UMBEL_OPTS="--concurrency=1"'));
    root.write('srv/shop/tasks.js', tasks(1));
    // A container may not have the right to raise it.
    for (const unit of ['umbel', 'umbel@']) root.write(`etc/systemd/system/${unit}.service.d/limit.conf`, '[Service]\nLimitNOFILE=1024\n');
    done(t, 'systemctl daemon-reload');
  });

  await t.test('umbel@: start, reload under the same pid, a crash, a stop', async (t) => {
    root.run('rm -rf /run/umbel && mkdir /run/umbel');
    done(t, 'systemctl start umbel@mail umbel@video');
    t.same([state('umbel@mail'), state('umbel@video')], ['active', 'active']);
    t.equal(says('stat -c %U /run/umbel'), 'umbel', 'root had left it');
    t.equal(call(), '1');
    done(t, 'umbel ctl -n mail@$(hostname) ping');
    const first = pid('umbel@mail');
    root.write('srv/shop/tasks.js', tasks(2));
    done(t, 'systemctl reload umbel@mail umbel@video');
    await eventually(t, 'new code', () => [1, 2, 3, 4].every(() => call() === '2'));
    t.equal(pid('umbel@mail'), first);
    root.write('etc/systemd/system/umbel@.service.d/now.conf', '[Service]\nRestartSec=0\n');
    done(t, 'systemctl daemon-reload && systemctl kill -s KILL --kill-who=main umbel@mail');
    await eventually(t, 'it is started again', () => pid('umbel@mail') !== first && state('umbel@mail') === 'active');
    done(t, 'systemctl stop umbel@mail umbel@video');
    t.same([state('umbel@mail'), state('umbel@video'), processes()], ['inactive', 'inactive', '0']);
  });

  await t.test('umbel@: a wrong command line is not tried again', async (t) => {
    root.write('etc/default/umbeld-bad', 'UMBEL_OPTS="--nonsense"\n');
    t.not(root.run('systemctl start umbel@bad').status, 0);
    const shown = says('systemctl show -p ActiveState -p ExecMainStatus -p NRestarts umbel@bad');
    t.same(shown.split('\n').toSorted(), ['ActiveState=failed', 'ExecMainStatus=64', 'NRestarts=0']);
    // The journal takes what a process has said in its own time.
    await eventually(t, 'the journal has it', () => /--nonsense is not an option/.test(says('journalctl --no-pager -u umbel@bad')));
  });

  await t.test('umbel: several nodes by umbel multi', async (t) => {
    const pids = (): string => says('cat /run/umbel/w1.pid /run/umbel/w2.pid');
    done(t, 'systemctl start umbel');
    t.equal(state('umbel'), 'active');
    const first = pids();
    t.match(first, /^\d+\n\d+$/);
    t.equal(call(), '2');
    done(t, 'systemctl reload umbel');
    t.same(
      pids()
        .split('\n')
        .filter((one) => first.split('\n').includes(one)),
      [],
      'other processes',
    );
    t.equal(state('umbel'), 'active');
    done(t, 'systemctl restart umbeld');
    t.equal(state('umbel'), 'active', 'under the name of the init script too');
    done(t, 'systemctl stop umbel');
    t.same([state('umbel'), processes()], ['inactive', '0']);
  });

  await t.test('removing the package stops what runs', async (t) => {
    done(t, 'systemctl start umbel@mail');
    done(t, 'dpkg --purge umbel');
    t.equal(processes(), '0');
  });
});
