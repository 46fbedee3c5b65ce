/**
 * What becomes of a chord when one of its parts ends: the tasks of the body, should this part complete it, and what follows from
 * the body's failure, should one of the parts have failed.
 *
 * Whether it is complete only the result backend knows, and the results come from there. So the body is applied to a token, and
 * whoever publishes it puts the list of results in the token's place.
 * Source: protocol notes, messages.md §8.4 and §9; redis.md §5.4.
 */
import { messageOf, UmbelError } from '../errors.ts';
import type { NamedTask } from '../protocol/chord-part.ts';
import { newUuid } from '../std/new-uuid.ts';
import { applicationOf, type FinishedTask, type FollowUpSources } from './finished-task.ts';
import { bodyOf, taskIdOf } from './freeze.ts';
import { readSignature, type Signature, tasksOf } from './signature.ts';
import type { OutgoingTaskWithRoute } from './signature-task.ts';

/** A task's place in a chord. */
export interface ChordMembership {
  readonly taskId: string;
  readonly groupId: string | null;
  readonly groupIndex: number | null;
}

export interface ChordEnd {
  readonly taskId: string;
  readonly groupId: string;
  readonly groupIndex: number | null;
  /** Only senders before Celery 5.1 write it. */
  readonly chordSize: number | null;
  /** Applied to `resultsToken`. */
  readonly body: readonly OutgoingTaskWithRoute[];
  /** Why the body cannot be sent; null: it can. */
  readonly bodyError: string | null;
  /** Sent when the body fails without having run. */
  readonly errbacks: readonly OutgoingTaskWithRoute[];
  /** Whose results are then stored as failed. */
  readonly failed: readonly NamedTask[];
  /** Chords of which the body is a part; they are then told of its failure. */
  readonly outer: readonly ChordEnd[];
}

/** Its JSON text appears in no other message of this process. */
export const resultsToken = `umbel:results-of-the-header:${newUuid()}`;

/** Chords in chords; a message that nests them deeper is not one that somebody wrote. */
const maxDepth = 50;

/** A task that gives the result of a signature, and the chord it ends a part of. */
export interface LastTask extends ChordMembership {
  readonly chord: unknown;
}

/** Throws MESSAGE_INVALID. */
export function lastTasksOf(sig: Signature, where: string): LastTask[] {
  switch (sig.subtask_type) {
    case 'chain': {
      const last = tasksOf(sig, where).at(-1);
      return last === undefined ? [] : lastTasksOf(inheriting(last, sig), `${where}.tasks`);
    }
    case 'group':
      return tasksOf(sig, where).flatMap((member) => lastTasksOf(inheriting(member, sig, ['chord', 'group_id']), `${where}.tasks`));
    case 'chord':
      return lastTasksOf(inheriting(bodyOf(sig, where), sig), `${where}.body`);
    default: {
      const { group_id, group_index, chord } = sig.options;
      return [
        {
          taskId: taskIdOf(sig) ?? '',
          groupId: typeof group_id === 'string' ? group_id : null,
          groupIndex: typeof group_index === 'number' ? group_index : null,
          chord,
        },
      ];
    }
  }
}

export class ChordEnds {
  readonly list: ChordEnd[] = [];
  /** Error callbacks that could not be applied, one sentence each. */
  readonly unsupported: string[] = [];
  readonly #task: FinishedTask;
  readonly #sources: FollowUpSources;

  constructor(task: FinishedTask, sources: FollowUpSources) {
    this.#task = task;
    this.#sources = sources;
  }

  /** `chord` is the body's signature as the message has it; nothing happens when it is none, or the part is in no group. */
  add(part: ChordMembership, chord: unknown): void {
    const end = this.#end(part, chord, 0);
    if (end !== null) this.list.push(end);
  }

  #end(part: ChordMembership, chord: unknown, depth: number): ChordEnd | null {
    const { taskId, groupId, groupIndex } = part;
    if (chord === null || chord === undefined || groupId === null || taskId === '') return null;
    const size = typeof chord === 'object' && 'chord_size' in chord ? chord.chord_size : null;
    const end = { taskId, groupId, groupIndex, chordSize: typeof size === 'number' ? size : null };
    try {
      const sig = readSignature(chord, 'chord');
      if (depth > maxDepth) throw new UmbelError('MESSAGE_INVALID', `chords may be nested ${maxDepth} levels deep, got a deeper one`);
      return { ...end, ...this.#body(sig), ...this.#failure(sig, taskId, depth) };
    } catch (error) {
      if (!(error instanceof UmbelError)) throw error;
      return { ...end, body: [], bodyError: messageOf(error), errbacks: [], failed: [], outer: [] };
    }
  }

  #body(sig: Signature): { body: readonly OutgoingTaskWithRoute[]; bodyError: string | null } {
    const application = applicationOf(this.#task, this.#sources);
    const { parent_id, root_id, priority } = sig.options;
    // A chord that was applied by a task belongs to that task; any other to the one that completes it.
    const options = {
      parent_id: parent_id ?? this.#task.id,
      root_id: root_id ?? this.#task.rootId,
      priority: priority ?? this.#task.priority,
    };
    application.apply(sig, [resultsToken], options, 'chord');
    return { body: application.publish, bodyError: application.unsupported[0] ?? null };
  }

  #failure(sig: Signature, partId: string, depth: number): Pick<ChordEnd, 'errbacks' | 'failed' | 'outer'> {
    const last = lastTasksOf(sig, 'chord');
    const application = applicationOf(this.#task, this.#sources);
    const bodyId = taskIdOf(sig) ?? last.at(-1)?.taskId ?? partId;
    const { link_error } = sig.options;
    const errbacks = Array.isArray(link_error) ? link_error : link_error === null || link_error === undefined ? [] : [link_error];
    application.applyAsGroup(errbacks, [bodyId], { parent_id: bodyId, root_id: bodyId }, 'error callbacks of the chord');
    this.unsupported.push(...application.unsupported);
    const failed = namedTasksOf(sig, last);
    const outer = last.flatMap((task) => this.#end(task, task.chord, depth + 1) ?? []);
    return { errbacks: application.publish, failed, outer };
  }
}

/** Every task of it that somebody may wait for: the steps of a chain as well as its end. */
export function namedTasksOf(sig: Signature, last: readonly LastTask[]): readonly NamedTask[] {
  const named = new Map<string, string | null>();
  const steps = sig.subtask_type === 'chain' ? tasksOf(sig, 'chord') : [];
  for (const step of steps) if (step.subtask_type === null) named.set(taskIdOf(step) ?? '', groupOf(step));
  for (const { taskId, groupId } of last) named.set(taskId, groupId);
  named.delete('');
  return [...named].map(([taskId, groupId]) => ({ taskId, groupId }));
}

function groupOf(sig: Signature): string | null {
  return typeof sig.options.group_id === 'string' ? sig.options.group_id : null;
}

const endOptions = ['task_id', 'chord', 'group_id', 'group_index'] as const;

/** What is said of the whole is said of its end, where that says nothing itself. A chord's own id is that of its header. */
function inheriting(end: Signature, whole: Signature, names: readonly string[] = endOptions): Signature {
  const options: Record<string, unknown> = { ...end.options };
  for (const name of names) {
    if (name === 'task_id' && whole.subtask_type === 'chord') continue;
    options[name] ??= whole.options[name];
  }
  return { ...end, options };
}
