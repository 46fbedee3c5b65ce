/**
 * The executable the live tests drive: the file named by UMBEL_BIN, else dist/umbel, which is built when it is missing.
 * A test never runs without one: it fails and says why.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

export const umbelBinary: string = find();

function find(): string {
  const given = process.env.UMBEL_BIN;
  if (given !== undefined && given !== '') {
    accessSync(given, constants.X_OK);
    return resolve(given);
  }
  const built = resolve(root, 'dist/umbel');
  if (isExecutable(built)) return built;
  const made = spawnSync('make', ['bin'], { cwd: root, encoding: 'utf8' });
  if (made.status !== 0 || !isExecutable(built))
    throw new Error(
      `the live tests need dist/umbel, and 'make bin' did not make it (status ${made.status}):\n${made.stdout}${made.stderr}`,
    );
  return built;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
