/**
 * Applying signatures: which tasks are sent now when a task, group, chain or chord is applied with arguments and options.
 *
 * Collects; never sends. What a message gives as a signature is applied as far as it can be (`apply`); what somebody calls, whole (`send`).
 * The tasks of a chord's header carry the body; what the result backend must be told before the first of
 * them is sent stands beside it.
 * Source: protocol notes, messages.md §8.2 to §8.4 and §9.
 */
import { messageOf, UmbelError } from '../errors.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { bodyOf, chordSizeOf, type Freezing, freeze, headerOf, resultOf, taskIdOf, withParent } from './freeze.ts';
import { mergeSignature, readSignature, type Signature, type SignatureParts, tasksOf } from './signature.ts';
import { type OutgoingTaskWithRoute, outgoingTaskOf, type SendingContext } from './signature-task.ts';
import { flattenChains, flattenGroups, upgradeGroups } from './unroll.ts';

type Options = Readonly<Record<string, unknown>>;
/** What a signature is applied with. */
type Given = Required<SignatureParts>;

/** What has been applied. */
export interface Applied {
  /** As listed among the children of the task that applied it. */
  readonly trail: ResultTuple;
  /** As listed in the group it is a member of. */
  readonly result: ResultTuple;
}

export class Application {
  readonly publish: OutgoingTaskWithRoute[] = [];
  /** One sentence for each signature that could not be applied. */
  readonly unsupported: string[] = [];
  readonly #context: SendingContext;
  readonly #newId: () => string;
  readonly #freezing: Freezing;
  #hasChords = false;

  constructor(context: SendingContext, newId: () => string) {
    this.#context = context;
    this.#newId = newId;
    this.#freezing = { newId, replyTo: context.replyTo ?? null };
  }

  /** A chord is in it, now or in a later step. */
  get hasChords(): boolean {
    return this.#hasChords;
  }

