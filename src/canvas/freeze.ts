/**
 * Freezing: giving a signature the ids of its tasks before it is sent, so that they are known and the same whenever it is applied.
 *
 * Source: protocol notes, messages.md §8 (freezing) and §8.4 (size of a chord).
 */
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { readSignature, type Signature, tasksOf } from './signature.ts';
import { flattenGroups } from './unroll.ts';

export interface Freezing {
  newId(): string;
  /** Where results go to, where that is a place of its own; null: not said. */
  readonly replyTo: string | null;
}

/** What the end of it is told besides. */
interface EndOptions {
  readonly chord?: Signature;
  readonly group_index?: number;
}

/** Ids that are there already stay. `id` is that of the task whose result is the result of all. */
export function freeze(sig: Signature, freezing: Freezing, where: string, id: string | null = null, end: EndOptions = {}): Signature {
  const own = taskIdOf(sig);
  switch (sig.subtask_type) {
    case 'chain': {
      const steps = tasksOf(sig, where);
      const last = steps.length - 1;
      const tasks = steps.map((step, index) =>
        freeze(step, freezing, `${where}.tasks[${index}]`, index === last ? (own ?? id) : null, index === last ? end : {}),
      );
      return { ...sig, kwargs: { ...sig.kwargs, tasks } };
    }
    case 'group': {
      const { root_id = null, parent_id = null } = sig.options;
      const options = { ...sig.options, task_id: own ?? id ?? freezing.newId(), ...end, root_id, parent_id };
      return { ...sig, kwargs: { ...sig.kwargs, tasks: frozenMembers(sig, freezing, where, end.chord) }, options };
    }
    case 'chord': {
      const body = freeze(bodyOf(sig, where), freezing, `${where}.body`, id ?? own, end);
      const { groupId, members } = headerOf(sig, where);
      const options = groupId === null ? {} : { task_id: groupId };
      const group: Signature = {
        task: 'celery.group',
        args: [],
        kwargs: { tasks: members },
        options,
        subtask_type: 'group',
        immutable: false,
      };
      const header = freeze(group, freezing, `${where}.header`, null, { chord: body });
      return { ...sig, kwargs: { ...sig.kwargs, header, body }, options: { ...sig.options, task_id: taskIdOf(header) } };
    }
    default: {
      const options: Record<string, unknown> = { ...sig.options, task_id: own ?? id ?? freezing.newId() };
      if (freezing.replyTo !== null) options.reply_to ??= freezing.replyTo;
      return { ...sig, options: { ...options, ...end } };
    }
  }
}

function frozenMembers(group: Signature, freezing: Freezing, where: string, chord: Signature | undefined): Signature[] {
  const more = chord === undefined ? {} : { chord };
  return flattenGroups(tasksOf(group, where), where).map((member, index) =>
    freeze(member, freezing, `${where}.tasks[${index}]`, null, { ...more, group_index: index }),
  );
}

/** What a frozen signature comes to; its parents are what comes before it in the same signature. */
export function resultOf(sig: Signature, where: string): ResultTuple {
  switch (sig.subtask_type) {
    case 'chain': {
      let result: ResultTuple | null = null;
      for (const step of tasksOf(sig, where)) result = withParent(resultOf(step, where), result);
      return result ?? [['', null], null];
    }
    case 'group':
      return [[taskIdOf(sig) ?? '', null], tasksOf(sig, where).map((member) => resultOf(member, where))];
    case 'chord': {
      const { groupId, members } = headerOf(sig, where);
      const header: ResultTuple | null = groupId === null ? null : [[groupId, null], members.map((member) => resultOf(member, where))];
      return withParent(resultOf(bodyOf(sig, where), `${where}.body`), header);
    }
    default:
      return [[taskIdOf(sig) ?? '', null], null];
  }
}

/** The same, with this before all of it. */
export function withParent(result: ResultTuple, before: ResultTuple | null): ResultTuple {
  if (before === null) return result;
  const [[id, parent], children] = result;
  return [[id, parent === null ? before : withParent(parent, before)], children];
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
