/** The ways from a task to a signature of it. */
import type { AsyncResult, GroupResult } from './async-result.ts';
import { type CallOptions, checkCallOptions, type Kwargs, type RawCall } from './call-options.ts';
import { Signature } from './signature.ts';
import { signatureOptions } from './signature-options.ts';
import { chunks, xmap, xstarmap } from './workflow.ts';

/** Some of the arguments: what is missing is put in front of them when the signature is applied. */
export type LastArguments<Args extends readonly unknown[]> = number extends Args['length']
  ? Args
  : Args extends readonly []
    ? []
    : Args | (Args extends readonly [unknown?, ...infer Rest] ? LastArguments<Rest> : []);

export interface Signing<Args extends readonly unknown[], R> {
  /** The task with its last arguments, or all of them, to be called later or as a part of a workflow. */
  s(...args: LastArguments<Args>): Signature<AsyncResult<R>>;
  /** The same with all arguments; it takes no others, also not the result of what comes before it. */
  si(...args: Args): Signature<AsyncResult<R>>;
  /** With keyword arguments and options. */
  signature(
    call?: { readonly args?: readonly unknown[] | undefined; readonly kwargs?: Kwargs | undefined } & CallOptions,
  ): Signature<AsyncResult<R>>;
  /** One task that calls this one with each of the items. */
  map(items: Iterable<unknown>): Signature<AsyncResult<R[]>>;
  /** The same with lists of arguments. */
  starmap(items: Iterable<readonly unknown[]>): Signature<AsyncResult<R[]>>;
  /** A group of tasks that call this one with `n` lists of arguments each. */
  chunks(items: Iterable<readonly unknown[]>, n: number): Signature<GroupResult<R[]>>;
}

/** `name` throws where the task has none yet. */
export function signing<Args extends readonly unknown[], R>(name: () => string): Signing<Args, R> {
  const s = (...args: readonly unknown[]): Signature<AsyncResult<R>> => new Signature({ task: name(), args });
  return {
    s,
    si: (...args) => s(...args).setImmutable(true),
    signature: (call: RawCall = {}) => {
      checkCallOptions(name(), call);
      const { args = [], kwargs = {}, ...options } = call;
      return new Signature({ task: name(), args, kwargs, options: signatureOptions(options) });
    },
    map: (items) => xmap(s(), items),
    starmap: (items) => xstarmap(s(), items),
    chunks: (items, n) => chunks(s(), items, n),
  };
}
