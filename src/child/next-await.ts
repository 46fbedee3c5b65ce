/**
 * Lets the next await of a task reject.
 *
 * The language has no way to throw into code that waits; but `await` asks every promise for its constructor, and takes one that is not Promise for
 * something foreign whose `then` it calls. So while a task is to be interrupted, promises answer the code of that task alone with another
 * constructor, once, and a `then` that rejects. Before that nothing is touched, so that tasks within their limits pay nothing; after the last
 * one Promise.prototype is as it was. To intercept every await from the start of a task, so that one that waits could be interrupted too, was measured to make
 * awaits 40 times as slow, and takes the callers out of every stack.
 *
 * Owns which awaits count: those in modules of the author, not in packages and not in this program, whose own waiting is theirs.
 */
import type { Interruption } from '../task/interruption.ts';
import { currentInterruption } from '../task/task-context.ts';

const Native = Promise;
const { then: nativeThen } = Promise.prototype;
const armed = new Set<Interruption>();

/** What an interrupted promise says it was made by. */
class Interrupted extends Promise<unknown> {
  static override get [Symbol.species](): PromiseConstructor {
    return Native;
  }
}

export function interruptNextAwait(run: Interruption): void {
  armed.add(run);
  if (armed.size > 1) return;
  Object.defineProperty(Promise.prototype, 'constructor', {
    configurable: true,
    enumerable: false,
    get: answer,
    set(value: unknown) {
      Object.defineProperty(this, 'constructor', { configurable: true, enumerable: true, writable: true, value });
    },
  });
}

/** The run is over, or its task has been told. */
export function letAwaitsBe(run: Interruption): void {
  if (!armed.delete(run) || armed.size > 0) return;
  Object.defineProperty(Promise.prototype, 'constructor', { configurable: true, enumerable: false, writable: true, value: Native });
}

/** Asked for by `await`, `then`, and whoever else is interested. */
function answer(this: unknown): PromiseConstructor {
  const run = currentInterruption();
  if (run === undefined || !run.isDue || this === Promise.prototype || !(this instanceof Native) || !Object.isExtensible(this))
    return Native;
  if (!isOfAuthor(callerFile())) return Native;
  const at: { stack?: string } = {};
  Error.captureStackTrace(at, answer);
  const error = run.tell(at);
  letAwaitsBe(run);
  const promise: Promise<unknown> = this;
  // What it comes to is nobody's business any more, and must not count as unhandled.
  nativeThen.call(promise, nothing, nothing);
  // Asked for right after the constructor.
  void Object.defineProperty(promise, 'then', {
    configurable: true,
    get() {
      Reflect.deleteProperty(promise, 'then');
      return (_resolve: unknown, reject: (error: unknown) => void) => reject(error);
    },
  });
  return Interrupted as PromiseConstructor;
}

function nothing(): void {}

/** Of whoever asks: null for what is built in, as `then` is, which is no await. */
function callerFile(): string | null {
  const { stackTraceLimit, prepareStackTrace } = Error;
  const holder: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_error, frames) => frames[0]?.getFileName() ?? null;
    Error.captureStackTrace(holder, answer);
    return holder.stack as string | null;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    Error.prepareStackTrace = prepareStackTrace;
  }
}

/** This very file; in the executable that of the whole program. */
const ownFile = fileOfHere() ?? '';
const programFolder = ownFile.endsWith('/child/next-await.ts') ? ownFile.slice(0, -'child/next-await.ts'.length) : null;

function isOfAuthor(file: string | null): boolean {
  if (file === null || file.startsWith('node:') || file.includes('/node_modules/')) return false;
  return file !== ownFile && (programFolder === null || !file.startsWith(programFolder));
}

function fileOfHere(): string | null {
  const { prepareStackTrace } = Error;
  try {
    Error.prepareStackTrace = (_error, frames) => frames[0]?.getFileName() ?? null;
    return new Error('here').stack as unknown as string | null;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
}
