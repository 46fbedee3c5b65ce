/**
 * The cluster as its events show it: workers and whether they live, tasks and how far they have come. In memory, bounded: the oldest go first.
 *
 * Owns the merging of what comes out of order. It is Celery's, and a monitor of Python that gets the same events sees the same; so are the names.
 * Source: protocol notes, events.md §4 and §6; the rules of `celery.events.state`.
 */
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import type { ReceivedEvent } from './receiver.ts';
import { applyTaskEvent, newTask, type TaskState } from './task-state.ts';
import { applyWorkerEvent, isAlive, newWorker, signOfLife, type WorkerState } from './worker-state.ts';

export interface StateParams {
  /** Default: 5,000. */
  readonly maxWorkers?: number;
  /** Default: 10,000. */
  readonly maxTasks?: number;
  readonly clock?: Clock;
  /** Is told, once a worker, that its clock is far from ours. Default: nobody. */
  readonly log?: Logger;
  /** It was heard of for the first time, or came online. */
  onNodeJoin?(worker: WorkerState): void;
  /** It said that it goes. */
  onNodeLeave?(worker: WorkerState): void;
}

/** Where a task has its place among others: its last event. */
interface Place {
  clock: number;
  timestamp: number;
  origin: string;
}

/** Seconds between the clocks of two machines. */
const mostDriftSeconds = 16;

export class State {
  readonly workers: ReadonlyMap<string, WorkerState>;
  readonly tasks: ReadonlyMap<string, TaskState>;
  /** Events seen, and tasks received. */
  eventCount = 0;
  taskCount = 0;
  readonly #params: StateParams;
  readonly #clock: Clock;
  readonly #workers = new Map<string, WorkerState>();
  readonly #tasks = new Map<string, TaskState>();
  readonly #places = new Map<string, Place>();
  /** By the id of the parent, known or not. */
  readonly #children = new Map<string, Set<string>>();
  readonly #types = new Set<string>();
  readonly #drifted = new Set<string>();
  #sorted: TaskState[] | null = null;

