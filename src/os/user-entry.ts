/**
 * Users and groups of this system, by name or number.
 *
 * /etc/passwd and /etc/group first; for those of a directory service (LDAP) `getent`, where it is there. Reads only.
 */
import { spawnSync } from 'node:child_process';
import { fileText } from './file-text.ts';

export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  /** Its own group. */
  readonly gid: number;
  readonly home: string;
}

/** null: there is none. */
export function userEntry(nameOrUid: string): UserEntry | null {
  const fields = entry('passwd', nameOrUid);
  if (fields === null) return null;
  const [name = '', , uid, gid, , home = '/'] = fields;
  return { name, uid: Number(uid), gid: Number(gid), home: home || '/' };
}

/** The number of a group; null: there is none of this name. A number need not have a name. */
export function groupId(nameOrGid: string): number | null {
  if (/^\d+$/.test(nameOrGid)) return Number(nameOrGid);
  const gid = entry('group', nameOrGid)?.[2];
  return gid === undefined ? null : Number(gid);
}

/** The name of a group; null: it has none. */
export function groupName(gid: number): string | null {
  return entry('group', String(gid))?.[0] ?? null;
}

/** Both files have the name in the first field and the number in the third. */
function entry(database: 'passwd' | 'group', nameOrNumber: string): readonly string[] | null {
  const column = /^\d+$/.test(nameOrNumber) ? 2 : 0;
  const find = (text: string): readonly string[] | null =>
    text
      .split('\n')
      .map((line) => line.split(':'))
      .find((fields) => fields.length > 2 && fields[column] === nameOrNumber) ?? null;
  return find(fileText(`/etc/${database}`)) ?? find(getent(database, nameOrNumber));
}

function getent(database: string, key: string): string {
  const { status, stdout } = spawnSync('getent', [database, key], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 10_000,
  });
  return status === 0 ? stdout : '';
}
