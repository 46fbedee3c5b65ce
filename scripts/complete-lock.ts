/**
 * Completes package-lock.json: `node scripts/complete-lock.ts [--check]`.
 *
 * npm leaves an optional package (the build of a tool for another platform) out of the lock file when the registry it asked does
 * not carry it, and then `npm ci` refuses the whole file. Such an entry needs only its exact version and the platform it is for;
 * without an integrity value, which only that registry could tell. Run after every `npm install`. Never talks to a registry.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
interface LockFile {
  packages: Record<string, LockEntry>;
}

const file = join(process.env.UMBEL_GENERATE_ROOT ?? resolve(import.meta.dirname, '..'), 'package-lock.json');
const text = readFileSync(file, 'utf8');
const lock = JSON.parse(text) as LockFile;

/** `tool-linux-x64-musl` → linux, x64, musl: the words platform packages are named with. Null when the name has none. */
function platformOf(name: string): Readonly<Record<'os' | 'cpu' | 'libc', string[]>> | null {
  const match = /\b(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-([a-z0-9]+)(?:-(musl|gnu))?$/.exec(name);
  const [, os, cpu, libc] = match ?? [];
  if (os === undefined || cpu === undefined) return null;
  return { os: [os], cpu: [cpu], libc: libc === undefined ? [] : [libc === 'gnu' ? 'glibc' : libc] };
}

const missing: string[] = [];
const packages = { ...lock.packages };
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    // An optional package that some parent has below itself is there under a longer key.
    if (Object.keys(packages).some((known) => known === key || known.endsWith(`/${key}`))) continue;
    const platform = platformOf(name);
    if (platform === null || !/^\d+\.\d+\.\d+$/.test(version)) {
      throw new Error(`package-lock.json has no entry for ${name} ${version}, and it is no platform package that could be added`);
    }
    missing.push(name);
    const { os, cpu, libc } = platform;
    const added = { version, cpu, ...(entry.dev === true ? { dev: true } : {}), ...(libc.length > 0 ? { libc } : {}), optional: true, os };
    packages[key] = added;
  }
}
if (missing.length === 0) console.log('package-lock.json: complete');
else if (process.argv.includes('--check')) {
  console.error(`package-lock.json has no entry for ${missing.join(', ')}, so npm ci will refuse it: run node scripts/complete-lock.ts`);
  process.exitCode = 1;
} else {
  lock.packages = Object.fromEntries(Object.entries(packages).sort(([one], [other]) => one.localeCompare(other, 'en')));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: added ${missing.join(', ')}`);
}
