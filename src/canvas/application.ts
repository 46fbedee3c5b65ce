/**
 * Applying signatures: which tasks are sent now when a task, group or chain is applied with arguments and options.
 *
 * Collects; never sends. Chords are not built yet: applying one is noted in `unsupported` and sends nothing. A chord further
 * down a chain is passed on untouched.
 * Source: protocol notes, messages.md §8.2, §8.3 and §9.
 */
import { messageOf, UmbelError } from '../errors.ts';
import { mergeSignature, readSignature, type Signature, tasksOf } from './signature.ts';
import { type OutgoingTaskWithRoute, outgoingTaskOf, type SendingContext } from './signature-task.ts';

type Options = Readonly<Record<string, unknown>>;

/** `AsyncResult.as_tuple()` or `GroupResult.as_tuple()` (results.md §4). */
export type ResultTuple = readonly [readonly [string, ResultTuple | null], readonly ResultTuple[] | null];

/** What has been applied. */
interface Applied {
  /** As listed among the children of the task that applied it. */
  readonly trail: ResultTuple;
  /** As listed in the group it is a member of. */
  readonly result: ResultTuple;
}

const chordsNotBuilt = 'chords are not built in this version';

export class Application {
  readonly publish: OutgoingTaskWithRoute[] = [];
  /** One sentence for each signature that could not be applied. */
  readonly unsupported: string[] = [];
  readonly #context: SendingContext;
  readonly #newId: () => string;

  constructor(context: SendingContext, newId: () => string) {
    this.#context = context;
    this.#newId = newId;
  }

  /** Apply what a message gave as a signature. null: it could not be, see `unsupported`. Sends all of it or nothing. */
  apply(value: unknown, args: readonly unknown[], options: Options, where: string): ResultTuple | null {
    return this.#whole(where, () => this.#apply(readSignature(value, where), args, options, where).trail);
  }

  /** Apply several as one new group. */
  applyAsGroup(values: readonly unknown[], args: readonly unknown[], options: Options, where: string): ResultTuple | null {
    const readable: Signature[] = [];
    for (const [index, value] of values.entries()) {
      const sig = this.#whole(`${where}[${index}]`, () => readSignature(value, `${where}[${index}]`));
      if (sig !== null) readable.push(sig);
    }
    if (readable.length === 0) return null;
    const groupId = this.#newId();
    const results: ResultTuple[] = [];
    for (const [index, sig] of flattenGroups(readable, where).entries()) {
      const applied = this.#whole(`${where}[${index}]`, () => this.#applyMember(sig, index, groupId, args, options, where));
      if (applied !== null) results.push(applied.result);
    }
    return [[groupId, null], results];
  }

