/**
 * What is to be sent after a task has ended: callbacks, the next step of its chain, error callbacks.
 *
 * Pure: takes the request and its body, returns the tasks to publish, in order. Publishing comes before the result is stored,
 * and both before the message is acknowledged; that order is the caller's.
 * Not built: chords. A task that is part of one, or whose follow-up is one, gets an entry in `unsupported`, which the caller
 * must log as an error.
 * Source: protocol notes, messages.md §9.
 */

import type { TaskContent } from '../protocol/task-message.ts';
import { newUuid } from '../std/new-uuid.ts';
import { Application, type ResultTuple } from './application.ts';
import type { OutgoingTaskWithRoute } from './signature-task.ts';

/** The task that has ended. */
export interface FinishedTask {
  readonly id: string;
  readonly rootId: string;
  readonly group: string | null;
  /** For the follow-ups: the task's own with task_inherit_parent_priority, else null. */
  readonly priority: number | null;
  /** gen<pid>@<hostname> of this process. */
  readonly origin: string;
  readonly stampedHeaders?: readonly string[] | null;
  readonly stamps?: Readonly<Record<string, unknown>> | null;
}

export interface FollowUps {
  readonly publish: readonly OutgoingTaskWithRoute[];
  /** What could not be applied, one sentence each. */
  readonly unsupported: readonly string[];
  /** Result tuples of what was applied, for `children` of the result document. */
  readonly children: readonly ResultTuple[];
  /** After a failure: later chain steps, to be stored as FAILURE with the same exception. */
  readonly failedSteps: readonly { readonly taskId: string; readonly groupId: string | null }[];
}

/** For tests. */
export interface FollowUpSources {
  readonly nowMs?: number;
  newId?(): string;
}

const none: FollowUps = Object.freeze({ publish: [], unsupported: [], children: [], failedSteps: [] });

export function followUpsOfSuccess(task: FinishedTask, content: TaskContent, result: unknown, sources: FollowUpSources = {}): FollowUps {
  const { callbacks, chain, chord } = content;
  if ((callbacks === null || callbacks.length === 0) && (chain === null || chain.length === 0) && isNothing(chord)) return none;

  const application = applicationOf(task, sources);
  const options = { parent_id: task.id, root_id: task.rootId, priority: task.priority };
  const children: (ResultTuple | null)[] = [];
  if (callbacks !== null && callbacks.length === 1) {
    children.push(application.apply(callbacks[0], [result], options, 'callbacks[0]'));
  } else if (callbacks !== null && callbacks.length > 1) {
    const groups = callbacks.filter(isGroup);
    const others = callbacks.filter((callback) => !isGroup(callback));
    for (const [index, group] of groups.entries()) children.push(application.apply(group, [result], options, `callbacks group ${index}`));
    if (others.length > 0) children.push(application.applyAsGroup(others, [result], options, 'callbacks'));
  }
  if (chain !== null && chain.length > 0) {
    // The last step is sent with an empty list, not null: it was in a chain.
    children.push(application.apply(chain[chain.length - 1], [result], { ...options, chain: chain.slice(0, -1) }, 'chain'));
  }
  noteChord(application, task, content);
  return {
    publish: application.publish,
    unsupported: application.unsupported,
    children: children.filter((child) => child !== null),
    failedSteps: [],
  };
}

/** Error callbacks are sent in the old style: one group, called with the id of the failed task. */
export function followUpsOfFailure(task: FinishedTask, content: TaskContent, sources: FollowUpSources = {}): FollowUps {
  const { errbacks, chain, chord } = content;
  if ((errbacks === null || errbacks.length === 0) && (chain === null || chain.length === 0) && isNothing(chord)) return none;

  const application = applicationOf(task, sources);
  noteChord(application, task, content);
  const failedSteps: { taskId: string; groupId: string | null }[] = [];
  for (const [index, step] of (chain ?? []).entries()) {
    const options = optionsOf(step);
    const { task_id, group_id } = options;
    if (typeof task_id === 'string') failedSteps.push({ taskId: task_id, groupId: typeof group_id === 'string' ? group_id : null });
    if (!isNothing(options.chord)) application.unsupported.push(chordNote(`chain[${index}]`, group_id));
  }
  if (errbacks !== null && errbacks.length > 0) {
    application.applyAsGroup(errbacks, [task.id], { parent_id: task.id, root_id: task.rootId }, 'errbacks');
  }
  return { publish: application.publish, unsupported: application.unsupported, children: [], failedSteps };
}

function applicationOf(task: FinishedTask, sources: FollowUpSources): Application {
  const context = {
    origin: task.origin,
    nowMs: sources.nowMs ?? Date.now(),
    stampedHeaders: task.stampedHeaders ?? [],
    stamps: task.stamps ?? {},
  };
  return new Application(context, sources.newId ?? newUuid);
}

function noteChord(application: Application, task: FinishedTask, content: TaskContent): void {
  if (!isNothing(content.chord)) application.unsupported.push(chordNote(`task ${task.id}`, task.group));
}

function chordNote(what: string, groupId: unknown): string {
  return `${what} is part of a chord (group ${String(groupId ?? 'unknown')}), which was not told of its end: chords are not built in this version`;
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined;
}

function isGroup(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'subtask_type' in value && value.subtask_type === 'group';
}

function optionsOf(step: unknown): Readonly<Record<string, unknown>> {
  if (typeof step !== 'object' || step === null || !('options' in step)) return {};
  const { options } = step;
  return typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : {};
}
