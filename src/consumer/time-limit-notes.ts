/**
 * What is to be said of the time limits that messages carry, once per task type: that they are not kept, and that one of them is longer
 * than Redis leaves a message with a Python worker.
 *
 * Owns which types have been spoken of. Enforces nothing.
 */
import type { Logger } from '../log/logger.ts';
import type { TaskHeader } from '../protocol/task-message.ts';

export interface TimeLimitNotesParams {
  /** Of the broker; null: it has none. */
  readonly visibilityTimeoutMs: number | null;
  readonly log: Logger;
}

export class TimeLimitNotes {
  readonly #params: TimeLimitNotesParams;
  readonly #unsupported = new Set<string>();
  readonly #beyondVisibility = new Set<string>();

  constructor(params: TimeLimitNotesParams) {
    this.#params = params;
  }

  /** Called for every message. */
  note({ task, hardTimeLimitSeconds, softTimeLimitSeconds }: TaskHeader): void {
    if (hardTimeLimitSeconds === null && softTimeLimitSeconds === null) return;
    const { log, visibilityTimeoutMs } = this.#params;
    if (!this.#unsupported.has(task)) {
      this.#unsupported.add(task);
      log.warning('task.limit-unsupported', `messages of ${task} carry time limits, which this version does not enforce`, {
        taskName: task,
      });
    }
    if (visibilityTimeoutMs === null || hardTimeLimitSeconds === null || hardTimeLimitSeconds * 1000 <= visibilityTimeoutMs) return;
    if (this.#beyondVisibility.has(task)) return;
    this.#beyondVisibility.add(task);
    const text = `visibility_timeout should be longer than every time limit, or a Python worker's task is delivered twice: got ${visibilityTimeoutMs / 1000} s, and ${hardTimeLimitSeconds} s for ${task}`;
    log.warning('task.limit-visibility', text, { taskName: task });
  }
}
