/** What a run costs: CPU time of a worker, its children and the server it works with. */
import { readFileSync } from 'node:fs';

/** CPU seconds since the start of each process. */
export interface CpuCost {
  readonly parentSeconds: number;
  readonly childrenSeconds: number;
  readonly serverSeconds: number;
}

/** Linux counts in hundredths of a second. */
const ticksPerSecond = 100;

export function cpuCost(parentPid: number, serverPid: number): CpuCost {
  const children = readFileSync(`/proc/${parentPid}/task/${parentPid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return {
    parentSeconds: cpuSeconds(parentPid),
    childrenSeconds: children.map(cpuSeconds).reduce((sum, one) => sum + one, 0),
    serverSeconds: cpuSeconds(serverPid),
  };
}

export function cpuSeconds(pid: number): number {
  // Behind the name, which may hold anything: state is the third field, utime the 14th, stime the 15th.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export function cpuBetween(before: CpuCost, after: CpuCost): CpuCost {
  return {
    parentSeconds: after.parentSeconds - before.parentSeconds,
    childrenSeconds: after.childrenSeconds - before.childrenSeconds,
    serverSeconds: after.serverSeconds - before.serverSeconds,
  };
}

/** Microseconds for one task: parent, children and server. */
export function describeCpu({ parentSeconds, childrenSeconds, serverSeconds }: CpuCost, tasks: number, server: string): string {
  const us = (seconds: number): string => ((seconds / tasks) * 1e6).toFixed(0);
  return `CPU µs ${us(parentSeconds)} + ${us(childrenSeconds)}, ${server} ${us(serverSeconds)}`;
}
