/**
 * Signatures: a task to be called, as a value that travels in messages.
 *
 * Owns the wire form (reading, building, merging). What follows from a signature when a task ends is follow-up.ts.
 * Source: protocol notes, messages.md §8.
 */
import { UmbelError } from '../errors.ts';
import { isRecord } from '../std/is-record.ts';
import { repr } from '../std/safe-repr.ts';

/** The wire keys, in their order. `args`, `kwargs` and `options` are never changed in place. */
export interface Signature {
  readonly task: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  /** 'chain', 'group', 'chord'; null for a task (map, starmap and chunks are tasks). */
  readonly subtask_type: string | null;
  /** Takes no arguments from whoever applies it. */
  readonly immutable: boolean;
  /** Senders before Celery 5.1 have a place for it, null, in every signature; their workers count by that of a body. Absent: the sender is a newer one. */
  readonly chord_size?: number | null;
}

/** What a signature is applied with. */
export interface SignatureParts {
  readonly args?: readonly unknown[];
  readonly kwargs?: Readonly<Record<string, unknown>>;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Build the signature of a task. */
export function signature(
  task: string,
  args: readonly unknown[] = [],
  kwargs: Readonly<Record<string, unknown>> = {},
  options: Readonly<Record<string, unknown>> = {},
): Signature {
  return { task, args, kwargs, options, subtask_type: null, immutable: false };
}

/** A signature out of a message. Absent keys get defaults, unknown ones are left out. Throws MESSAGE_INVALID, naming `where`. */
export function readSignature(value: unknown, where = 'signature'): Signature {
  if (!isRecord(value)) throw invalid(`a signature must be an object, got ${repr(value, 100)}`, where);
  const { task, args, kwargs, options, subtask_type, immutable, chord_size } = value;
  if (typeof task !== 'string' || task === '') throw invalid(`task must be a non-empty string, got ${repr(task, 100)}`, where);
  if (isGiven(args) && !Array.isArray(args)) throw invalid(`args must be a list, got ${repr(args, 100)}`, where);
  if (isGiven(kwargs) && !isRecord(kwargs)) throw invalid(`kwargs must be an object, got ${repr(kwargs, 100)}`, where);
  if (isGiven(options) && !isRecord(options)) throw invalid(`options must be an object, got ${repr(options, 100)}`, where);
  if (isGiven(subtask_type) && typeof subtask_type !== 'string') {
    throw invalid(`subtask_type must be a string, got ${repr(subtask_type, 100)}`, where);
  }
  return {
    task,
    args: Array.isArray(args) ? args : [],
    kwargs: isRecord(kwargs) ? kwargs : {},
    options: isRecord(options) ? options : {},
    subtask_type: typeof subtask_type === 'string' && subtask_type !== '' ? subtask_type : null,
    immutable: immutable === true,
    ...(chord_size === undefined ? {} : { chord_size: typeof chord_size === 'number' ? chord_size : null }),
  };
}

/**
 * The signature as applied with more arguments and options: arguments are put in front (unless it is immutable), keyword
 * arguments and options override. Options that are null count as not given. A stored group id and stored stamps stay.
 */
export function mergeSignature(sig: Signature, parts: SignatureParts): Signature {
  const { args = [], kwargs = {}, options = {} } = parts;
  const stamped = sig.options.stamped_headers;
  const merged: Record<string, unknown> = { ...sig.options };
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined) continue;
    const kept = name === 'group_id' || name === 'stamped_headers' || (Array.isArray(stamped) && stamped.includes(name));
    if (!kept || !(name in sig.options)) merged[name] = value;
  }
  return {
    ...sig,
    args: sig.immutable || args.length === 0 ? sig.args : [...args, ...sig.args],
    kwargs: sig.immutable ? sig.kwargs : { ...sig.kwargs, ...kwargs },
    options: merged,
  };
}

/** The steps of a chain or the members of a group. */
export function tasksOf(sig: Signature, where: string): Signature[] {
  const { tasks } = sig.kwargs;
  if (!Array.isArray(tasks)) throw invalid(`kwargs.tasks of a ${sig.subtask_type} must be a list, got ${repr(tasks, 100)}`, where);
  return tasks.map((item, index) => readSignature(item, `${where}.tasks[${index}]`));
}

function invalid(rule: string, where: string): UmbelError {
  return new UmbelError('MESSAGE_INVALID', `${rule} (${where})`);
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}
