/**
 * Installs or packs: `node scripts/package.ts install|tarball|deb`.
 *
 * install: below DESTDIR, with PREFIX (/usr/local) and SYSCONFDIR (/etc). tarball and deb: into dist (UMBEL_OUTPUT), with SHA256SUMS of all
 * archives there. The same sources give the same bytes: names in order, root as owner, one time for all files (SOURCE_DATE_EPOCH, or
 * that of the last commit). UMBEL_BINARY names another executable, UMBEL_MANUAL a folder
 * that write-manuals.ts has written, UMBEL_DEB_COMPRESSION what dpkg-deb -Z takes instead of xz (the tests use all three). Never starts, enables or publishes anything.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { type Layout, packageFiles, setTimes, writeFiles } from './package-files.ts';
import { sourceUnixSeconds } from './source-time.ts';

const root = resolve(import.meta.dirname, '..');
const output = resolve(process.env.UMBEL_OUTPUT ?? join(root, 'dist'));
const binary = resolve(process.env.UMBEL_BINARY ?? join(root, 'dist/umbel'));
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string; description: string };

const usrLocal: Layout = { prefix: '/usr/local', sysconfdir: '/etc', zshFolder: 'zsh/site-functions' };
const debian: Layout = { prefix: '/usr', sysconfdir: '/etc', zshFolder: 'zsh/vendor-completions' };
/** As Debian and as everybody else call the machine. */
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;

function install(destination: string, prefix: string, sysconfdir: string, manual: string): void {
  for (const [name, path] of Object.entries({ PREFIX: prefix, SYSCONFDIR: sysconfdir })) {
    if (!path.startsWith('/')) throw new Error(`${name} must be an absolute path, got ${JSON.stringify(path)}`);
  }
  const kept = writeFiles(packageFiles({ ...usrLocal, prefix, sysconfdir }, binary, manual), destination);
  for (const path of kept) process.stderr.write(`kept ${path}\n`);
}

/** Unpacked into the prefix; what belongs into /etc is in etc/. */
function tarball(work: string, manual: string): string {
  const name = `umbel-${version}-linux-${architecture}`;
  const folder = join(work, name);
  const files = packageFiles({ ...usrLocal, sysconfdir: '/usr/local/etc' }, binary, manual);
  writeFiles(
    files.map((file) => ({ ...file, path: relative('/usr/local', file.path) })),
    folder,
  );
  setTimes(folder, sourceUnixSeconds());
  const archive = join(output, `${name}.tar.gz`);
  const same = ['--sort=name', '--format=gnu', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['--create', '--file', archive, '--use-compress-program=gzip -n', ...same, '-C', work, name]);
  return archive;
}

function deb(work: string, manual: string): string {
  const folder = join(work, 'deb');
  const files = packageFiles(debian, binary, manual);
  writeFiles(files, folder);
  const control = join(folder, 'DEBIAN');
  mkdirSync(control);
  chmodSync(folder, 0o755);
  chmodSync(control, 0o755);
  const write = (name: string, text: string): void => {
    writeFileSync(join(control, name), text);
    chmodSync(join(control, name), 0o644);
  };
  const contents = files.map(({ path, content }) => ({ path, made: content() }));
  const sizeKib = contents.reduce((sum, { made }) => sum + (Buffer.isBuffer(made) ? Math.ceil(made.length / 1024) : 1), 0);
  write(
    'control',
    `Package: umbel
Version: ${version}
Architecture: ${architecture}
Maintainer: umbel maintainers <maintainers@umbel.invalid>
Section: net
Priority: optional
Depends: libc6 (>= 2.28), libstdc++6, libatomic1, adduser, procps
Suggests: redis-server | rabbitmq-server, logrotate
Installed-Size: ${sizeKib}
Description: ${description}
 One executable that takes tasks from RabbitMQ, Redis or a SQLite file, runs them
 in supervised child processes and stores their results, in the message formats
 of Celery. Nothing is started by installing it.
`,
  );
  write('conffiles', `${files.flatMap(({ path, isConfiguration }) => (isConfiguration ? [path] : [])).join('\n')}\n`);
  const sums = contents.flatMap(({ path, made }, index) =>
    Buffer.isBuffer(made) && files[index]?.isConfiguration !== true
      ? [`${createHash('md5').update(made).digest('hex')}  ${path.slice(1)}`]
      : [],
  );
  write('md5sums', `${sums.join('\n')}\n`);
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copyFileSync(join(root, 'packaging/debian', script), join(control, script));
    chmodSync(join(control, script), 0o755);
  }
  const time = sourceUnixSeconds();
  setTimes(folder, time);
  const archive = join(output, `umbel_${version}_${architecture}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', `-Z${process.env.UMBEL_DEB_COMPRESSION ?? 'xz'}`, '--build', folder, archive], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(time) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return archive;
}

/** Of every archive in the folder. */
function writeSums(): void {
  const names = readdirSync(output).filter((name) => /\.(deb|tar\.gz|tgz)$/.test(name));
  const lines = names.toSorted().map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(output, name)))
        .digest('hex')}  ${name}\n`,
  );
  writeFileSync(join(output, 'SHA256SUMS'), lines.join(''));
}

const [verb = ''] = process.argv.slice(2);
const makers: Readonly<Record<string, (work: string, manual: string) => string>> = { tarball, deb };
if (verb !== 'install' && !Object.hasOwn(makers, verb))
  throw new Error(`the verb must be install, tarball or deb, got ${JSON.stringify(verb)}`);
const work = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'umbel-package-'));
try {
  const manual = resolve(process.env.UMBEL_MANUAL ?? join(work, 'manual'));
  if (process.env.UMBEL_MANUAL === undefined) execFileSync(process.execPath, [join(import.meta.dirname, 'write-manuals.ts'), manual]);
  if (verb === 'install') {
    install(process.env.DESTDIR || '/', process.env.PREFIX || usrLocal.prefix, process.env.SYSCONFDIR || usrLocal.sysconfdir, manual);
  } else {
    mkdirSync(output, { recursive: true });
    const archive = makers[verb]?.(work, manual) ?? '';
    writeSums();
    process.stderr.write(`${relative(process.cwd(), archive)}\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
