/**
 * Which time limits a task has: those of its message, else of its type, else of the worker; hard and soft each for itself.
 *
 * Owns the limits of the types and the changes made while the worker runs, which count for tasks that start after them. 0 means, as in Celery,
 * that nothing is said here. When they are over is pool/task-deadlines.ts.
 */
import type { TaskOffer } from '../ipc/exchange.ts';
import type { Job } from './job.ts';

/** Seconds from the start of the task; null: none. */
export interface TimeLimit {
  readonly hardSeconds: number | null;
  readonly softSeconds: number | null;
}

/** It never comes: the hard limit is there first. */
export function softComesTooLate({ hardSeconds, softSeconds }: TimeLimit): boolean {
  return hardSeconds !== null && softSeconds !== null && softSeconds >= hardSeconds;
}

export const noTimeLimit: TimeLimit = { hardSeconds: null, softSeconds: null };

export class TimeLimits {
  readonly #worker: TimeLimit;
  #tasks: ReadonlyMap<string, TaskOffer> = new Map();
  readonly #changed = new Map<string, TimeLimit>();
  /** Types with limits other than the worker's. */
  readonly #ofType = new Map<string, TimeLimit>();

  constructor(worker: TimeLimit = noTimeLimit) {
    this.#worker = given(worker, noTimeLimit);
  }

  /** What the task modules say. */
  learn(tasks: ReadonlyMap<string, TaskOffer>): void {
    this.#tasks = tasks;
    this.#ofType.clear();
    for (const name of new Set([...tasks.keys(), ...this.#changed.keys()])) {
      const limit = given(this.#changed.get(name) ?? ownLimit(tasks.get(name)), this.#worker);
      if (limit.hardSeconds !== this.#worker.hardSeconds || limit.softSeconds !== this.#worker.softSeconds) this.#ofType.set(name, limit);
    }
  }

  /** Instead of what the task itself says; a null in it: the worker's. */
  change(taskName: string, limit: TimeLimit): void {
    this.#changed.set(taskName, limit);
    this.learn(this.#tasks);
  }

  /** Without what a message may say. */
  ofType(taskName: string): TimeLimit {
    return this.#ofType.get(taskName) ?? this.#worker;
  }

  /** null: it may take as long as it likes. Asked once for every task that starts. */
  of(job: Job): TimeLimit | null {
    const type = this.#ofType.size === 0 ? this.#worker : this.ofType(job.taskName);
    const limit = job.timeLimit === null ? type : given(job.timeLimit, type);
    return limit.hardSeconds === null && limit.softSeconds === null ? null : limit;
  }
}

function ownLimit(offer: TaskOffer | undefined): TimeLimit {
  return { hardSeconds: offer?.timeLimit ?? null, softSeconds: offer?.softTimeLimit ?? null };
}

/** Part by part: what `limit` says, else what `otherwise` does. */
export function given(limit: TimeLimit, otherwise: TimeLimit): TimeLimit {
  return { hardSeconds: limit.hardSeconds || otherwise.hardSeconds, softSeconds: limit.softSeconds || otherwise.softSeconds };
}