  /** One bad signature must neither be half applied nor keep the others from being applied. */
  #whole<T>(where: string, apply: () => T): T | null {
    const mark = this.publish.length;
    try {
      return apply();
    } catch (error) {
      if (!(error instanceof UmbelError)) throw error;
      this.publish.length = mark;
      this.unsupported.push(`${where} was not applied: ${messageOf(error)}`);
      return null;
    }
  }

  #apply(sig: Signature, args: readonly unknown[], options: Options, where: string): Applied {
    switch (sig.subtask_type) {
      case null:
        return this.#applyTask(mergeSignature(sig, { args, options }));
      case 'group':
        return this.#applyGroup(sig, args, options, where);
      case 'chain':
        return this.#applyChain(sig, args, options, where);
      case 'chord':
        throw new UmbelError('NOT_SUPPORTED', `${chordsNotBuilt} (${where})`);
      default:
        throw new UmbelError('MESSAGE_INVALID', `subtask_type must be chain, group, chord or null, got "${sig.subtask_type}" (${where})`);
    }
  }

  #applyTask(sig: Signature): Applied {
    const id = this.#idOf(sig);
    this.publish.push(outgoingTaskOf(sig, id, this.#context));
    return single([[id, null], null]);
  }

  #applyGroup(sig: Signature, args: readonly unknown[], options: Options, where: string): Applied {
    const { task_id, group_id, group_index, chord, link, link_error, ...forMembers } = mergeSignature(sig, { options }).options;
    if (isGiven(chord)) throw new UmbelError('NOT_SUPPORTED', `${chordsNotBuilt}, this group is the header of one (${where})`);
    const groupId = typeof task_id === 'string' ? task_id : this.#newId();
    const results: ResultTuple[] = [];
    for (const [index, member] of flattenGroups(tasksOf(sig, where), where).entries()) {
      const linked = withLinks(member, link, link_error);
      results.push(this.#applyMember(linked, index, groupId, args, forMembers, where).result);
    }
    return single([[groupId, null], results]);
  }

  #applyMember(member: Signature, index: number, groupId: string, args: readonly unknown[], options: Options, where: string): Applied {
    const frozen = mergeSignature(member, { options: { group_id: groupId, group_index: index } });
    return this.#apply(frozen, args, options, `${where}.tasks[${index}]`);
  }

  /** The first step is sent, carrying the others, last one first. */
  #applyChain(sig: Signature, args: readonly unknown[], options: Options, where: string): Applied {
    const merged = mergeSignature(sig, { args, options });
    const { task_id, group_id, group_index, chord, link, link_error, chain, ...forFirst } = merged.options;
    const steps = upgradeGroups(flattenChains(tasksOf(sig, where), where), where);
    if (steps.length === 0) throw new UmbelError('MESSAGE_INVALID', `a chain must have at least one task (${where})`);

    const last = steps.length - 1;
    const frozen = steps.map((step, index) => {
      const more: Record<string, unknown> = { task_id: this.#idOf(step), root_id: forFirst.root_id };
      if (index === last) {
        if (!isGiven(step.options.task_id)) more.task_id = task_id ?? more.task_id;
        Object.assign(more, { group_id, group_index, chord });
      }
      return withLinks(mergeSignature(step, { options: more }), index === last ? link : null, link_error);
    });

    const [first, ...others] = frozen as [Signature, ...Signature[]];
    const outer = Array.isArray(chain) ? chain : [];
    const remaining = others.length > 0 || isGiven(chain) ? [...outer, ...others.reverse()] : null;
    const applied = this.#apply(first, merged.args, { ...forFirst, chain: remaining }, `${where}.tasks[0]`);
    if (last === 0) return applied;
    let result: ResultTuple = applied.result;
    for (const step of frozen.slice(1)) result = [[String(step.options.task_id), result], null];
    return { trail: applied.trail, result };
  }

  #idOf(sig: Signature): string {
    const { task_id } = sig.options;
    return typeof task_id === 'string' && task_id !== '' ? task_id : this.#newId();
  }
}

function single(result: ResultTuple): Applied {
  return { trail: result, result };
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}

/** With more callbacks and error callbacks; each may be nothing, one signature or a list. */
function withLinks(sig: Signature, link: unknown, linkError: unknown): Signature {
  if (!isGiven(link) && !isGiven(linkError)) return sig;
  const options: Record<string, unknown> = {};
  if (isGiven(link)) options.link = [listOf(sig.options.link), listOf(link)].flat();
  if (isGiven(linkError)) options.link_error = [listOf(sig.options.link_error), listOf(linkError)].flat();
  return mergeSignature(sig, { options });
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isGiven(value) ? [value] : [];
}

function flattenGroups(members: readonly Signature[], where: string): Signature[] {
  return members.flatMap((member) => (member.subtask_type === 'group' ? flattenGroups(tasksOf(member, where), where) : [member]));
}

/** Nested chains spliced, a group of one replaced by its member, empty groups left out where there is something else. */
function flattenChains(steps: readonly Signature[], where: string): Signature[] {
  return steps.flatMap((step) => {
    if (step.subtask_type === 'chain') return flattenChains(tasksOf(step, where), where);
    if (step.subtask_type !== 'group') return [step];
    const members = flattenGroups(tasksOf(step, where), where);
    if (members.length === 0 && steps.length > 1) return [];
    return members.length === 1 ? flattenChains(members, where) : [step];
  });
}

/** A group with a step after it is a chord with that step as its body. */
function upgradeGroups(steps: readonly Signature[], where: string): Signature[] {
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
