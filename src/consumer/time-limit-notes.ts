/**
 * Time limits that are longer than Redis leaves a message with a Python worker: said at the start of those that are known then, and once per
 * type of those that come with messages. And soft limits that never come because the hard one is not above them: said at the start.
 *
 * Owns which types have been spoken of. Enforces nothing: that is pool/limit-enforcer.ts.
 */
import type { Logger } from '../log/logger.ts';
import type { TimeLimit } from '../pool/time-limits.ts';
import type { TaskHeader } from '../protocol/task-message.ts';

export interface TimeLimitNotesParams {
  /** Of the broker; null: it has none. */
  readonly visibilityTimeoutMs: number | null;
  readonly log: Logger;
}

export class TimeLimitNotes {
  readonly #params: TimeLimitNotesParams;
  readonly #spokenOf = new Set<string>();

  constructor(params: TimeLimitNotesParams) {
    this.#params = params;
  }

  /** Called at the start. */
  noteTypes(taskNames: Iterable<string>, limitOf: (taskName: string) => TimeLimit): void {
    const tooLate = new Map<string, string[]>();
    for (const name of taskNames) {
      const { hardSeconds, softSeconds } = limitOf(name);
      this.#note(name, hardSeconds ?? softSeconds);
      if (hardSeconds === null || softSeconds === null || softSeconds < hardSeconds) continue;
      const limits = `${softSeconds} s and ${hardSeconds} s`;
      tooLate.set(limits, [...(tooLate.get(limits) ?? []), name]);
    }
    for (const [limits, names] of tooLate) {
      const text = `a soft time limit must be below the hard one, or the child is killed first: got ${limits} for ${names.join(', ')}`;
      this.#params.log.warning('task.soft-limit-too-late', text, { taskNames: names });
    }
  }

  /** Called for every message. */
  note({ task, hardTimeLimitSeconds, softTimeLimitSeconds }: TaskHeader): void {
    if (hardTimeLimitSeconds !== null || softTimeLimitSeconds !== null) this.#note(task, hardTimeLimitSeconds ?? softTimeLimitSeconds);
  }

  #note(task: string, limitSeconds: number | null): void {
    const { log, visibilityTimeoutMs } = this.#params;
    if (visibilityTimeoutMs === null || limitSeconds === null || limitSeconds * 1000 <= visibilityTimeoutMs) return;
    if (this.#spokenOf.has(task)) return;
    this.#spokenOf.add(task);
    const text = `visibility_timeout should be longer than every time limit, or a Python worker's task is delivered twice: got ${visibilityTimeoutMs / 1000} s, and ${limitSeconds} s for ${task}`;
    log.warning('task.limit-visibility', text, { taskName: task });
  }
}
