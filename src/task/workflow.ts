/**
 * The functions that put signatures together: `signature`, `chain`, `group`, `chord`, `xmap`, `xstarmap`, `chunks`.
 *
 * They only make values; nothing is sent before one is applied.
 */
import { UmbelError } from '../errors.ts';
import type { AsyncResult, GroupResult, ValueOf } from './async-result.ts';
import { type CallOptions, checkCallOptions, type Kwargs } from './call-options.ts';
import {
  asSignature,
  ChainSignature,
  ChordSignature,
  ChunksSignature,
  GroupSignature,
  Signature,
  type WireSignature,
} from './signature.ts';
import { signatureOptions } from './signature-options.ts';

export interface SignatureParts {
  readonly args?: readonly unknown[] | undefined;
  readonly kwargs?: Kwargs | undefined;
  readonly options?: CallOptions | undefined;
  readonly immutable?: boolean | undefined;
}

/** A task by its name, or what a task got as a signature among its arguments. */
export function signature<R = unknown>(task: string | WireSignature, parts: SignatureParts = {}): Signature<AsyncResult<R>> {
  const { args, kwargs, options, immutable } = parts;
  if (typeof task !== 'string') return asSignature(task).clone() as Signature<AsyncResult<R>>;
  if (task === '') throw new UmbelError('TASK_OPTION_INVALID', 'signature() takes a task name, got an empty text');
  checkCallOptions(task, options ?? {});
  return new Signature({
    task,
    ...(args === undefined ? null : { args }),
    ...(kwargs === undefined ? null : { kwargs }),
    ...(options === undefined ? null : { options: signatureOptions(options) }),
    ...(immutable === undefined ? null : { immutable }),
  });
}

/** One after the other, each with the result of the one before it. */
export function chain<H>(...steps: readonly [...Signature<unknown>[], Signature<H>]): Signature<H>;
export function chain(steps: readonly Signature<unknown>[]): Signature<AsyncResult<unknown>>;
export function chain(...steps: readonly unknown[]): Signature<unknown> {
  return listed(steps).reduce((whole, step) => whole.pipe(step), new ChainSignature<unknown>([]) as Signature<unknown>);
}

/** All at once. */
export function group<H>(...members: readonly Signature<H>[]): GroupSignature<GroupResult<ValueOf<H>>>;
export function group<H>(members: readonly Signature<H>[]): GroupSignature<GroupResult<ValueOf<H>>>;
export function group(...members: readonly unknown[]): GroupSignature<GroupResult<unknown>> {
  const [only] = members;
  if (members.length === 1 && only instanceof GroupSignature) return new GroupSignature(only.tasks);
  return new GroupSignature(listed(members));
}

/** The header all at once, then the body with the list of their results. */
export function chord<H>(header: readonly Signature<unknown>[] | Signature<unknown>, body: Signature<H>): Signature<H> {
  if (!(body instanceof Signature))
    throw new UmbelError('TASK_OPTION_INVALID', `the body of a chord must be a signature, got ${String(body)}`);
  const members =
    header instanceof GroupSignature || header instanceof ChainSignature
      ? header.tasks
      : listed(Array.isArray(header) ? [header] : [header]);
  return new ChordSignature(members, body);
}

/** One task that calls `task` here and now with each of the items, and gives the list of results. */
export function xmap<R>(task: Signature<AsyncResult<R>>, items: Iterable<unknown>): Signature<AsyncResult<R[]>> {
  return new Signature({ task: 'celery.map', kwargs: { task, it: [...items] }, immutable: true });
}

/** The same with lists of arguments. */
export function xstarmap<R>(task: Signature<AsyncResult<R>>, items: Iterable<readonly unknown[]>): Signature<AsyncResult<R[]>> {
  return new Signature({ task: 'celery.starmap', kwargs: { task, it: [...items] }, immutable: true });
}

/** A group of tasks that call `task` with `n` lists of arguments each. */
export function chunks<R>(task: Signature<AsyncResult<R>>, items: Iterable<readonly unknown[]>, n: number): Signature<GroupResult<R[]>> {
  if (!Number.isInteger(n) || n < 1) throw new UmbelError('TASK_OPTION_INVALID', `chunks() takes portions of 1 or more, got ${n}`);
  return new ChunksSignature({ task: 'celery.chunks', kwargs: { task, it: [...items], n }, immutable: true });
}

function listed(values: readonly unknown[]): Signature<unknown>[] {
  const [only] = values;
  return (values.length === 1 && Array.isArray(only) ? only : values).map(asSignature);
}
