/**
 * Time limits that are longer than Redis leaves a message with a Python worker: said at the start of those that are known then, and once per
 * type of those that come with messages. So it is with soft limits that never come because the hard one is not above them. And hard limits in a pool
 * that can end no task.
 *
 * Owns which types have been spoken of. Enforces nothing: that is pool/limit-enforcer.ts.
 */
import type { Logger } from '../log/logger.ts';
import type { Pool } from '../pool/pool.ts';
import { given, noTimeLimit, softComesTooLate, type TimeLimit } from '../pool/time-limits.ts';
import type { TaskHeader } from '../protocol/task-message.ts';

export interface TimeLimitNotesParams {
  /** Of the broker; null: it has none. */
  readonly visibilityTimeoutMs: number | null;
  readonly pool: Pick<Pool, 'name' | 'features'>;
  readonly log: Logger;
}

export class TimeLimitNotes {
  readonly #params: TimeLimitNotesParams;
  readonly #spokenOf = new Set<string>();
  /** Types of which it was said that their soft limit never comes. */
  readonly #tooLate = new Set<string>();
  #limitOf: (taskName: string) => TimeLimit = () => noTimeLimit;

  constructor(params: TimeLimitNotesParams) {
    this.#params = params;
  }

  /** Called at the start. */
  noteTypes(taskNames: Iterable<string>, limitOf: (taskName: string) => TimeLimit): void {
    this.#limitOf = limitOf;
    const tooLate = new Map<string, string[]>();
    const tooLong = new Map<number, string[]>();
    const hard: string[] = [];
    for (const name of taskNames) {
      const limit = limitOf(name);
      const seconds = limit.hardSeconds ?? limit.softSeconds;
      // A limit of all tasks is that of Celery's built-in ones, too, which take no time.
      if (seconds !== null && !name.startsWith('celery.') && this.#isNews(name, seconds))
        tooLong.set(seconds, [...(tooLong.get(seconds) ?? []), name]);
      if (limit.hardSeconds !== null) hard.push(name);
      if (!softComesTooLate(limit)) continue;
      const limits = `${limit.softSeconds} s and ${limit.hardSeconds} s`;
      tooLate.set(limits, [...(tooLate.get(limits) ?? []), name]);
    }
    for (const [seconds, names] of tooLong) this.#sayTooLong(seconds, names);
    for (const [limits, names] of tooLate) this.#sayTooLate(names, `${limits} for ${names.join(', ')}`);
    const { pool, log } = this.#params;
    if (hard.length === 0 || pool.features.terminate) return;
    const text = `a hard time limit needs a pool that can end a running task, got '${pool.name}', which only says that it is over: ${hard.join(', ')}`;
    log.warning('task.hard-limit-unenforced', text, { taskNames: hard });
  }

  /** Called for every message. */
  note({ task, hardTimeLimitSeconds, softTimeLimitSeconds }: TaskHeader): void {
    if (hardTimeLimitSeconds === null && softTimeLimitSeconds === null) return;
    const seconds = hardTimeLimitSeconds ?? softTimeLimitSeconds;
    if (seconds !== null && this.#isNews(task, seconds)) this.#sayTooLong(seconds, [task]);
    const limit = given({ hardSeconds: hardTimeLimitSeconds, softSeconds: softTimeLimitSeconds }, this.#limitOf(task));
    if (softComesTooLate(limit) && !this.#tooLate.has(task))
      this.#sayTooLate([task], `${limit.softSeconds} s and ${limit.hardSeconds} s for a message of ${task}`);
  }

  #sayTooLate(taskNames: readonly string[], got: string): void {
    for (const name of taskNames) this.#tooLate.add(name);
    const text = `a soft time limit must be below the hard one, or the child is killed first: got ${got}`;
    this.#params.log.warning('task.soft-limit-too-late', text, { taskNames });
  }

  /** Longer than the visibility timeout, and not spoken of; from now on it is. */
  #isNews(task: string, limitSeconds: number): boolean {
    const { visibilityTimeoutMs } = this.#params;
    if (visibilityTimeoutMs === null || limitSeconds * 1000 <= visibilityTimeoutMs || this.#spokenOf.has(task)) return false;
    this.#spokenOf.add(task);
    return true;
  }

  #sayTooLong(limitSeconds: number, taskNames: readonly string[]): void {
    const timeout = `${(this.#params.visibilityTimeoutMs ?? 0) / 1000} s`;
    const text = `visibility_timeout should be longer than every time limit, or a Python worker's task is delivered twice: got ${timeout}, and ${limitSeconds} s for ${taskNames.join(', ')}`;
    this.#params.log.warning('task.limit-visibility', text, { taskNames });
  }
}
