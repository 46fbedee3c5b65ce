/** A task that has ended, and the means to apply what follows from it. */
import { newUuid } from '../std/new-uuid.ts';
import { Application } from './application.ts';

export interface FinishedTask {
  readonly id: string;
  readonly rootId: string;
  readonly group: string | null;
  readonly groupIndex?: number | null;
  /** For the follow-ups: the task's own with task_inherit_parent_priority, else null. */
  readonly priority: number | null;
  /** gen<pid>@<hostname> of this process. */
  readonly origin: string;
  readonly stampedHeaders?: readonly string[] | null;
  readonly stamps?: Readonly<Record<string, unknown>> | null;
}

/** For tests. */
export interface FollowUpSources {
  readonly nowMs?: number;
  newId?(): string;
}

export function applicationOf(task: FinishedTask, sources: FollowUpSources): Application {
  const context = {
    origin: task.origin,
    nowMs: sources.nowMs ?? Date.now(),
    stampedHeaders: task.stampedHeaders ?? [],
    stamps: task.stamps ?? {},
  };
  return new Application(context, sources.newId ?? newUuid);
}
