/** What the worker and its children need of the machine, beside what they may have. */
import type { MachineLimits } from '../os/machine-limits.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';
import type { Unit } from './unit-file.ts';

/** Pipes of a child (3 to it and 2 of its output), with room for a spare of each. */
const filesPerChild = 6;
/** Connections, log, database, probes, what Node itself has open. */
const filesOfWorker = 64;
/** Node's own threads; tasks may have more. */
const threadsPerProcess = 12;
/** A Node process with nothing loaded. */
const leastChildBytes = 48 * 1024 * 1024;
const parentBytes = 96 * 1024 * 1024;

interface Need {
  readonly children: number;
  /** Processes, the worker itself included. */
  readonly processes: number;
  readonly openFiles: number;
}

function needOf({ config, names }: Subject): Need {
  const { worker_pool: pool, worker_autoscale: range } = config.settings;
  const children = Math.max(names.pool.children, range?.max ?? 0);
  const own = pool === 'prefork' || pool === 'async';
  return { children, processes: own ? children + 1 : 1, openFiles: filesOfWorker + (own ? children * filesPerChild : 0) };
}

/** With a unit its limits count, and not those of whoever asks: what it does not say is not known here. */
export function* machine(subject: Subject, limits: MachineLimits, unit: Unit | null): Iterable<Finding> {
  const need = needOf(subject);
  const { worker_max_memory_per_child: softKib, worker_max_memory_hard: hardKib } = subject.config.settings;
  const place = placeOf(subject, subject.config.settings.worker_autoscale === null ? 'worker_concurrency' : 'worker_autoscale');
  const bound = (own: number | null, key: string): number | null => (unit === null ? own : sizeOf(unit.get(key)?.text));
  const placeOfBound = (key: string): string => (unit === null || unit.get(key) === null ? place : unit.place(key));
  const openFiles = bound(limits.openFiles, 'LimitNOFILE');
  if (openFiles !== null && openFiles < need.openFiles) {
    const text = `${need.children} children need at least ${need.openFiles} open files, got a limit of ${openFiles}`;
    yield found('OPEN_FILES_LIMIT', text, placeOfBound('LimitNOFILE'));
  }
  const threads = need.processes * threadsPerProcess;
  for (const [most, key, what] of [
    [bound(limits.cgroupPids, 'TasksMax'), 'TasksMax', 'the cgroup'],
    [bound(limits.processes, 'LimitNPROC'), 'LimitNPROC', 'the user'],
  ] as const) {
    if (most === null || most >= threads) continue;
    const text = `${need.processes} processes have at least ${threads} threads, got a limit of ${most} for ${what}`;
    yield found('PROCESS_LIMIT', text, placeOfBound(key));
  }
  const memory = bound(limits.cgroupMemoryBytes, 'MemoryMax');
  if (memory === null || need.processes === 1) return;
  const childKib = hardKib ?? softKib;
  const perChild = childKib === null ? leastChildBytes : childKib * 1024;
  const needed = parentBytes + need.children * perChild;
  if (needed <= memory) return;
  const why = childKib === null ? 'have at least' : 'may have';
  const text = `${need.children} children ${why} ${mib(needed)} together with their worker, got ${mib(memory)} for the cgroup`;
  yield found(
    'CGROUP_MEMORY',
    text,
    childKib === null ? place : placeOf(subject, hardKib === null ? 'worker_max_memory_per_child' : 'worker_max_memory_hard'),
  );
}

/** As systemd writes limits: `1024:65536`, of which Node takes the higher, and K, M, G, T of 1024. null: no bound, or a share of the machine. */
function sizeOf(text = ''): number | null {
  const [, digits, letter = ''] = /^(\d+)([KMGT]?)$/.exec(text.split(':').at(-1) ?? '') ?? [];
  return digits === undefined ? null : Number(digits) * 1024 ** ' KMGT'.indexOf(letter || ' ');
}

function mib(count: number): string {
  return `${Math.round(count / 1024 / 1024)} MiB`;
}
