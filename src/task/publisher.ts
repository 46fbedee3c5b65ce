/**
 * The way from a task call to whoever sends it: one slot per process.
 *
 * The client's App fills it in an ordinary program, the runtime in a pool child. The slot hangs on a registered symbol, so
 * two copies of the library in one process share it. Never sends anything itself.
 */
import { UmbelError } from '../errors.ts';
import type { AnyResult, AsyncResult } from './async-result.ts';
import type { CallOptions } from './call-options.ts';
import type { WireSignature } from './signature.ts';

/** One call, checked, with the task's own defaults merged in. */
export interface TaskCall {
  readonly task: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly options: CallOptions;
}

/** A signature to be applied; the options are in Celery's words. */
export interface SignatureCall {
  readonly signature: WireSignature;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  /** Of its messages one copy each is to run: the mark of this sending. */
  readonly once?: string;
}

export interface Publisher {
  /** Resolves when the broker has the message. */
  call<R>(call: TaskCall): Promise<AsyncResult<R>>;
  /** Resolves when the broker has all messages of it. */
  apply(call: SignatureCall): Promise<AnyResult>;
  /** Awaited before a task without a name is called: loading its module gives it one. */
  loadTasks?(): Promise<void>;
}

const slotKey = Symbol.for('umbel.publisher');
const slots = globalThis as { [slotKey]?: Publisher | undefined };

/** Who sends from now on; undefined empties the slot. */
export function setPublisher(publisher: Publisher | undefined): void {
  slots[slotKey] = publisher;
}

/** Who sends. Throws NO_APP when nobody does. */
export function publisher(): Publisher {
  const current = slots[slotKey];
  if (current === undefined)
    throw new UmbelError('NO_APP', 'a task was called and there is no app: create one with new App({...}) and start it first');
  return current;
}
