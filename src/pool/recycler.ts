/**
 * Replaces children that have done their share: after so many tasks, or when they hold too much memory.
 *
 * Owns the children that stand by to replace another (spares) and those replaced that still finish what they began (leaving). The
 * replacement is started first, early enough to be ready when it is needed, under the number of the child it replaces; it takes jobs
 * once that one takes no more, and only as many at a time as the places of their one number. Never kills a child.
 *
 *   a child works ──its tasks are nearly used up, or it has outgrown its memory──► a spare is started
 *   spare ready, and the tasks are used up or the memory outgrown ──► the spare works, the other finishes and leaves
 *   the child dies meanwhile ──► its spare works, ready or not
 */
import type { Logger } from '../log/logger.ts';
import type { ChildHandle } from './child-handle.ts';
import type { Job } from './job.ts';

/** What a start is thought to take before one was seen. */
const assumedStartMs = 300;
/** A spare is started when the tasks left will take so many times as long as a start. */
const margin = 1.5;
/** Why a child is to be replaced that may still be given tasks, as the end of a sentence about it. */
const renewals = {
  max_memory: 'has grown too big (worker.max_memory_per_child)',
  pool_restart: 'is to be replaced, as all are',
  suspect: 'runs what has ended others',
} as const;

/** How much of what a start took counts after the next one. */
const memory = 0.8;

export interface RecyclingParams {
  /** Tasks of one child over its life, and how many fewer it may be by chance; null: no bound. */
  readonly maxTasks: number | null;
  readonly maxTasksJitter: number;
  /** Resident bytes above which a child is replaced after its task; null: no bound. */
  readonly softBytes: number | null;
  /** Resident bytes above which a child is killed; null: no bound. */
  readonly hardBytes: number | null;
}

export const neverRecycled: RecyclingParams = { maxTasks: null, maxTasksJitter: 0, softBytes: null, hardBytes: null };

export interface RecyclerParams {
  /** Those that take jobs, by their index. */
  readonly children: Map<number, ChildHandle>;
  /** Tasks of one child over its life; null: no bound. */
  readonly maxTasks: number | null;
  /** Up to so many fewer, each child its own number. */
  readonly maxTasksJitter: number;
  /** Jobs one child runs at one time. */
  readonly slots: number;
  readonly log: Logger;
  /** 0…1. */
  random(): number;
  /** Milliseconds one task of this type takes; Infinity: not known. */
  estimateMs(taskName: string): number;
  /** Start a child with this index that is to stand by, or do not: it is asked for again. */
  spawnSpare(index: number): void;
  /** It takes jobs from now on. */
  onSwitched(child: ChildHandle): void;
}

export class Recycler {
  readonly #params: RecyclerParams;
  readonly #spares = new Map<number, ChildHandle>();
  readonly #leaving = new Set<ChildHandle>();
  #startMs = assumedStartMs;

  constructor(params: RecyclerParams) {
    this.#params = params;
  }

  /** Spares and those that leave. */
  get others(): readonly ChildHandle[] {
    return this.#leaving.size === 0 && this.#spares.size === 0 ? [] : [...this.#leaving, ...this.#spares.values()];
  }

  /** A child was started: to stand by when its number is at work already. */
  add(child: ChildHandle): void {
    const { children, maxTasks, maxTasksJitter, random } = this.#params;
    if (maxTasks !== null) child.tenure.quota = Math.max(1, maxTasks - Math.floor(random() * (maxTasksJitter + 1)));
    if (children.has(child.index)) this.#spares.set(child.index, child);
    else children.set(child.index, child);
  }

  /** Somebody else should take the place of the child with this index. */
  wanted(index: number): boolean {
    const child = this.#params.children.get(index);
    return child?.tenure.isOver === true;
  }

  /** A spare for it would be of use, or soon will be. */
  wantsSpare(index: number): boolean {
    return !this.#spares.has(index) && (this.#params.maxTasks !== null || this.wanted(index));
  }

  /** True: it works. False: it stands by. */
  onReady(child: ChildHandle): boolean {
    this.#startMs = Math.max(this.#startMs * memory, child.readyAtMs - child.spawnedAtMs);
    this.trySwitch(child.index);
    return this.#params.children.get(child.index) === child;
  }

  onJobDone(child: ChildHandle, job: Job): void {
    const { maxTasks, slots, estimateMs } = this.#params;
    if (maxTasks === null) return;
    const { left } = child.tenure;
    if (left <= 0 || (left * estimateMs(job.taskName)) / slots <= this.#startMs * margin) this.#warm(child);
  }

  /** It was given its last job. */
  onUsed(child: ChildHandle): void {
    this.#warm(child);
  }

  /** Another is to take its place. It goes on until that one is ready. */
  renew(child: ChildHandle, cause: keyof typeof renewals): void {
    child.tenure.renewal ??= cause;
    this.#warm(child);
    this.trySwitch(child.index);
  }

  /** It runs what may end it, as it has ended others: then the next is there already, and nothing that was sent behind it goes with it. */
  isolate(child: ChildHandle): void {
    child.tenure.quota = child.tenure.given;
    this.renew(child, 'suspect');
  }

  /** Let the spare work if it is time. */
  trySwitch(index: number): void {
    const { children, log } = this.#params;
    const child = children.get(index);
    const spare = this.#spares.get(index);
    if (child === undefined || spare === undefined || spare.state !== 'ready' || !this.wanted(index)) return;
    this.#spares.delete(index);
    this.#leaving.add(child);
    children.set(index, spare);
    spare.tenure.predecessor = child.jobs;
    child.stop();
    const { renewal, given } = child.tenure;
    const why = renewal !== null ? renewals[renewal] : `has been given its ${given} tasks (worker.max_tasks_per_child)`;
    log.info('child.recycled', `PoolChild-${index} (pid ${child.pid}) ${why}; pid ${spare.pid} takes its place`, {
      child: index,
      pid: child.pid,
    });
    this.#params.onSwitched(spare);
  }

  /** It is gone. Says what it was; the spare of one that worked works from now on. */
  remove(child: ChildHandle): 'working' | 'spare' | 'leaving' {
    const { children } = this.#params;
    if (this.#leaving.delete(child)) return 'leaving';
    const { index } = child;
    const spare = this.#spares.get(index);
    if (spare === child) {
      this.#spares.delete(index);
      return 'spare';
    }
    children.delete(index);
    if (spare !== undefined) {
      this.#spares.delete(index);
      children.set(index, spare);
    }
    return 'working';
  }

  /** No spares above this index. */
  shrink(size: number): void {
    for (const spare of this.#spares.values()) if (spare.index > size) spare.stop();
  }

  #warm(child: ChildHandle): void {
    const { children, spawnSpare } = this.#params;
    if (child.state !== 'ready' || children.get(child.index) !== child || this.#spares.has(child.index)) return;
    spawnSpare(child.index);
  }
}
