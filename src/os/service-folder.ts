/**
 * Making the folders of pid files, logs and sockets, for the user who is to write there.
 *
 * Folders with the name of the service belong to its user, also when root, who runs a worker by hand, is the first to need them: otherwise
 * the service could not start after that. Never changes a folder that is there; what was made can be
 * taken back while it is empty.
 */
import { chownSync, existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { groupId, userEntry } from './user-entry.ts';

export interface Owner {
  /** Name or number; null: nobody said. */
  readonly user: string | null;
  readonly group: string | null;
}

const serviceUser = 'umbel';
/** As the packages have them. */
const serviceFolders = ['/run/umbel', '/var/run/umbel', '/var/log/umbel'];

export function isServiceFolder(path: string): boolean {
  return serviceFolders.includes(path);
}

/** `owner` is asked when there is something to make. Gives back the topmost folder that was made. Throws the system's error. */
export function makeFolder(path: string, owner: () => Owner = () => ({ user: null, group: null })): string | null {
  if (existsSync(path)) return null;
  const said = owner();
  const first = mkdirSync(path, { recursive: true, mode: 0o755 });
  const user = said.user ?? (said.group === null && isServiceFolder(path) && process.geteuid?.() === 0 ? serviceUser : null);
  if (first === undefined || (user === null && said.group === null)) return first ?? null;
  const entry = user === null ? null : userEntry(user);
  const uid = entry?.uid ?? (user !== null && /^\d+$/.test(user) ? Number(user) : -1);
  const gid = (said.group === null ? entry?.gid : groupId(said.group)) ?? -1;
  // An unknown user is for the worker to refuse.
  if (uid >= 0 || gid >= 0) chownSync(path, uid, gid);
  return first;
}

/** Takes back what `makeFolder(path)` has made, from the innermost to `topmost`, as far as it is empty. Never throws. */
export function unmakeFolder(path: string, topmost: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody has written there: it has its use.
    return;
  }
  if (path !== topmost && path.startsWith(`${topmost}/`)) unmakeFolder(dirname(path), topmost);
}
