/**
 * Do two clones of the committed sources, at different places, times and under other circumstances, give the same bytes? `node scripts/check-reproducible.ts`
 *
 * Builds the executable, the tarball and the .deb twice, one after the other (some minutes), prints the checksums, and exits 1 with the first byte
 * that differs. The installed packages are those of this clone. Changes nothing outside its temporary folder.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
/** Of the first moment: others may commit meanwhile. */
const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
const work = mkdtempSync(join(tmpdir(), 'umbel-reproducible-'));
const circumstances = [
  { place: 'one', umask: '022', env: { TZ: 'UTC', LANG: 'C', HOME: join(work, 'home') } },
  {
    place: 'a/second place/with-a-longer-name',
    umask: '077',
    env: { TZ: 'Asia/Tokyo', LANG: 'de_DE.UTF-8', HOME: join(work, 'another/home') },
  },
] as const;

/** Name in dist → bytes. */
function build({ place, umask, env }: (typeof circumstances)[number]): ReadonlyMap<string, Buffer> {
  const clone = join(work, place);
  mkdirSync(dirname(clone), { recursive: true });
  mkdirSync(env.HOME, { recursive: true });
  execFileSync('git', ['clone', '--quiet', '--no-hardlinks', root, clone], { stdio: 'inherit' });
  execFileSync('git', ['checkout', '--quiet', '--detach', commit], { cwd: clone, stdio: 'inherit' });
  execFileSync('cp', ['-a', join(root, 'node_modules'), join(clone, 'node_modules')]);
  const { SOURCE_DATE_EPOCH: _, ...others } = process.env;
  const made = spawnSync('sh', ['-c', `umask ${umask}; exec make bin tarball deb`], {
    cwd: clone,
    env: { ...others, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (made.status !== 0) throw new Error(`make must end with 0, got ${made.signal ?? made.status} (${clone})`);
  const dist = join(clone, 'dist');
  const files = readdirSync(dist).filter((name) => /^umbel$|\.(deb|gz)$|^SHA256SUMS$/.test(name));
  if (files.length !== 4) throw new Error(`make must make an executable, two archives and their sums, got ${files.join(', ')}`);
  return new Map(files.toSorted().map((name) => [name, readFileSync(join(dist, name))]));
}

try {
  const [one, other] = circumstances.map(build) as [ReadonlyMap<string, Buffer>, ReadonlyMap<string, Buffer>];
  for (const [name, bytes] of one) {
    const others = other.get(name) ?? Buffer.alloc(0);
    console.log(`${createHash('sha256').update(bytes).digest('hex')}  ${name}`);
    if (bytes.equals(others)) continue;
    process.exitCode = 1;
    const at = bytes.findIndex((byte, index) => byte !== others[index]);
    console.log(`not the same: ${name}, ${bytes.length} and ${others.length} bytes, first at ${at}`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
