/** What is installed and packed, with a small program in the place of the executable: contents, modes, the same bytes twice. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';

const root = resolve(import.meta.dirname, '../..');
const script = join(root, 'scripts/package.ts');
const withoutDpkg = spawnSync('dpkg-deb', ['--version']).error === undefined ? false : 'dpkg-deb is not here';

/** Made once: to make them takes longer than all the rest. */
const manual = t.testdir();
const time = '1700000000';
execFileSync(process.execPath, [join(root, 'scripts/write-manuals.ts'), manual], { env: { ...process.env, SOURCE_DATE_EPOCH: time } });

function run(folder: string, verb: string, env: Record<string, string | undefined>, umask = '022') {
  const binary = join(folder, 'program');
  writeFileSync(binary, '#!/bin/sh\necho umbel\n');
  const command = `umask ${umask}; exec "$0" "$@"`;
  return spawnSync('sh', ['-c', command, process.execPath, script, verb], {
    encoding: 'utf8',
    env: { ...process.env, UMBEL_BINARY: binary, SOURCE_DATE_EPOCH: time, UMBEL_MANUAL: manual, ...env },
  });
}

/** Twice, under circumstances that must make no difference. Returns the first archive. */
function packTwice(t: Test, verb: string, name: RegExp): string {
  const folder = t.testdir();
  mkdirSync(join(folder, 'tmp'));
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  // With manuals of its own.
  t.match(run(folder, verb, { UMBEL_OUTPUT: one, UMBEL_MANUAL: undefined }), { status: 0 });
  t.match(run(folder, verb, { UMBEL_OUTPUT: two, TMPDIR: join(folder, 'tmp'), TZ: 'Asia/Tokyo' }, '077'), { status: 0 });
  const found = readdirSync(one).find((file) => name.test(file)) ?? '';
  t.ok(readFileSync(join(one, found)).equals(readFileSync(join(two, found))), 'the same bytes');
  t.equal(execFileSync('sha256sum', ['--check', 'SHA256SUMS'], { cwd: two, encoding: 'utf8' }), `${found}: OK\n`);
  t.same(readdirSync(join(folder, 'tmp')), [], 'nothing is left');
  t.match(run(folder, verb, { UMBEL_OUTPUT: two, SOURCE_DATE_EPOCH: '1700000001' }), { status: 0 });
  t.notOk(readFileSync(join(one, found)).equals(readFileSync(join(two, found))), 'the time is in it');
  return join(one, found);
}

t.test('deb', { skip: withoutDpkg }, async (t) => {
  const archive = packTwice(t, 'deb', /^umbel_\d.*\.deb$/);
  const folder = join(dirname(archive), 'raw');
  execFileSync('dpkg-deb', ['--raw-extract', archive, folder]);
  const control = (name: string) => readFileSync(join(folder, 'DEBIAN', name), 'utf8');
  t.match(control('control'), /^Package: umbel\nVersion: \d+\.\d+\.\d+\nArchitecture: (amd64|arm64)\n/);
  t.same(control('conffiles').split('\n').slice(0, -1), [
    '/etc/default/umbeld',
    '/etc/init.d/umbeld',
    '/etc/logrotate.d/umbel',
    '/etc/umbel/umbel.toml',
  ]);
  execFileSync('md5sum', ['--check', '--quiet', 'DEBIAN/md5sums'], { cwd: folder });
  for (const name of ['postinst', 'prerm', 'postrm']) t.equal(spawnSync('sh', ['-n', join(folder, 'DEBIAN', name)]).status, 0, name);
  for (const path of ['usr/bin/umbel', 'usr/lib/umbel/umbel-multi', 'etc/init.d/umbeld'])
    t.equal(statSync(join(folder, path)).mode & 0o777, 0o755);
  for (const path of ['etc/default/umbeld', 'usr/lib/systemd/system/umbel@.service', 'usr/share/man/man1/umbel-worker.1.gz']) {
    t.equal(statSync(join(folder, path)).mode & 0o777, 0o644, path);
  }
  t.equal(readlinkSync(join(folder, 'usr/lib/systemd/system/umbeld.service')), 'umbel.service');
  for (const path of [
    'bash-completion/completions/umbel',
    'zsh/vendor-completions/_umbel',
    'fish/vendor_completions.d/umbel.fish',
    'doc/umbel/copyright',
  ])
    t.ok(existsSync(join(folder, 'usr/share', path)), path);
  t.notOk(existsSync(join(folder, 'etc/systemd')), 'nothing is enabled');
  const [, shutdownSeconds] = /^shutdown_timeout = (\d+)$/m.exec(readFileSync(join(folder, 'etc/umbel/umbel.toml'), 'utf8')) ?? [];
  for (const unit of ['umbel.service', 'umbel@.service']) {
    const text = readFileSync(join(folder, 'usr/lib/systemd/system', unit), 'utf8');
    const [, stopSeconds] = /^TimeoutStopSec=(\d+)$/m.exec(text) ?? [];
    t.ok(Number(shutdownSeconds) < Number(stopSeconds), `${unit}: a worker ends what runs before systemd kills it`);
  }
  t.match(execFileSync('dpkg-deb', ['--contents', archive], { encoding: 'utf8' }), /^(?:\S+ root\/root .*\n)+$/);
});

