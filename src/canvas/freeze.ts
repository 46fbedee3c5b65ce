/**
 * Freezing: giving a signature the ids of its tasks before it is sent, so that they are known and the same whenever it is applied.
 *
 * Source: protocol notes, messages.md §8 (freezing) and §8.4 (size of a chord).
 */
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { mergeSignature, readSignature, type Signature, tasksOf } from './signature.ts';
import { flattenGroups } from './unroll.ts';

/** Ids that are there already stay. `id` is that of the task whose result is the result of all. */
export function freeze(sig: Signature, newId: () => string, where: string, id: string | null = null): Signature {
  const own = taskIdOf(sig);
  switch (sig.subtask_type) {
    case 'chain': {
      const steps = tasksOf(sig, where);
      const last = steps.length - 1;
      const tasks = steps.map((step, index) => freeze(step, newId, `${where}.tasks[${index}]`, index === last ? (own ?? id) : null));
      return { ...sig, kwargs: { ...sig.kwargs, tasks } };
    }
    case 'group': {
      const members = flattenGroups(tasksOf(sig, where), where);
      const tasks = members.map((member, index) =>
        mergeSignature(freeze(member, newId, `${where}.tasks[${index}]`), { options: { group_index: index } }),
      );
      return { ...sig, kwargs: { ...sig.kwargs, tasks }, options: { ...sig.options, task_id: own ?? id ?? newId() } };
    }
    case 'chord':
      return { ...sig, kwargs: { ...sig.kwargs, body: freeze(bodyOf(sig, where), newId, `${where}.body`, id ?? own) } };
    default:
      return { ...sig, options: { ...sig.options, task_id: own ?? id ?? newId() } };
  }
}

/** What a frozen signature comes to. */
export function resultOf(sig: Signature, where: string): ResultTuple {
  switch (sig.subtask_type) {
    case 'chain': {
      const last = tasksOf(sig, where).at(-1);
      return last === undefined ? [['', null], null] : resultOf(last, where);
    }
    case 'group':
      return [[taskIdOf(sig) ?? '', null], tasksOf(sig, where).map((member) => resultOf(member, where))];
    case 'chord':
      return resultOf(bodyOf(sig, where), `${where}.body`);
    default:
      return [[taskIdOf(sig) ?? '', null], null];
  }
}

/** How many ends of tasks it brings to the chord it is a part of. */
export function chordSizeOf(sig: Signature, where: string): number {
  switch (sig.subtask_type) {
    case 'chain':
      // The last step that is not empty.
      for (const step of tasksOf(sig, where).toReversed()) {
        const size = chordSizeOf(step, where);
        if (size > 0) return size;
      }
      return 0;
    case 'group':
      return tasksOf(sig, where).reduce((sum, member) => sum + chordSizeOf(member, where), 0);
    case 'chord':
      return chordSizeOf(bodyOf(sig, where), `${where}.body`);
    default:
      return 1;
  }
}

export function bodyOf(sig: Signature, where: string): Signature {
  return readSignature(sig.kwargs.body, `${where}.body`);
}

/** The header, as a list: it may be a group, a list of signatures, or one. */
export function headerOf(sig: Signature, where: string): { readonly groupId: string | null; readonly members: readonly Signature[] } {
  const { header } = sig.kwargs;
  if (Array.isArray(header)) {
    const members = header.map((item, index) => readSignature(item, `${where}.header[${index}]`));
    return { groupId: null, members: flattenGroups(members, `${where}.header`) };
  }
  const one = readSignature(header, `${where}.header`);
  if (one.subtask_type !== 'group') return { groupId: null, members: [one] };
  return { groupId: taskIdOf(one), members: flattenGroups(tasksOf(one, `${where}.header`), `${where}.header`) };
}

export function taskIdOf(sig: Signature): string | null {
  const { task_id } = sig.options;
  return typeof task_id === 'string' && task_id !== '' ? task_id : null;
}
