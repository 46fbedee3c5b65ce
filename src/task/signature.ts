/**
 * Signatures as task authors have them: a task with some or all of its arguments, to be called later, by somebody else, or as a
 * part of a chain, a group or a chord.
 *
 * Own properties are the keys of the wire form, in its order, so that a signature may stand wherever JSON goes, arguments of tasks
 * included. What happens when one is applied is canvas/; the functions that make them are workflow.ts.
 * Source: protocol notes, messages.md §8 and §8.1.
 */
import { UmbelError } from '../errors.ts';
import { repr } from '../std/safe-repr.ts';
import type { AsyncResult } from './async-result.ts';
import { type CallOptions, checkCallOptions, type Kwargs, type RawCall } from './call-options.ts';
import { publisher } from './publisher.ts';
import { signatureOptions, stampOptions } from './signature-options.ts';

/** The wire form. */
export interface WireSignature {
  readonly task: string;
  readonly args: readonly unknown[];
  readonly kwargs: Kwargs;
  readonly options: Readonly<Record<string, unknown>>;
  readonly subtask_type: string | null;
  readonly immutable: boolean;
}

/** `H` is what applying it gives: an AsyncResult, or a GroupResult. */
export class Signature<H = AsyncResult<unknown>> implements WireSignature {
  task: string;
  args: readonly unknown[];
  kwargs: Kwargs;
  options: Record<string, unknown>;
  subtask_type: string | null;
  /** Takes no arguments from whoever applies it. */
  immutable: boolean;

  constructor(wire: Partial<WireSignature> & { readonly task: string }) {
    this.task = wire.task;
    this.args = wire.args ?? [];
    this.kwargs = wire.kwargs ?? {};
    this.options = { ...wire.options };
    this.subtask_type = wire.subtask_type ?? null;
    this.immutable = wire.immutable ?? false;
  }

  /** Apply it, these arguments put in front of its own. */
  async delay(...args: readonly unknown[]): Promise<H> {
    return this.applyAsync({ args });
  }

  /** The same, with keyword arguments and options; both override its own. */
  async applyAsync(call: RawCall = {}): Promise<H> {
    checkCallOptions(this.task, call);
    const { args = [], kwargs = {}, ...options } = call;
    const wire = this.expanded();
    return (await publisher().apply({ signature: wire, args, kwargs, options: signatureOptions(options) })) as H;
  }

  /** Set options. */
  set(options: CallOptions & { readonly immutable?: boolean | undefined }): this {
    const { immutable, ...others } = options;
    checkCallOptions(this.task, others);
    if (immutable !== undefined) this.setImmutable(immutable);
    Object.assign(this.options, signatureOptions(others));
    return this;
  }

  setImmutable(immutable: boolean): this {
    this.immutable = immutable;
    return this;
  }

  /** A copy of its own, with more arguments in front, keyword arguments and options. */
  clone(parts: RawCall = {}): Signature<H> {
    checkCallOptions(this.task, parts);
    const { args = [], kwargs = {}, ...options } = parts;
    const copy = copyOf(this);
    if (!this.immutable) {
      copy.args = [...args, ...copy.args];
      copy.kwargs = { ...copy.kwargs, ...kwargs };
    }
    Object.assign(copy.options, signatureOptions(options));
    return copy;
  }

  /** To be applied to the result when it has succeeded. */
  link(callback: Signature<unknown>): this {
    addTo(this.options, 'link', callback);
    return this;
  }

  /** To be applied when it has failed. */
  linkError(errback: Signature<unknown>): this {
    addTo(this.options, 'link_error', errback);
    return this;
  }

  /** Values that travel with the task and with everything that follows from it. */
  stamp(stamps: Readonly<Record<string, unknown>>): this {
    Object.assign(this.options, stampOptions(stamps, this.options.stamped_headers));
    for (const linked of [...listOf(this.options.link), ...listOf(this.options.link_error)]) asSignature(linked).stamp(stamps);
    return this;
  }

