/**
 * What is to be sent after a task has ended: callbacks, the next step of its chain, error callbacks; and what becomes of the
 * chords it is a part of.
 *
 * Pure: takes the request and its body, returns the tasks to publish, in order. Publishing comes before the result is stored,
 * and both before the message is acknowledged; that order is the caller's. What cannot be applied gets an entry in `unsupported`,
 * which the caller must log as an error.
 * Source: protocol notes, messages.md §9.
 */
import { UmbelError } from '../errors.ts';
import type { NamedTask } from '../protocol/chord-part.ts';
import type { ErrbackCall } from '../protocol/errback.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { TaskContent } from '../protocol/task-message.ts';
import { type ChordEnd, ChordEnds, type ChordMembership, type LastTask, lastTasksOf, namedTasksOf } from './chord-end.ts';
import { applicationOf, type FinishedTask, type FollowUpSources } from './finished-task.ts';
import { readSignature, type Signature } from './signature.ts';
import type { OutgoingTaskWithRoute } from './signature-task.ts';

export interface FollowUps {
  readonly publish: readonly OutgoingTaskWithRoute[];
  /** After a failure, which must be told all the same: what of `publish` cannot be written as a message is left out, and said. */
  readonly lenient?: boolean;
  /** What could not be applied, one sentence each. */
  readonly unsupported: readonly string[];
  /** Result tuples of what was applied, for `children` of the result document. */
  readonly children: readonly ResultTuple[];
  /** After a failure: later chain steps, to be stored as FAILURE with the same exception. */
  readonly failedSteps: readonly NamedTask[];
  /** Chords that are to be told: of this task's end, and after a failure of those later steps that are parts of one. */
  readonly chords: readonly ChordEnd[];
}

const none: FollowUps = Object.freeze({ publish: [], unsupported: [], children: [], failedSteps: [], chords: [] });

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
  const ends = chordsOf(task, content, sources);
  return {
    publish: application.publish,
    unsupported: [...application.unsupported, ...ends.unsupported],
    children: children.filter((child) => child !== null),
    failedSteps: [],
    chords: ends.list,
  };
}

/** Error callbacks are one group, called with the id of the failed task, but for those that take the error itself: `call` knows them. */
export function followUpsOfFailure(
  task: FinishedTask,
  content: TaskContent,
  sources: FollowUpSources = {},
  call: ErrbackCall | null = null,
): FollowUps {
  const { errbacks, chain, chord } = content;
  if ((errbacks === null || errbacks.length === 0) && (chain === null || chain.length === 0) && isNothing(chord)) return none;

  const application = applicationOf(task, sources);
  const ends = new ChordEnds(task, sources);
  ends.add(ownPart(task), chord);
  const failedSteps = new Map<string, string | null>();
  for (const step of chain ?? []) {
    const { task_id, group_id } = optionsOf(step);
    if (typeof task_id === 'string') failedSteps.set(task_id, typeof group_id === 'string' ? group_id : null);
    const sig = readableSignature(step);
    if (sig === null) continue;
    for (const { taskId, groupId } of namedTasksOf(sig.signature, sig.last)) failedSteps.set(taskId, groupId);
    for (const last of sig.last) ends.add(last, last.chord);
  }
  if (errbacks !== null && errbacks.length > 0) {
    const options = { parent_id: task.id, root_id: task.rootId };
    const old: unknown[] = [];
    for (const [index, errback] of errbacks.entries()) {
      if (call !== null && isTaskThat(call.takesError, errback)) application.apply(errback, call.args(), options, `errbacks[${index}]`);
      else old.push(errback);
    }
    application.applyAsGroup(old, [task.id], options, 'errbacks');
  }
  return {
    publish: application.publish,
    lenient: true,
    unsupported: [...application.unsupported, ...ends.unsupported],
    children: [],
    failedSteps: [...failedSteps].map(([taskId, groupId]) => ({ taskId, groupId })),
    chords: ends.list,
  };
}

/** The chord a task is told to be a part of, whatever its end. */
export function chordsOf(task: FinishedTask, content: TaskContent, sources: FollowUpSources = {}): ChordEnds {
  const ends = new ChordEnds(task, sources);
  if (!isNothing(content.chord)) ends.add(ownPart(task), content.chord);
  return ends;
}

function ownPart({ id, group, groupIndex }: FinishedTask): ChordMembership {
  return { taskId: id, groupId: group, groupIndex: groupIndex ?? null };
}

/** null: whoever reaches it will say what is wrong with it. */
function readableSignature(value: unknown): { readonly signature: Signature; readonly last: readonly LastTask[] } | null {
  try {
    const read = readSignature(value, 'chain');
    return { signature: read, last: lastTasksOf(read, 'chain') };
  } catch (error) {
    if (error instanceof UmbelError) return null;
    throw error;
  }
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined;
}

/** A workflow is none: it is sent on with the id. */
function isTaskThat(test: (taskName: string) => boolean, value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('task' in value) || typeof value.task !== 'string') return false;
  const type = 'subtask_type' in value ? value.subtask_type : null;
  return isNothing(type) && test(value.task);
}

function isGroup(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'subtask_type' in value && value.subtask_type === 'group';
}

function optionsOf(step: unknown): Readonly<Record<string, unknown>> {
  if (typeof step !== 'object' || step === null || !('options' in step)) return {};
  const { options } = step;
  return typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : {};
}
