/** When the sources were last changed: SOURCE_DATE_EPOCH, or the last commit. The one time that stands in everything that is packed. */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

/** Unix time. Throws where SOURCE_DATE_EPOCH is no number, and where neither it nor a repository is there. */
export function sourceUnixSeconds(): number {
  const given = process.env.SOURCE_DATE_EPOCH ?? execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }).trim();
  if (!/^\d+$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH must be a number of seconds, got ${JSON.stringify(given)}`);
  return Number(given);
}