  /** This, and then that with its result: Celery's `|`. Neither is changed. */
  pipe<Next>(next: Signature<Next>): Signature<Next> {
    return joined(this, next) as unknown as Signature<Next>;
  }

  /** What is applied in its place. */
  protected expanded(): WireSignature {
    return this;
  }
}

class Steps<H> extends Signature<H> {
  get tasks(): readonly Signature<unknown>[] {
    return membersOf(this);
  }

  override stamp(stamps: Readonly<Record<string, unknown>>): this {
    for (const task of this.tasks) task.stamp(stamps);
    return super.stamp(stamps);
  }
}

export class ChainSignature<H> extends Steps<H> {
  constructor(tasks: readonly Signature<unknown>[], options: Readonly<Record<string, unknown>> = {}) {
    super({ task: 'celery.chain', kwargs: { tasks }, options, subtask_type: 'chain' });
  }
}

export class GroupSignature<H> extends Steps<H> {
  constructor(tasks: readonly Signature<unknown>[], options: Readonly<Record<string, unknown>> = {}) {
    super({ task: 'celery.group', kwargs: { tasks }, options, subtask_type: 'group' });
  }

  override setImmutable(immutable: boolean): this {
    for (const task of this.tasks) task.setImmutable(immutable);
    return this;
  }

  /** As in Celery: after the first task, whatever the others do. What is to follow all of them is the body of a chord. */
  override link(callback: Signature<unknown>): this {
    this.tasks[0]?.link(callback.clone().setImmutable(true));
    return this;
  }

  /** To each task. */
  override linkError(errback: Signature<unknown>): this {
    for (const task of this.tasks) task.linkError(errback);
    return this;
  }
}

export class ChordSignature<H> extends Signature<H> {
  constructor(
    header: readonly Signature<unknown>[] | Signature<unknown>,
    body: Signature<H>,
    options: Readonly<Record<string, unknown>> = {},
  ) {
    super({ task: 'celery.chord', kwargs: { kwargs: {}, header, body }, options, subtask_type: 'chord' });
  }

  get body(): Signature<H> {
    return asSignature(this.kwargs.body) as Signature<H>;
  }

  get header(): readonly Signature<unknown>[] {
    const { header } = this.kwargs;
    return Array.isArray(header) ? header.map(asSignature) : membersOf(asSignature(header));
  }

  /** Of the header. */
  override setImmutable(immutable: boolean): this {
    for (const task of this.header) task.setImmutable(immutable);
    return this;
  }

  override link(callback: Signature<unknown>): this {
    this.body.link(callback);
    return this;
  }

  override linkError(errback: Signature<unknown>): this {
    this.body.linkError(errback);
    return this;
  }

  override stamp(stamps: Readonly<Record<string, unknown>>): this {
    for (const task of this.header) task.stamp(stamps);
    this.body.stamp(stamps);
    return super.stamp(stamps);
  }
}

/** Arguments in portions of `n`, each portion one task: applied, it is a group of `celery.starmap`. */
export class ChunksSignature<H> extends Signature<H> {
  protected override expanded(): WireSignature {
    const { task, it, n } = this.kwargs;
    const items = it as readonly unknown[];
    const portions: Signature<unknown>[] = [];
    for (let from = 0; from < items.length; from += Number(n)) {
      const portion = items.slice(from, from + Number(n));
      portions.push(new Signature({ task: 'celery.starmap', kwargs: { task, it: portion }, options: this.options, immutable: true }));
    }
    return new GroupSignature(portions);
  }
}

/** Of a signature, or of what came as one out of JSON. Throws TASK_OPTION_INVALID. */
export function asSignature(value: unknown): Signature<unknown> {
  if (value instanceof Signature) return value;
  if (typeof value !== 'object' || value === null || !('task' in value) || typeof value.task !== 'string') {
    throw new UmbelError(
      'TASK_OPTION_INVALID',
      `a signature must come from task.s(), signature(), chain(), group() or chord(), got ${repr(value, 100)}`,
    );
  }
  return read({ ...value, task: value.task });
}