  constructor(params: StateParams = {}) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.workers = this.#workers;
    this.tasks = this.#tasks;
  }

  /** One that lacks what every event of its kind has is counted and changes nothing; so is one that is neither of a worker nor of a task. */
  event(event: ReceivedEvent): void {
    this.eventCount++;
    const dash = event.type.indexOf('-');
    const group = dash === -1 ? event.type : event.type.slice(0, dash);
    const subject = dash === -1 ? '' : event.type.slice(dash + 1);
    const { hostname, timestamp } = event;
    if (typeof hostname !== 'string' || typeof timestamp !== 'number') return;
    if (group === 'worker') this.#workerEvent(subject, hostname, timestamp, event);
    else if (group === 'task' && typeof event.uuid === 'string') this.#taskEvent(subject, event.uuid, hostname, timestamp, event);
  }

  /** Those whose last sign of life is not too old. */
  aliveWorkers(): WorkerState[] {
    return [...this.#workers.values()].filter((worker) => this.isAlive(worker));
  }

  isAlive(worker: WorkerState): boolean {
    return isAlive(worker, this.#clock.now() / 1000);
  }

  /** Forget it: it has been silent for too long. */
  forgetWorker(hostname: string): void {
    this.#workers.delete(hostname);
    this.#drifted.delete(hostname);
  }

  /** By the logical clock of the last event of each, the latest first. */
  tasksByTime(): readonly TaskState[] {
    this.#sorted ??= [...this.#tasks.values()].sort((a, b) => byTime(this.#placeOf(b), this.#placeOf(a)));
    return this.#sorted;
  }

  tasksByType(name: string): TaskState[] {
    return this.tasksByTime().filter((task) => task.name === name);
  }

  tasksByWorker(hostname: string): TaskState[] {
    return this.tasksByTime().filter((task) => task.worker === hostname);
  }

  /** Names of tasks seen, sorted. */
  taskTypes(): string[] {
    return [...this.#types].sort();
  }

  /** Tasks known that this one has sent. */
  childrenOf(uuid: string): TaskState[] {
    return [...(this.#children.get(uuid) ?? [])].flatMap((id) => this.#tasks.get(id) ?? []);
  }

  /** `ready` true: those that have not ended stay. */
  clearTasks(ready = true): void {
    for (const task of this.#tasks.values()) if (!ready || isReady(task)) this.#forgetTask(task);
    this.#sorted = null;
  }

  clear(ready = true): void {
    this.#workers.clear();
    this.#drifted.clear();
    this.clearTasks(ready);
    this.eventCount = 0;
    this.taskCount = 0;
  }

  #workerEvent(subject: string, hostname: string, timestamp: number, event: ReceivedEvent): void {
    const isOffline = subject === 'offline';
    let worker = this.#workers.get(hostname);
    const isNew = worker === undefined && !isOffline;
    worker ??= isOffline ? newWorker(hostname) : this.#addWorker(hostname);
    applyWorkerEvent(worker, subject, event);
    if (!isOffline) this.#checkDrift(hostname, timestamp, event.local_received);
    if (isNew || subject === 'online') this.#params.onNodeJoin?.(worker);
    if (!isOffline) return;
    this.#params.onNodeLeave?.(worker);
    this.forgetWorker(hostname);
  }

  #taskEvent(subject: string, uuid: string, hostname: string, timestamp: number, event: ReceivedEvent): void {
    const isClients = subject === 'sent';
    const task = this.#tasks.get(uuid) ?? this.#addTask(uuid);
    let origin = hostname;
    if (isClients) task.client = hostname;
    else {
      const worker = this.#workers.get(hostname) ?? this.#addWorker(hostname);
      task.worker = hostname;
      // What a worker says of a task says that it lives.
      signOfLife(worker, timestamp);
      origin = `${hostname}.${worker.pid}`;
    }
    this.#place(uuid, { clock: event.clock, timestamp, origin });
    if (subject === 'received') this.taskCount++;
    applyTaskEvent(task, subject, event);
    if (task.name !== null) this.#addType(task.name);
    if (task.parent_id !== null) this.#addChild(task.parent_id, uuid);
  }

  #addWorker(hostname: string): WorkerState {
    const worker = newWorker(hostname);
    this.#workers.set(hostname, worker);
    if (this.#workers.size > (this.#params.maxWorkers ?? 5000)) {
      const [oldest] = this.#workers.keys();
      if (oldest !== undefined) this.forgetWorker(oldest);
    }
    return worker;
  }

  #addTask(uuid: string): TaskState {
    const task = newTask(uuid);
    this.#tasks.set(uuid, task);
    if (this.#tasks.size > (this.#params.maxTasks ?? 10_000)) {
      const [oldest] = this.#tasks.values();
      if (oldest !== undefined) this.#forgetTask(oldest);
    }
    return task;
  }

  #forgetTask({ uuid, parent_id: parentId }: TaskState): void {
    this.#tasks.delete(uuid);
    this.#places.delete(uuid);
    if (parentId === null) return;
    const siblings = this.#children.get(parentId);
    siblings?.delete(uuid);
    if (siblings?.size === 0) this.#children.delete(parentId);
  }

  /** As many as there are tasks, at most: names come from whoever sends. */
  #addType(name: string): void {
    if (this.#types.size < (this.#params.maxTasks ?? 10_000)) this.#types.add(name);
  }

  #addChild(parentId: string, uuid: string): void {
    const children = this.#children.get(parentId);
    if (children === undefined) this.#children.set(parentId, new Set([uuid]));
    else children.add(uuid);
  }

  #place(uuid: string, place: Place): void {
    const last = this.#places.get(uuid);
    if (last !== undefined && byTime(place, last) < 0) return;
    this.#places.set(uuid, place);
    this.#sorted = null;
  }

  #placeOf({ uuid }: TaskState): Place {
    return this.#places.get(uuid) ?? { clock: 0, timestamp: 0, origin: '' };
  }

  #checkDrift(hostname: string, timestamp: number, receivedAt: number): void {
    const drift = Math.abs(Math.trunc(receivedAt) - Math.trunc(timestamp));
    if (drift <= mostDriftSeconds || this.#drifted.has(hostname)) return;
    this.#drifted.add(hostname);
    this.#params.log?.warning(
      'event.drift',
      `Substantial drift from ${hostname} may mean clocks are out of sync. Current drift is ${drift} seconds`,
      { hostname, drift },
    );
  }
}

const readyStates = new Set(['SUCCESS', 'FAILURE', 'REVOKED']);

function isReady({ state }: TaskState): boolean {
  return readyStates.has(state);
}

/** The logical clock decides, and between equals the name of the node; without one the time of day does. */
function byTime(a: Place, b: Place): number {
  if (a.clock === 0 || b.clock === 0) return a.timestamp - b.timestamp;
  if (a.clock !== b.clock) return a.clock - b.clock;
  return a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0;
}
