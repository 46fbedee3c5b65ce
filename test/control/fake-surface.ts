/** A worker as remote commands see it, made of plain values; notes what it was told to do. */
import { CommandFailure } from '../../src/control/command-failure.ts';
import type { ControlSurface, RequestInfo } from '../../src/control/control-surface.ts';
import { LamportClock } from '../../src/std/lamport-clock.ts';

export const request: RequestInfo = {
  id: 'id-1',
  name: 'proj.slow',
  args: [9],
  kwargs: {},
  type: 'proj.slow',
  hostname: 'worker1@example.com',
  time_start: 1.5,
  acknowledged: true,
  delivery_info: { exchange: '', routing_key: 'celery', priority: 0, redelivered: null },
  worker_pid: 7,
};

export class FakeSurface implements ControlSurface {
  readonly nodeName: string;
  readonly clock = new LamportClock();
  readonly done: unknown[][] = [];
  readonly ids = new Map<string, number>();
  eventsOn: boolean | null = null;

  constructor(nodeName = 'worker1@example.com') {
    this.nodeName = nodeName;
  }

  active(safe: boolean) {
    return safe ? [{ ...request, args: '(9,)', kwargs: '{}' }] : [request];
  }
  reserved() {
    return [];
  }
  scheduled() {
    return [{ eta: '2026-11-20T09:22:13.875074+00:00', priority: 6, request }];
  }
  revoked() {
    return [...this.ids.keys()];
  }
  revokedTimes() {
    return this.ids;
  }
  learnRevoked(hello: unknown) {
    for (const id of Object.keys(hello ?? {})) this.ids.set(id, 12345);
  }
  tasks() {
    return [
      { name: 'proj.mul', rate_limit: null, acks_late: false },
      { name: 'proj.limited', rate_limit: '10/m', acks_late: true },
      { name: 'celery.map' },
    ];
  }
  stats() {
    return { total: {}, pid: 1 };
  }
  activeQueues() {
    return [{ name: 'celery' }];
  }
  conf(withDefaults: boolean) {
    return { with_defaults: withDefaults };
  }
  queryTask(ids: readonly string[]) {
    return Object.fromEntries(ids.filter((id) => id === request.id).map((id) => [id, ['active', request] as const]));
  }
  report() {
    return 'software -> umbel';
  }
  rssBytes() {
    return 52_445 * 1048.576;
  }
  heapReport(samples: number) {
    return `${samples} samples`;
  }
  heapSnapshot() {
    return Promise.resolve('/tmp/heap');
  }
  revoke(ids: readonly string[], signal: string | null) {
    this.done.push(['revoke', ids, signal]);
    for (const id of ids) this.ids.set(id, 1.25);
    return { terminated: signal === null ? [] : ids.filter((id) => id === request.id) };
  }
  revokeByStampedHeaders(headers: Readonly<Record<string, readonly string[]>>, signal: string | null) {
    this.done.push(['stamps', headers, signal]);
    return { terminated: signal === null ? [] : ['id-1'] };
  }
  rateLimit(taskName: string, rate: string | number | null) {
    if (!taskName.startsWith('proj.')) return 'unknown';
    if (rate === 'abc') throw new CommandFailure('ValueError', "could not convert string to float: 'abc'");
    this.done.push(['rate', taskName, rate]);
    return 'done';
  }
  timeLimit(taskName: string, hard: number | null, soft: number | null) {
    if (!taskName.startsWith('proj.')) return 'unknown';
    this.done.push(['time', taskName, hard, soft]);
    return hard !== null && soft !== null && soft >= hard ? 'soft-too-late' : 'done';
  }
  async addConsumer(options: object) {
    this.done.push(['add', options]);
  }
  async cancelConsumer(queue: string) {
    this.done.push(['cancel', queue]);
  }
  poolGrow(count: number) {
    this.done.push(['grow', count]);
  }
  poolShrink(count: number) {
    this.done.push(['shrink', count]);
  }
  poolRestart(): void {
    throw new CommandFailure('ValueError', 'Pool restarts not enabled');
  }
  autoscale(max: number | null, min: number | null): { max: number; min: number } {
    if (max === 4) throw new CommandFailure('ValueError', 'Autoscale not enabled');
    return { max: max ?? 10, min: min ?? 1 };
  }
  shutdown(message: string) {
    this.done.push(['shutdown', message]);
  }
  heartbeat() {
    this.done.push(['heartbeat']);
  }
  enableEvents() {
    if (this.eventsOn === null) return 'unavailable';
    return this.eventsOn ? 'unchanged' : 'changed';
  }
  disableEvents() {
    if (this.eventsOn === null) return 'unavailable';
    return this.eventsOn ? 'changed' : 'unchanged';
  }
  election(id: string, topic: string, action: unknown) {
    this.done.push(['election', id, topic, action]);
  }
}