function read(wire: Partial<WireSignature> & { readonly task: string }): Signature<unknown> {
  const { kwargs = {}, options = {}, args = [], immutable = false } = wire;
  const tasks = Array.isArray(kwargs.tasks) ? kwargs.tasks.map(asSignature) : [];
  let made: Signature<unknown>;
  switch (wire.subtask_type ?? null) {
    case 'chain':
      made = new ChainSignature(tasks, options);
      break;
    case 'group':
      made = new GroupSignature(tasks, options);
      break;
    case 'chord': {
      const header = Array.isArray(kwargs.header) ? kwargs.header.map(asSignature) : asSignature(kwargs.header);
      made = new ChordSignature(header, asSignature(kwargs.body), options);
      break;
    }
    case null:
      return new (wire.task === 'celery.chunks' ? ChunksSignature : Signature)(wire);
    default:
      throw new UmbelError(
        'TASK_OPTION_INVALID',
        `subtask_type of a signature must be chain, group, chord or null, got ${repr(wire.subtask_type)}`,
      );
  }
  made.args = args;
  made.immutable = immutable;
  return made;
}

function membersOf(steps: Signature<unknown>): readonly Signature<unknown>[] {
  const { tasks } = steps.kwargs;
  if (!Array.isArray(tasks)) return [steps];
  // Read once: what is changed in a member is changed in the whole.
  if (!tasks.every((task) => task instanceof Signature)) steps.kwargs = { ...steps.kwargs, tasks: tasks.map(asSignature) };
  return steps.kwargs.tasks as readonly Signature<unknown>[];
}

function copyOf<H>(signature: Signature<H>): Signature<H> {
  return read(copyValue({ ...signature }) as WireSignature) as Signature<H>;
}

function copyValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyValue);
  if (value instanceof Signature) return copyOf(value);
  if (
    typeof value !== 'object' ||
    value === null ||
    (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null)
  )
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyValue(item)]));
}

/** Celery's rules for `first | next`. */
function joined(first: Signature<unknown>, next: Signature<unknown>): Signature<unknown> {
  const other = next instanceof GroupSignature && !(first instanceof GroupSignature) ? unrolled(next) : next;
  if (first instanceof GroupSignature) return new ChordSignature([...first.tasks].map(copyOf), copyOf(next), first.options);
  if (first instanceof ChordSignature && !(other instanceof GroupSignature) && !(other instanceof ChainSignature)) {
    const copy = copyOf(first) as ChordSignature<unknown>;
    copy.kwargs = { ...copy.kwargs, body: joined(copy.body, other) };
    return copy;
  }
  const steps = first instanceof ChainSignature ? unchained(first) : [copyOf(first)];
  if (other instanceof ChainSignature) return new ChainSignature([...steps, ...unchained(other)]);
  if (steps.length === 0 && other instanceof GroupSignature) return copyOf(other);
  const last = steps.at(-1);
  if (!(other instanceof GroupSignature) && (last instanceof GroupSignature || last instanceof ChordSignature))
    return new ChainSignature([...steps.slice(0, -1), joined(last, other)]);
  return new ChainSignature([...steps, copyOf(other)]);
}

/** A group of one is its member. */
function unrolled(group: GroupSignature<unknown>): Signature<unknown> {
  const [only] = group.tasks;
  return only !== undefined && group.tasks.length === 1 ? only : group;
}

/** The steps, each with the error callbacks of the chain. */
function unchained(chain: ChainSignature<unknown>): Signature<unknown>[] {
  const tasks = chain.tasks.map(copyOf);
  for (const errback of listOf(chain.options.link_error)) for (const task of tasks) task.linkError(asSignature(errback));
  return tasks;
}

function addTo(options: Record<string, unknown>, name: string, signature: Signature<unknown>): void {
  const list = listOf(options[name]);
  // As in Celery, the same one again changes nothing.
  const text = JSON.stringify(signature);
  options[name] = list.some((known) => JSON.stringify(known) === text) ? list : [...list, signature];
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === null || value === undefined ? [] : [value];
}
