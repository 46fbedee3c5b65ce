/**
 * Every file of an installation: where it comes from, where it goes, with which mode. `make install`, the tarball and the .deb are made of
 * this one list. Owns no archive format.
 */
import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface PackageFile {
  /** Absolute, without DESTDIR. */
  readonly path: string;
  readonly mode: number;
  /** A link, where it is one. */
  readonly content: () => Buffer | { readonly linkTo: string };
  /** Changed by the administrator: never written over. */
  readonly isConfiguration: boolean;
}

export interface Layout {
  /** '/usr' or '/usr/local'. */
  readonly prefix: string;
  readonly sysconfdir: string;
  /** Folder of completions for zsh, below prefix. */
  readonly zshFolder: string;
}

const root = resolve(import.meta.dirname, '..');
/** Below the 300 s of the units. */
const shutdownTimeoutSeconds = 240;

/** The example, but for what the units need: their worker ends what runs before systemd's TimeoutStopSec= would. */
function serviceConfiguration(): Buffer {
  const example = readFileSync(join(root, 'config.example.toml'), 'utf8');
  const configuration = example.replace(/^#shutdown_timeout = .*$/m, `shutdown_timeout = ${shutdownTimeoutSeconds}`);
  if (configuration === example) throw new Error('config.example.toml must have a line #shutdown_timeout = …, got none');
  return Buffer.from(configuration);
}

/** `binary` and `manual` (the folder of write-manuals.ts) have been built. */
export function packageFiles(layout: Layout, binary: string, manual: string): readonly PackageFile[] {
  const { prefix, sysconfdir, zshFolder } = layout;
  const files: PackageFile[] = [];
  const add = (path: string, mode: number, content: PackageFile['content'], isConfiguration = false): void => {
    files.push({ path, mode, content, isConfiguration });
  };
  /** The programs and units name their places as a package of the system has them. */
  const placed = (source: string): Buffer =>
    Buffer.from(readFileSync(join(root, source), 'utf8').replaceAll(/\/usr(?=\/(bin|lib)\/umbel)/g, prefix));
  const plain = (source: string) => (): Buffer => readFileSync(join(root, source));
  const packed = (path: string) => (): Buffer => gzipSync(readFileSync(path), { level: 9 });

  add(`${prefix}/bin/umbel`, 0o755, () => readFileSync(binary));
  add(`${prefix}/lib/umbel/umbel-multi`, 0o755, () => placed('systemd/umbel-multi'));
  for (const unit of ['umbel.service', 'umbel@.service'])
    add(`${prefix}/lib/systemd/system/${unit}`, 0o644, () => placed(`systemd/${unit}`));
  // Where systemd runs, the init script is this unit.
  add(`${prefix}/lib/systemd/system/umbeld.service`, 0o777, () => ({ linkTo: 'umbel.service' }));
  add(`${prefix}/lib/tmpfiles.d/umbel.conf`, 0o644, plain('systemd/umbel.tmpfiles.conf'));

  add(`${sysconfdir}/init.d/umbeld`, 0o755, plain('init.d/umbeld'), true);
  add(`${sysconfdir}/default/umbeld`, 0o644, () => placed('systemd/umbeld.default'), true);
  add(`${sysconfdir}/logrotate.d/umbel`, 0o644, plain('packaging/logrotate'), true);
  add(`${sysconfdir}/umbel/umbel.toml`, 0o644, serviceConfiguration, true);

  for (const page of readdirSync(join(manual, 'man1')))
    add(`${prefix}/share/man/man1/${page}.gz`, 0o644, packed(join(manual, 'man1', page)));
  const completion = (name: string) => () => readFileSync(join(manual, 'completion', name));
  add(`${prefix}/share/bash-completion/completions/umbel`, 0o644, completion('umbel.bash'));
  add(`${prefix}/share/${zshFolder}/_umbel`, 0o644, completion('_umbel'));
  add(`${prefix}/share/fish/vendor_completions.d/umbel.fish`, 0o644, completion('umbel.fish'));

  const docs = `${prefix}/share/doc/umbel`;
  add(`${docs}/copyright`, 0o644, plain('LICENSE'));
  add(`${docs}/changelog.gz`, 0o644, packed(join(root, 'CHANGELOG.md')));
  add(`${docs}/README.md`, 0o644, plain('README.md'));
  for (const page of readdirSync(join(root, 'docs')).sort()) {
    if (page.endsWith('.md')) add(`${docs}/docs/${page}`, 0o644, plain(`docs/${page}`));
  }
  return files.toSorted((one, other) => (one.path < other.path ? -1 : 1));
}

/** Write them below a folder. Configuration that is there already stays. Returns the paths that were kept. */
export function writeFiles(files: readonly PackageFile[], destination: string): readonly string[] {
  const kept: string[] = [];
  for (const { path, mode, content, isConfiguration } of files) {
    const target = join(destination, path);
    if (isConfiguration && existsSync(target)) {
      kept.push(target);
      continue;
    }
    makeFolder(dirname(target));
    const made = content();
    if (Buffer.isBuffer(made)) {
      // A program that runs cannot be written to; it can be replaced.
      writeFileSync(`${target}.new`, made);
      chmodSync(`${target}.new`, mode);
      renameSync(`${target}.new`, target);
    } else {
      rmSync(target, { force: true });
      symlinkSync(made.linkTo, target);
    }
  }
  return kept;
}

/** Every file and folder below gets this time: archives of them are the same whenever they are made. */
export function setTimes(folder: string, unixSeconds: number): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setTimes(path, unixSeconds);
    else lutimesSync(path, unixSeconds, unixSeconds);
  }
  lutimesSync(folder, unixSeconds, unixSeconds);
}

/** With the folders above it, readable by all whatever the umask. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
  chmodSync(path, 0o755);
}
