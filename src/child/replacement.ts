/**
 * `context.replace()`: the messages of what takes a task's place. They are published as what follows from the task, before its message is
 * acknowledged.
 *
 * The replacement has the task's id, its place in group and chord, its callbacks and error callbacks, and the rest of its chain.
 * Source: messages.md §9.2.
 */
import { encodeFollowUps, type FollowUpMessage, type RouteOf } from '../canvas/follow-up-message.ts';
import { UmbelError } from '../errors.ts';
import type { ChildSettings } from '../ipc/exchange.ts';
import type { Replaced } from '../task/control-flow.ts';
import { asSignature, ChainSignature, ChordSignature, GroupSignature, Signature } from '../task/signature.ts';
import type { TaskRequest } from '../task/task-context.ts';
import { applyInTask } from './calling-task.ts';

/** Throws what is wrong with the signature, or cannot be encoded. */
export function replacement(
  { signature }: Replaced,
  task: TaskRequest,
  nesting: number,
  settings: ChildSettings,
  routeOf: RouteOf,
): readonly FollowUpMessage[] {
  const whole = withOneEnd(signature.clone());
  for (const callback of task.callbacks ?? []) endOf(whole).link(asSignature(callback));
  for (const errback of task.errbacks ?? []) whole.linkError(asSignature(errback));
  endOf(whole).options.task_id = task.id;
  const options = {
    chord: task.chord,
    group_id: task.group,
    group_index: task.groupIndex,
    replaced_task_nesting: nesting + 1,
    chain: task.chain === null || task.chain.length === 0 ? null : task.chain,
  };
  const { application } = applyInTask(whole, { options }, task, settings.inheritParentPriority);
  const applied = { publish: application.publish, unsupported: [], children: [], failedSteps: [], chords: [] };
  return encodeFollowUps(applied, settings.taskProtocol, routeOf).messages;
}

/** Others wait for one result: a group gets a task that gives the list of its results. */
function withOneEnd(signature: Signature<unknown>): Signature<unknown> {
  const accumulate = new Signature({ task: 'celery.accumulate', kwargs: { index: 0 } });
  if (signature instanceof ChainSignature) return signature.tasks.at(-1) instanceof GroupSignature ? signature.pipe(accumulate) : signature;
  return signature instanceof GroupSignature ? signature.pipe(accumulate) : signature;
}

/** The task whose result is that of the whole. */
function endOf(signature: Signature<unknown>): Signature<unknown> {
  if (signature instanceof ChordSignature) return endOf(signature.body);
  if (!(signature instanceof ChainSignature)) return signature;
  const last = signature.tasks.at(-1);
  if (last === undefined) throw new UmbelError('TASK_OPTION_INVALID', 'a chain that replaces a task must have a task, got an empty one');
  return endOf(last);
}
