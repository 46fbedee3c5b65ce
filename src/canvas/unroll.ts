/**
 * Groups and chains as they are applied: nested ones spliced, a group with a step after it made the header of a chord.
 *
 * Source: protocol notes, messages.md §8.2 and §8.3.
 */
import { type Signature, tasksOf } from './signature.ts';

/** The members of groups in groups, in their natural order. */
export function flattenGroups(members: readonly Signature[], where: string): Signature[] {
  return members.flatMap((member) => (member.subtask_type === 'group' ? flattenGroups(tasksOf(member, where), where) : [member]));
}

/** Nested chains spliced, a group of one replaced by its member, empty groups left out where there is something else. */
export function flattenChains(steps: readonly Signature[], where: string): Signature[] {
  return steps.flatMap((step) => {
    if (step.subtask_type === 'chain') return flattenChains(tasksOf(step, where), where);
    if (step.subtask_type !== 'group') return [step];
    const members = flattenGroups(tasksOf(step, where), where);
    if (members.length === 0 && steps.length > 1) return [];
    return members.length === 1 ? flattenChains(members, where) : [step];
  });
}

/** A group with a step after it is a chord with that step as its body. */
export function upgradeGroups(steps: readonly Signature[], where: string): Signature[] {
  const upgraded: Signature[] = [];
  for (const step of steps.toReversed()) {
    const next = upgraded[0];
    if (step.subtask_type !== 'group' || next === undefined) {
      upgraded.unshift(step);
      continue;
    }
    upgraded[0] = {
      task: 'celery.chord',
      args: [],
      kwargs: { kwargs: {}, header: tasksOf(step, where), body: next },
      options: {},
      subtask_type: 'chord',
      immutable: false,
    };
  }
  return upgraded;
}
