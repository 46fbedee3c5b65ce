/**
 * What every generator ends with: write the file, or with --check compare it and say that it is stale.
 * UMBEL_GENERATE_ROOT names another tree to write to (the tests use it).
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

const root = process.env.UMBEL_GENERATE_ROOT ?? resolve(import.meta.dirname, '..');

/** `path` is relative to the repository. With --check on the command line nothing is written and a difference sets exit status 1. */
export async function writeGenerated(path: string, text: string): Promise<void> {
  const file = join(root, path);
  const current = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (process.argv.includes('--check')) {
    if (current === text) return;
    process.stderr.write(`${path} ${current === null ? 'does not exist' : 'is not what the sources say'}: run make docs\n`);
    process.exitCode = 1;
    return;
  }
  if (current === text) return;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  process.stderr.write(`wrote ${path}\n`);
}