t.test('tarball', async (t) => {
  const archive = packTwice(t, 'tarball', /^umbel-\d.*\.tar\.gz$/);
  const names = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).split('\n').slice(0, -1);
  for (const end of ['bin/umbel', 'etc/umbel/umbel.toml', 'lib/systemd/system/umbel.service', 'share/man/man1/umbel.1.gz'])
    t.ok(
      names.some((name) => /^umbel-[\d.]+-linux-\w+\//.test(name) && name.endsWith(`/${end}`)),
      end,
    );
  t.match(
    execFileSync('tar', ['-xzOf', archive, ...names.filter((name) => name.endsWith('umbel@.service'))], { encoding: 'utf8' }),
    'ExecStart=/usr/local/bin/umbel worker',
  );
});

t.test('install keeps configuration that is there, and replaces everything else', async (t) => {
  const folder = t.testdir();
  const destination = join(folder, 'root');
  const env = { DESTDIR: destination, PREFIX: '/opt/umbel', SYSCONFDIR: '/etc' };
  t.match(run(folder, 'install', env, '077'), { status: 0, stderr: '' });
  const at = (path: string) => join(destination, path);
  t.match(readFileSync(at('opt/umbel/lib/systemd/system/umbel.service'), 'utf8'), 'ExecStart=/opt/umbel/lib/umbel/umbel-multi start');
  t.match(readFileSync(at('opt/umbel/lib/umbel/umbel-multi'), 'utf8'), 'BIN /opt/umbel/bin/umbel');
  t.equal(statSync(at('opt/umbel/bin')).mode & 0o777, 0o755, 'whatever the umask');
  for (const path of ['etc/umbel/umbel.toml', 'etc/default/umbeld', 'opt/umbel/bin/umbel']) writeFileSync(at(path), 'mine');
  chmodSync(at('opt/umbel/bin/umbel'), 0o500);
  const again = run(folder, 'install', env);
  t.equal(again.status, 0);
  t.match(again.stderr, `kept ${at('etc/umbel/umbel.toml')}\n`);
  t.equal(readFileSync(at('etc/umbel/umbel.toml'), 'utf8'), 'mine');
  t.equal(readFileSync(at('etc/default/umbeld'), 'utf8'), 'mine');
  t.match(readFileSync(at('opt/umbel/bin/umbel'), 'utf8'), 'echo umbel');
  t.equal(statSync(at('opt/umbel/bin/umbel')).mode & 0o777, 0o755);
});

t.test('what cannot be done is said', async (t) => {
  const folder = t.testdir();
  t.match(run(folder, 'publish', {}), { status: 1, stderr: /must be install, tarball or deb, got "publish"/ });
  t.match(run(folder, 'install', { DESTDIR: join(folder, 'root'), PREFIX: 'usr' }), {
    status: 1,
    stderr: /PREFIX must be an absolute path, got "usr"/,
  });
  t.notOk(existsSync(join(folder, 'root')));
  t.match(run(folder, 'tarball', { UMBEL_OUTPUT: join(folder, 'out'), SOURCE_DATE_EPOCH: 'now' }), {
    status: 1,
    stderr: /must be a number of seconds, got "now"/,
  });
});

t.test(
  'shellcheck finds nothing',
  { skip: spawnSync('shellcheck', ['--version']).error === undefined ? false : 'shellcheck is not here' },
  async (t) => {
    const files = ['init.d/umbeld', 'systemd/umbel-multi', ...['postinst', 'prerm', 'postrm'].map((name) => `packaging/debian/${name}`)];
    const checked = spawnSync('shellcheck', files, { cwd: root, encoding: 'utf8' });
    t.same({ status: checked.status, stdout: checked.stdout }, { status: 0, stdout: '' });
  },
);
