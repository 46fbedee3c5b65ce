/**
 * A small Debian of a test's own: a folder with the essential packages of this machine, in which dpkg, adduser and init scripts run; with systemd as
 * its first process, or without any service manager.
 *
 * Owns the folder, and a process tree with its own pids, /proc, /dev, network and control groups, which ends with the test whatever was started in it. Needs
 * root. UMBEL_TEST_ROOT names another folder to copy instead: one that debootstrap has made.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { childrenOf } from '../live/live-worker.ts';
import { eventually } from '../pool/eventually.ts';

interface Package {
  readonly essential: boolean;
  /** One of each group. */
  readonly depends: readonly (readonly string[])[];
}

/** What the package of umbel needs, and what a system has besides the essential. */
const wanted = ['adduser', 'libatomic1', 'libc6', 'libstdc++6', 'mawk', 'procps'];
const ofSystemd = ['systemd', 'systemd-sysv', 'dbus'];
/** Without what they depend on: a mail or cron daemon is nobody's business here. */
const besides = ['logrotate', 'libpopt0'];
const notNeeded = /^\/usr\/share\/(doc|man|info|locale|lintian)\/./;
const environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  DEBIAN_FRONTEND: 'noninteractive',
};

/** Nothing of the machine but the devices that every program may use. */
const ownDevices = `mount -t tmpfs -o mode=755 none dev && mkdir dev/pts dev/shm && mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
for name in null zero full random urandom tty; do touch dev/$name && mount --bind /dev/$name dev/$name || exit; done
for link in ptmx=pts/ptmx fd=/proc/self/fd stdin=/proc/self/fd/0 stdout=/proc/self/fd/1 stderr=/proc/self/fd/2; do ln -s \${link#*=} dev/\${link%%=*} || exit; done
mount -t proc proc proc`;
/** The first process has to take in what others leave behind. */
const alone = "exec chroot . sh -c 'while :; do sleep 1000 & wait; done'";
/** Units that would change the machine itself, or have nothing to do here. */
const notHere = [
  'systemd-sysctl',
  'systemd-modules-load',
  'systemd-tmpfiles-setup-dev',
  'systemd-remount-fs',
  'systemd-update-utmp',
  'systemd-networkd',
  'systemd-firstboot',
  'systemd-machine-id-commit',
  'systemd-logind',
]
  .map((name) => `${name}.service`)
  .concat(
    'console-getty.service',
    'getty.target',
    'proc-sys-fs-binfmt_misc.automount',
    'sys-kernel-debug.mount',
    'dev-hugepages.mount',
    'dev-mqueue.mount',
  );
const underSystemd = `mount -t sysfs -o ro sysfs sys && mount -t cgroup2 none sys/fs/cgroup && mount -t tmpfs -o mode=755 none run || exit
pivot_root . mnt && exec chroot . sh -c 'umount -l /mnt && exec env container=lxc /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=0'`;

export class DebianRoot {
  readonly path: string;
  readonly #init: number;

  private constructor(path: string, init: number) {
    this.path = path;
    this.#init = init;
  }

