/**
 * Making the folders of pid files, logs and sockets, for the user who is to write there.
 *
 * Folders with the name of the service belong to its user, also when root, who runs a worker by hand, is the first to need them: otherwise
 * the service could not start after that. Never changes a folder that is there.
 */
import { chownSync, existsSync, mkdirSync } from 'node:fs';
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

/** `owner` is asked when there is something to make. Throws the system's error. */
export function makeFolder(path: string, owner: () => Owner = () => ({ user: null, group: null })): void {
  if (existsSync(path)) return;
  const first = mkdirSync(path, { recursive: true, mode: 0o755 });
  const said = owner();
  const user = said.user ?? (said.group === null && isServiceFolder(path) && process.geteuid?.() === 0 ? serviceUser : null);
  if (first === undefined || (user === null && said.group === null)) return;
  const entry = user === null ? null : userEntry(user);
  const uid = entry?.uid ?? (user !== null && /^\d+$/.test(user) ? Number(user) : -1);
  const gid = (said.group === null ? entry?.gid : groupId(said.group)) ?? -1;
  // An unknown user is for the worker to refuse.
  if (uid >= 0 || gid >= 0) chownSync(path, uid, gid);
}