  /** Throws MESSAGE_INVALID. */
  send(value: unknown, given: SignatureParts, where: string): Applied {
    return this.#apply(
      readSignature(value, where),
      { args: given.args ?? [], kwargs: given.kwargs ?? {}, options: given.options ?? {} },
      where,
    );
  }

  /** Apply what a message gave as a signature. null: it could not be, see `unsupported`. Sends all of it or nothing. */
  apply(value: unknown, args: readonly unknown[], options: Options, where: string): ResultTuple | null {
    return this.#whole(where, () => this.#apply(readSignature(value, where), { args, kwargs: {}, options }, where).trail);
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
      const applied = this.#whole(`${where}[${index}]`, () => this.#applyMember(sig, index, groupId, { args, kwargs: {}, options }, where));
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

  #apply(sig: Signature, given: Given, where: string): Applied {
    switch (sig.subtask_type) {
      case null:
        return this.#applyTask(mergeSignature(sig, given));
      case 'group':
        return this.#applyGroup(sig, given, where);
      case 'chain':
        return this.#applyChain(sig, given, where);
      case 'chord':
        return this.#applyChord(sig, given, where);
      default:
        throw new UmbelError('MESSAGE_INVALID', `subtask_type must be chain, group, chord or null, got "${sig.subtask_type}" (${where})`);
    }
  }

  #applyTask(sig: Signature): Applied {
    const id = taskIdOf(sig) ?? this.#newId();
    this.publish.push(outgoingTaskOf(sig, id, this.#context));
    return single([[id, null], null]);
  }

  #applyGroup(sig: Signature, { args, kwargs, options }: Given, where: string): Applied {
    // A chord is that of the members: the group then ends a part of its header, and whoever sent that has counted them.
    const { task_id, group_id, group_index, link, link_error, ...forMembers } = mergeSignature(sig, { options }).options;
    const groupId = typeof task_id === 'string' ? task_id : this.#newId();
    const results: ResultTuple[] = [];
    for (const [index, member] of flattenGroups(tasksOf(sig, where), where).entries()) {
      const linked = withLinks(member, link, link_error);
      results.push(this.#applyMember(linked, index, groupId, { args, kwargs, options: forMembers }, where).result);
    }
    return single([[groupId, null], results]);
  }

  #applyMember(member: Signature, index: number, groupId: string, given: Given, where: string): Applied {
    const frozen = mergeSignature(member, { options: { group_id: groupId, group_index: index } });
    return this.#apply(frozen, given, `${where}.tasks[${index}]`);
  }

  /** The first step is sent, carrying the others, last one first. */
  #applyChain(sig: Signature, given: Given, where: string): Applied {
    const { args, options } = mergeSignature(sig, { args: given.args, options: given.options });
    const { task_id, group_id, group_index, chord, link, link_error, chain, ...forFirst } = options;
    const steps = upgradeGroups(flattenChains(tasksOf(sig, where), where), where);
    if (steps.length === 0) throw new UmbelError('MESSAGE_INVALID', `a chain must have at least one task (${where})`);
    if (steps.some(({ subtask_type }) => subtask_type === 'chord')) this.#hasChords = true;

    const last = steps.length - 1;
    const lastId = typeof task_id === 'string' ? task_id : null;
    const frozen = steps.map((step, index) => {
      const named = freeze(step, this.#freezing, where, index === last ? lastId : null);
      const more: Record<string, unknown> = { root_id: forFirst.root_id };
      if (index === last) Object.assign(more, { group_id, chord, group_index });
      // The members of a group at the end are parts of the chord themselves, and counted by its id.
      if (index === last && step.subtask_type === 'group' && isGiven(chord)) more.task_id = group_id;
      return ofEnd(named, where, (end) => withLinks(mergeSignature(end, { options: more }), index === last ? link : null, link_error));
    });

    const [first, ...others] = frozen as [Signature, ...Signature[]];
    const outer = Array.isArray(chain) ? chain : [];
    const remaining = others.length > 0 || isGiven(chain) ? [...outer, ...others.toReversed()] : null;
    const forFirstStep = { args, kwargs: given.kwargs, options: { ...forFirst, chain: remaining } };
    const applied = this.#apply(first, forFirstStep, `${where}.tasks[0]`);
    if (last === 0) return applied;
    let result: ResultTuple = applied.result;
    for (const step of others) result = withParent(resultOf(step, where), result);
    return { trail: applied.trail, result };
  }

  /** The header is sent, each task of it carrying the body. Options are the body's, as are links; the header shares what says where to. */
  #applyChord(sig: Signature, given: Given, where: string): Applied {
    this.#hasChords = true;
    const { args, options } = mergeSignature(sig, { args: given.args, options: given.options });
    const { task_id, link, link_error, ...forBody } = options;
    const { chain, chord, group_id, group_index, ...forHeader } = forBody;
    const linked = withLinks(mergeSignature(bodyOf(sig, where), { options: forBody }), link, link_error);
    const body = freeze(linked, this.#freezing, `${where}.body`, typeof task_id === 'string' ? task_id : null);
    const header = headerOf(sig, where);
    const size = header.members.reduce((sum, member) => sum + chordSizeOf(member, where), 0);
    // Nobody would complete it.
    if (size === 0) return this.#apply(body, { args: [[]], kwargs: {}, options: {} }, `${where}.body`);

    const groupId = header.groupId ?? this.#newId();
    // For parts that run on a worker before Celery 5.1.
    const counted = body.chord_size === undefined ? body : { ...body, chord_size: size };
    const mark = this.publish.length;
    const results: ResultTuple[] = [];
    for (const [index, member] of header.members.entries()) {
      const frozen = mergeSignature(freeze(member, this.#freezing, where), {
        options: { group_id: groupId, chord: counted, group_index: index },
      });
      results.push(this.#apply(frozen, { args, kwargs: given.kwargs, options: forHeader }, `${where}.header[${index}]`).result);
    }
    const group: ResultTuple = [[groupId, null], results];
    const first = this.publish[mark];
    if (first !== undefined) {
      const start = { groupId, size, group: results.some(([, children]) => children !== null) ? group : null };
      this.publish[mark] = { ...first, chords: [start, ...(first.chords ?? [])] };
    }
    return { trail: group, result: withParent(resultOf(body, where), group) };
  }
}

function single(result: ResultTuple): Applied {
  return { trail: result, result };
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}

/** Of a chord it is the body that ends it, and that others wait for. */
function ofEnd(sig: Signature, where: string, change: (end: Signature) => Signature): Signature {
  if (sig.subtask_type !== 'chord') return change(sig);
  return { ...sig, kwargs: { ...sig.kwargs, body: ofEnd(bodyOf(sig, where), `${where}.body`, change) } };
}

/** With more callbacks and error callbacks; each may be nothing, one signature or a list. */
function withLinks(sig: Signature, link: unknown, linkError: unknown): Signature {
  if (!isGiven(link) && !isGiven(linkError)) return sig;
  const options: Record<string, unknown> = {};
  if (isGiven(linkError)) options.link_error = [listOf(sig.options.link_error), listOf(linkError)].flat();
  if (isGiven(link)) options.link = [listOf(sig.options.link), listOf(link)].flat();
  return mergeSignature(sig, { options });
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isGiven(value) ? [value] : [];
}
