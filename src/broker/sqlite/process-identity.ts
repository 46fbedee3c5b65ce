/**
 * Who holds a lease, and is that process still there?
 *
 * Owns: the identity of a process on this machine. A pid alone is not one: pids are reused, and two containers on one machine
 * have the same ones. Never signals anybody.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  /** Processes with the same key can see each other's pids: boot and pid namespace. */
  readonly host: string;
  readonly pid: number;
  /** Start time in the kernel's ticks; null where there is no /proc. */
  readonly started: string | null;
}

function hostKey(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `host/${hostname()}`;
  }
}

/** Field 22 of /proc/<pid>/stat; the command name before it may contain anything, so count from its closing parenthesis. */
function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

export function ownIdentity(): ProcessIdentity {
  return { host: hostKey(), pid: process.pid, started: startTimeOf(process.pid) };
}

/** Certainly gone: on this machine, and its pid is free or somebody else's. A process we cannot judge is not gone. */
export function isGone(other: ProcessIdentity, own: ProcessIdentity): boolean {
  if (other.host !== own.host) return false;
  if (other.started !== null && own.started !== null) return startTimeOf(other.pid) !== other.started;
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}
