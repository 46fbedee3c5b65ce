/**
 * Becoming another user for good, and what to say to root.
 *
 * Owns the order (groups, group, user: each needs the rights that the next takes away) and the proof afterwards that there is no way
 * back. Called before anything else is opened, so that nothing belongs to root that should not.
 */
import { messageOf, UmbelError } from '../errors.ts';
import { groupId, groupName, type UserEntry, userEntry } from './user-entry.ts';

/** The calls of the system, for tests. */
export interface Identity {
  getuid(): number;
  geteuid(): number;
  getgid(): number;
  getegid(): number;
  setgroups(groups: readonly number[]): void;
  initgroups(user: string, group: number): void;
  setgid(gid: number): void;
  setuid(uid: number): void;
}

export interface Wanted {
  /** Name or number; null: stay. */
  readonly user: string | null;
  readonly group: string | null;
  /** For messages: '--uid', 'umbel.toml:4'. */
  readonly userFrom: string;
  readonly groupFrom: string;
}

/** The entry of the user that this process has become; null: it was that user already, or none was wanted. Throws CONFIG_INVALID, PRIVILEGES_REFUSED. */
export function becomeUser({ user, group, userFrom, groupFrom }: Wanted, system: Identity = systemIdentity()): UserEntry | null {
  if (user === null && group === null) return null;
  const entry = user === null ? null : userEntry(user);
  const uid = user === null ? system.geteuid() : (entry?.uid ?? numberOf(user));
  if (uid === null) throw new UmbelError('CONFIG_INVALID', `worker.uid must be a user of this system, got ${user} (${userFrom})`);
  const gid = group === null ? entry?.gid : groupId(group);
  if (gid === null) throw new UmbelError('CONFIG_INVALID', `worker.gid must be a group of this system, got ${group} (${groupFrom})`);
  if (gid === undefined)
    throw new UmbelError('CONFIG_INVALID', `worker.uid must be a user with an entry unless worker.gid is set, got ${user} (${userFrom})`);
  if (system.geteuid() === uid && system.getuid() === uid && system.getegid() === gid) return null;
  const what = `user ${user ?? uid}, group ${group ?? gid} (${user === null ? groupFrom : userFrom})`;
  if (system.geteuid() !== 0) throw refused(`only root can become another user, got ${what} for user ${system.geteuid()}`);
  try {
    if (entry === null) system.setgroups([gid]);
    else system.initgroups(entry.name, gid);
    system.setgid(gid);
    if (user !== null) system.setuid(uid);
  } catch (error) {
    throw refused(`the worker must be able to become ${what}: ${messageOf(error)}`, error);
  }
  checkNoWayBack(uid, gid, what, system);
  return entry;
}

/** What Celery says to a worker of root, or of a group that may become root; null: nothing. */
export function rootWarning(system: Identity = systemIdentity()): string | null {
  const ids = [`uid=${system.getuid()}`, `euid=${system.geteuid()}`, `gid=${system.getgid()}`, `egid=${system.getegid()}`].join(' ');
  const advice = `this is not recommended: task code could do anything to this machine. Name another user with --uid. (${ids})`;
  if (system.getuid() === 0 || system.geteuid() === 0) return `the worker runs with the rights of root; ${advice}`;
  for (const gid of [system.getgid(), system.getegid()]) {
    const name = groupName(gid);
    if (name === 'sudo' || name === 'wheel') return `the worker runs in the group ${name}, which may become root; ${advice}`;
  }
  return null;
}

function checkNoWayBack(uid: number, gid: number, what: string, system: Identity): void {
  if (system.geteuid() !== uid || system.getuid() !== uid || system.getegid() !== gid || system.getgid() !== gid)
    throw refused(`the worker must be ${what} after giving up its rights, got user ${system.geteuid()}, group ${system.getegid()}`);
  if (uid === 0) return;
  try {
    system.setuid(0);
  } catch {
    return;
  }
  throw refused(`the worker must not be able to become root again, which it is as ${what}`);
}

function numberOf(text: string): number | null {
  return /^\d+$/.test(text) ? Number(text) : null;
}

function refused(message: string, cause?: unknown): UmbelError {
  return new UmbelError('PRIVILEGES_REFUSED', message, { cause });
}

function systemIdentity(): Identity {
  const { getuid, geteuid, getgid, getegid, setgroups, initgroups, setgid, setuid } = process as NodeJS.Process &
    Partial<Pick<Identity, 'initgroups'>>;
  if (!getuid || !geteuid || !getgid || !getegid || !setgroups || !initgroups || !setgid || !setuid)
    throw new UmbelError('NOT_SUPPORTED', `users and groups are not known on ${process.platform}`);
  return { getuid, geteuid, getgid, getegid, setgroups: (groups) => setgroups([...groups]), initgroups, setgid, setuid };
}