  static async make(t: Test, { systemd = false } = {}): Promise<DebianRoot> {
    const path = mkdtempSync(join(tmpdir(), 'umbel-root-'));
    chmodSync(path, 0o755);
    t.teardown(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
    const given = process.env.UMBEL_TEST_ROOT;
    if (given) cpSync(given, path, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    else assemble(path, systemd ? [...wanted, ...ofSystemd] : wanted);
    // Without an init that Debian knows, packages touch no service unless this says so.
    if (!systemd) writeFileSync(join(path, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    if (systemd) writeFileSync(join(path, 'etc/machine-id'), `${'0'.repeat(31)}1\n`);
    if (systemd) for (const unit of notHere) symlinkSync('/dev/null', join(path, 'etc/systemd/system', unit));
    const group = systemd ? controlGroup(t) : null;
    const namespaces = ['--mount', '--pid', '--ipc', '--uts', '--net', '--cgroup', '--fork', '--kill-child'];
    const enter = group === null ? ':' : `echo $$ > '${group}/cgroup.procs'`;
    const script = `${enter} && cd "$0" && exec unshare ${namespaces.join(' ')} sh -c "$1" "$0"`;
    // Sandboxes of systemd need a root that is a mount.
    const boot = `mount --bind . . && cd "$0" && ${ownDevices} || exit\n${systemd ? underSystemd : alone}`;
    const outer: ChildProcess = spawn('setpriv', ['--pdeathsig', 'KILL', 'sh', '-c', script, path, boot], {
      env: environment,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const ended = new Promise((resolve) => outer.once('exit', resolve));
    const init = await eventually(t, 'the first process of the root is there', () => {
      if (outer.exitCode !== null) throw new Error(`unshare must be able to make namespaces, it ended with ${outer.exitCode}`);
      const [pid] = childrenOf(outer.pid ?? 0);
      return pid !== undefined && linkAt(pid, systemd ? 'exe' : 'root') === (systemd ? '/usr/lib/systemd/systemd' : path) && pid;
    });
    // Its end is that of all, and is waited for by the one outside.
    t.teardown(async () => {
      process.kill(init, 'SIGKILL');
      await ended;
    });
    const root = new DebianRoot(path, init);
    const { status, text } = root.run('pwconv && grpconv && ldconfig');
    if (systemd) await eventually(t, 'systemd is up', () => /^(running|degraded)/.test(root.run('systemctl is-system-running').text));
    if (status !== 0) throw new Error(`the root must get its files of passwords, got ${status}: ${text}`);
    return root;
  }

  /** In a shell of root. */
  run(command: string, env: Readonly<Record<string, string>> = {}): { readonly status: number | null; readonly text: string } {
    const enter = [
      '--target',
      String(this.#init),
      '--mount',
      '--pid',
      '--ipc',
      '--uts',
      '--net',
      '--root',
      '--wd',
      'sh',
      '-c',
      `{ ${command}\n} 2>&1`,
    ];
    const { status, stdout, error } = spawnSync('nsenter', enter, { encoding: 'utf8', env: { ...environment, ...env }, timeout: 60_000 });
    if (error !== undefined) throw error;
    return { status, text: stdout };
  }

  file(path: string): string {
    return join(this.path, path);
  }

  read(path: string): string {
    return readFileSync(this.file(path), 'utf8');
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(this.file(path)), { recursive: true });
    writeFileSync(this.file(path), text);
  }

  paths(): readonly string[] {
    const words = ['.', '-path', './proc', '-prune', '-o', '-path', './dev', '-prune', '-o', '-print'];
    return execFileSync('find', words, { cwd: this.path, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).split('\n');
  }
}

/** Where cgroup2 is mounted; null: it is not, and systemd cannot run. */
export function controlGroups(): string | null {
  return /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1] ?? null;
}

/** One for a test alone: systemd leaves its own below. */
function controlGroup(t: Test): string {
  const path = join(controlGroups() ?? '', `umbel-test-${process.pid}`);
  mkdirSync(path);
  t.teardown(() => execFileSync('find', [path, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']));
  return path;
}

/** From the files of the packages that are installed here. */
function assemble(path: string, wantedHere: readonly string[]): void {
  const packages = installedPackages();
  const names = closure(packages, [...[...packages].filter(([, { essential }]) => essential).map(([name]) => name), ...wantedHere]);
  for (const name of besides) names.add(name);
  // Where /bin is a link, a package's list still says /bin/sh.
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    if (!existsSync(`/${name}`) || !lstatSync(`/${name}`).isSymbolicLink()) continue;
    mkdirSync(join(path, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(path, name));
  }
  const ofPackages = execFileSync('dpkg-query', ['--listfiles', ...names], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const lists = [...new Set(ofPackages.split('\n'))].filter((line) => /^\/./.test(line) && !notNeeded.test(line) && isThere(line));
  const infos = execFileSync('find', ['/var/lib/dpkg/info', '-type', 'f'], { encoding: 'utf8' })
    .split('\n')
    .filter((file) => names.has(/^.*\/([^/:]+)(?::\w+)?\.\w+$/.exec(file)?.[1] ?? ''));
  // What maintainer scripts have made.
  const made = ['/usr/bin/awk', '/etc/alternatives/awk', '/var/lib/dpkg/diversions', '/var/lib/dpkg/info/format'];
  const pam = ['auth', 'account', 'password', 'session', 'session-noninteractive'].map((name) => `/etc/pam.d/common-${name}`);
  const all = [...lists.filter((line) => !lstatSync(line).isDirectory()), ...infos, ...[...made, ...pam].filter(isThere)];
  const folders = lists.filter((line) => lstatSync(line).isDirectory());
  const copy = 'tar -C / --create --no-recursion --null --files-from=- | tar --extract --keep-directory-symlink -p -C "$0"';
  execFileSync('sh', ['-c', copy, path], { input: [...folders, ...all].map((line) => `.${line}\0`).join('') });

  for (const name of ['proc', 'dev', 'run', 'tmp', 'root', 'var/lib/dpkg/updates', 'var/lib/dpkg/triggers', 'var/log', 'etc/init.d', 'mnt'])
    mkdirSync(join(path, name), { recursive: true });
  chmodSync(join(path, 'tmp'), 0o1777);
  if (!existsSync(join(path, 'var/run'))) symlinkSync('/run', join(path, 'var/run'));
  for (const name of ['passwd', 'group']) cpSync(join(path, `usr/share/base-passwd/${name}.master`), join(path, 'etc', name));
  // Other packages have their say in those of the machine.
  writeFileSync(join(path, 'var/lib/dpkg/statoverride'), '');
  writeFileSync(join(path, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nshadow: files\n');
  const status = readFileSync('/var/lib/dpkg/status', 'utf8').split('\n\n');
  const kept = status.filter(
    (stanza) => names.has(/^Package: (.+)$/m.exec(stanza)?.[1] ?? '') && !besides.includes(/^Package: (.+)$/m.exec(stanza)?.[1] ?? ''),
  );
  writeFileSync(join(path, 'var/lib/dpkg/status'), `${kept.join('\n\n')}\n\n`);
}

function installedPackages(): ReadonlyMap<string, Package> {
  const format = '${Package}\t${Essential}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\n';
  const lines = execFileSync('dpkg-query', ['--show', `--showformat=${format}`], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).split(
    '\n',
  );
  const packages = new Map<string, Package>();
  for (const line of lines) {
    const [name = '', essential, status, depends = '', provides = ''] = line.split('\t');
    if (status !== 'installed') continue;
    const groups = depends.split(',').map((group) => group.split('|').map(nameIn).filter(Boolean));
    const found = { essential: essential === 'yes', depends: groups.filter((group) => group.length > 0) };
    packages.set(name, found);
    for (const other of provides.split(',').map(nameIn))
      if (other !== '' && !packages.has(other)) packages.set(other, { essential: false, depends: [[name]] });
  }
  return packages;
}

function nameIn(text: string): string {
  return /^\s*([^\s:(]*)/.exec(text)?.[1] ?? '';
}

function closure(packages: ReadonlyMap<string, Package>, start: readonly string[]): Set<string> {
  const names = new Set<string>();
  const todo = [...start];
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    const found = packages.get(name);
    if (names.has(name) || found === undefined) continue;
    names.add(name);
    for (const group of found.depends) {
      const there = group.find((other) => packages.has(other));
      if (there !== undefined) todo.push(there);
    }
  }
  // Names that packages only provide have no files.
  const real = execFileSync('dpkg-query', ['--show', '--showformat=${Package}\n'], { encoding: 'utf8' }).split('\n');
  return new Set(real.filter((name) => names.has(name)));
}

function linkAt(pid: number, name: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch {
    return null;
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
