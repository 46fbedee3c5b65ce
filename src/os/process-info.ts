/**
 * Facts about processes, from /proc where Node has none. Reads only.
 *
 * null means: not known, because the process is gone, is not ours to look at, or the platform has no /proc.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface ProcessStat {
  /** R running, S sleeping, Z zombie, … */
  readonly state: string;
  readonly parentPid: number;
  /** Start time in clock ticks since boot; with the pid it names a process for good. */
  readonly startTicks: number;
}

/** USER_HZ, which the kernel fixes at 100 on every architecture Node runs on. */
const ticksPerSecond = 100;

/** Field positions after the closing parenthesis of the command name, which itself may contain anything. */
const statField = { state: 0, parentPid: 1, startTicks: 19 } as const;

export function processStat(pid: number): ProcessStat | null {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[statField.state] ?? '',
    parentPid: Number(fields[statField.parentPid]),
    startTicks: Number(fields[statField.startTicks]),
  };
}

/**
 * When a process started, in Unix milliseconds on today's clock, right to about 20 ms as long as the clock was not set. null
 * also when the two sources contradict each other, as they do in some containers.
 */
export function processStartUnixMs(pid: number): number | null {
  const stat = processStat(pid);
  const uptime = readProc('/proc/uptime');
  if (stat === null || uptime === null) return null;
  const ageMs = Number(uptime.split(' ')[0]) * 1000 - (stat.startTicks * 1000) / ticksPerSecond;
  return Number.isFinite(ageMs) && ageMs >= -100 ? Date.now() - ageMs : null;
}

/** Does a process with this pid exist and run? A zombie does not: it has ended and only its parent has not noticed. */
export function processIsAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  return processStat(pid)?.state !== 'Z';
}

/** Resident size, which is cheap enough to ask after every task. */
export function processRssBytes(pid: number): number | null {
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(readProc(`/proc/${pid}/status`) ?? '');
  return rss === null ? null : Number(rss[1]) * 1024;
}

/** Resource use of this process under the names Celery's `inspect stats` gives it; times in seconds, maxrss in KiB. */
export function resourceUsage(): Readonly<Record<string, number>> {
  const usage = process.resourceUsage();
  return {
    utime: usage.userCPUTime / 1e6,
    stime: usage.systemCPUTime / 1e6,
    maxrss: usage.maxRSS,
    ixrss: usage.sharedMemorySize,
    idrss: usage.unsharedDataSize,
    isrss: usage.unsharedStackSize,
    minflt: usage.minorPageFault,
    majflt: usage.majorPageFault,
    nswap: usage.swappedOut,
    inblock: usage.fsRead,
    oublock: usage.fsWrite,
    msgsnd: usage.ipcSent,
    msgrcv: usage.ipcReceived,
    nsignals: usage.signalsCount,
    nvcsw: usage.voluntaryContextSwitches,
    nivcsw: usage.involuntaryContextSwitches,
  };
}

/** Processors this process may use: affinity and the cgroup's quota count. */
export function cpuCount(): number {
  return availableParallelism();
}

function readProc(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
