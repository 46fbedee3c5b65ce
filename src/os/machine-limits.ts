/** How much this process and its children may have: limits of the process and of its cgroup. Reads /proc and /sys; null: no bound, or not known. */
import { join } from 'node:path';
import { fileText } from './file-text.ts';

export interface MachineLimits {
  readonly openFiles: number | null;
  /** Of the user, all programs together. */
  readonly processes: number | null;
  /** Of the cgroup and those around it: the least of them. */
  readonly cgroupMemoryBytes: number | null;
  /** Threads and processes. */
  readonly cgroupPids: number | null;
}

export interface LimitPlaces {
  readonly proc: string;
  readonly cgroup: string;
}

export function machineLimits({ proc, cgroup }: LimitPlaces = { proc: '/proc', cgroup: '/sys/fs/cgroup' }): MachineLimits {
  const limits = fileText(join(proc, 'self/limits'));
  const soft = (name: string): number | null => numberOf(new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(limits)?.[1]);
  const folders = cgroupFolders(fileText(join(proc, 'self/cgroup')), cgroup);
  const least = (file: string): number | null => {
    const found = folders.map((folder) => numberOf(fileText(join(folder, file)).trim())).filter((value) => value !== null);
    return found.length === 0 ? null : Math.min(...found);
  };
  return {
    openFiles: soft('Max open files'),
    processes: soft('Max processes'),
    cgroupMemoryBytes: least('memory.max'),
    cgroupPids: least('pids.max'),
  };
}

/** Of version 2 (`0::/system.slice/umbel.service`): the own one and all around it. */
function cgroupFolders(text: string, root: string): readonly string[] {
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  if (path === undefined) return [];
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return parts.map((_, index) => join(root, ...parts.slice(0, index + 1))).concat(root);
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
