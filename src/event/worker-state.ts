/** A worker as its events show it. Alive for twice the time between two heartbeats. Source: protocol notes, events.md §4. */
import type { ReceivedEvent } from './receiver.ts';

export interface WorkerState {
  readonly hostname: string;
  pid: number | null;
  /** Seconds between two heartbeats. */
  freq: number;
  /** The last four signs of life, oldest first, unix seconds of our clock. */
  readonly heartbeats: number[];
  clock: number;
  active: number | null;
  processed: number | null;
  loadavg: readonly unknown[] | null;
  sw_ident: string | null;
  sw_ver: string | null;
  sw_sys: string | null;
  /** Whatever else its events have said. */
  readonly more: Map<string, unknown>;
}

const mostHeartbeats = 4;
/** The heartbeat rule, in times of `freq`. */
const expireWindow = 2;
const defaultFreq = 60;
const envelope = new Set(['hostname', 'type', 'timestamp', 'local_received', 'utcoffset']);

export function newWorker(hostname: string): WorkerState {
  return {
    hostname,
    pid: null,
    freq: defaultFreq,
    heartbeats: [],
    clock: 0,
    active: null,
    processed: null,
    loadavg: null,
    sw_ident: null,
    sw_ver: null,
    sw_sys: null,
    more: new Map(),
  };
}

export function isAlive({ heartbeats, freq }: WorkerState, nowSeconds: number): boolean {
  const last = heartbeats.at(-1);
  return last !== undefined && nowSeconds < last + freq * expireWindow;
}

export function applyWorkerEvent(worker: WorkerState, subject: string, event: ReceivedEvent): void {
  for (const [field, value] of Object.entries(event)) setField(worker, field, value);
  if (subject === 'offline') worker.heartbeats.length = 0;
  else signOfLife(worker, event.local_received);
}

export function signOfLife({ heartbeats }: WorkerState, atSeconds: number): void {
  if (heartbeats.length >= mostHeartbeats) heartbeats.shift();
  const at = heartbeats.findIndex((heartbeat) => heartbeat > atSeconds);
  if (at === -1) heartbeats.push(atSeconds);
  else heartbeats.splice(at, 0, atSeconds);
}

/** A value of a wrong kind is as good as none. */
function setField(worker: WorkerState, field: string, value: unknown): void {
  switch (field) {
    case 'freq':
      worker.freq = typeof value === 'number' && value > 0 ? value : defaultFreq;
      break;
    case 'clock':
      worker.clock = numberOf(value) ?? 0;
      break;
    case 'pid':
    case 'active':
    case 'processed':
      worker[field] = numberOf(value);
      break;
    case 'loadavg':
      worker.loadavg = Array.isArray(value) ? value : null;
      break;
    case 'sw_ident':
    case 'sw_ver':
    case 'sw_sys':
      worker[field] = typeof value === 'string' ? value : null;
      break;
    default:
      if (!envelope.has(field)) worker.more.set(field, value);
  }
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
