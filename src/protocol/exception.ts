/**
 * Exceptions as JSON documents: how an error of ours looks to Python, and the fixed ones a worker writes itself.
 *
 * Source: protocol notes, results.md §2 and §3.
 */
import { constants } from 'node:os';
import { repr } from '../std/safe-repr.ts';

/** Exception as JSON (results.md §3). */
export interface ExceptionDocument {
  readonly exc_type: string;
  readonly exc_message: readonly unknown[];
  readonly exc_module: string;
}

/** What an error may carry to be known to Python under another class, e.g. an SDK's own exception types. */
interface NamedForPython {
  readonly excType?: unknown;
  readonly excModule?: unknown;
}

/** Contains a colon, so that it never is the name of a Python module: readers make up a class of the error's name. */
export const ownExceptionModule = 'umbel:js';

/** JS error name → Python's built-in of the same meaning. */
const builtinOfName: ReadonlyMap<string, string> = new Map([
  ['RangeError', 'ValueError'],
  ['URIError', 'ValueError'],
  ['ReferenceError', 'NameError'],
  // The same names on both sides, also when a task author defines the class; only those that take one text argument.
  ...[
    'TypeError',
    'SyntaxError',
    'ValueError',
    'KeyError',
    'IndexError',
    'LookupError',
    'AttributeError',
    'NameError',
    'RuntimeError',
    'NotImplementedError',
    'ArithmeticError',
    'ZeroDivisionError',
    'OverflowError',
    'AssertionError',
    'TimeoutError',
    'OSError',
    'ConnectionError',
    'FileNotFoundError',
    'PermissionError',
    'MemoryError',
    'RecursionError',
    'EOFError',
    'ImportError',
    'ModuleNotFoundError',
  ].map((name): [string, string] => [name, name]),
]);

/** Celery's own classes, whoever throws them here. */
const moduleOfCeleryName: ReadonlyMap<string, string> = new Map([
  ['MaxRetriesExceededError', 'celery.exceptions'],
  ['Retry', 'celery.exceptions'],
  ['Ignore', 'celery.exceptions'],
  ['Reject', 'celery.exceptions'],
  ['TaskRevokedError', 'celery.exceptions'],
  ['ChordError', 'celery.exceptions'],
  ['SoftTimeLimitExceeded', 'billiard.exceptions'],
]);

/** Node's system error code → Python's OSError of the same meaning. */
const builtinOfErrno: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'FileNotFoundError'],
  ['EEXIST', 'FileExistsError'],
  ['EACCES', 'PermissionError'],
  ['EPERM', 'PermissionError'],
  ['EISDIR', 'IsADirectoryError'],
  ['ENOTDIR', 'NotADirectoryError'],
  ['ECONNREFUSED', 'ConnectionRefusedError'],
  ['ECONNRESET', 'ConnectionResetError'],
  ['ECONNABORTED', 'ConnectionAbortedError'],
  ['EPIPE', 'BrokenPipeError'],
  ['ETIMEDOUT', 'TimeoutError'],
]);

const nativeNames: ReadonlySet<string> = new Set([
  'Error',
  'TypeError',
  'RangeError',
  'SyntaxError',
  'ReferenceError',
  'EvalError',
  'URIError',
  'AggregateError',
]);

/**
 * Anything thrown, as Python will see it.
 *
 * - An error with string properties `excType` and `excModule` is written under those (either may be given alone).
 * - An error whose name Python has as a built-in is that one; RangeError and URIError are ValueError, ReferenceError is
 *   NameError; Node's system errors are the fitting OSError (ENOENT: FileNotFoundError).
 * - Celery's own exceptions are known by their names.
 * - Any other keeps its name, with a module Python cannot have. A thrown non-error is an `Error` with its text.
 */
export function exceptionDocument(error: unknown): ExceptionDocument {
  if (!(error instanceof Error)) {
    return { exc_type: 'Error', exc_message: [typeof error === 'string' ? error : repr(error)], exc_module: ownExceptionModule };
  }
  const { excType, excModule } = error as NamedForPython;
  const name = nameOf(error);
  if (name === 'SoftTimeLimitExceeded' && error.message === '') return softTimeLimitExceeded();
  const code = (error as { readonly code?: unknown }).code;
  const builtin = (typeof code === 'string' ? builtinOfErrno.get(code) : undefined) ?? builtinOfName.get(name);
  const celeryModule = moduleOfCeleryName.get(name);
  const module = celeryModule ?? (builtin === undefined ? ownExceptionModule : 'builtins');
  return {
    exc_type: typeof excType === 'string' ? excType : (builtin ?? name),
    exc_message: [String(error.message)],
    exc_module: typeof excModule === 'string' ? excModule : typeof excType === 'string' ? ownExceptionModule : module,
  };
}

/** The class name, unless the author set `name`: `class PaymentError extends Error {}` is PaymentError. */
function nameOf(error: Error): string {
  const name = typeof error.name === 'string' && error.name !== '' ? error.name : 'Error';
  const className = typeof error.constructor === 'function' ? error.constructor.name : '';
  return nativeNames.has(name) && className !== '' ? className : name;
}

export function taskRevoked(reason: 'revoked' | 'terminated' | 'expired'): ExceptionDocument {
  return { exc_type: 'TaskRevokedError', exc_message: [reason], exc_module: 'celery.exceptions' };
}

/** How a child ended, as Celery says it: `Worker exited prematurely: signal 9 (SIGKILL) Job: 15.` */
export function workerLostText(end: { readonly exitCode: number | null; readonly signal: string | null; readonly job: number }): string {
  if (end.signal === null) return `Worker exited prematurely: exitcode ${end.exitCode} Job: ${end.job}.`;
  const number = constants.signals[end.signal as keyof typeof constants.signals];
  return `Worker exited prematurely: signal ${number ?? '?'} (${end.signal}) Job: ${end.job}.`;
}

export function workerLost(text: string): ExceptionDocument {
  return { exc_type: 'WorkerLostError', exc_message: [text], exc_module: 'billiard.exceptions' };
}

export function timeLimitExceeded(hardTimeLimitSeconds: number): ExceptionDocument {
  return { exc_type: 'TimeLimitExceeded', exc_message: [hardTimeLimitSeconds], exc_module: 'billiard.exceptions' };
}

export function softTimeLimitExceeded(): ExceptionDocument {
  return { exc_type: 'SoftTimeLimitExceeded', exc_message: [], exc_module: 'billiard.exceptions' };
}

export function chordError(message: string): ExceptionDocument {
  return { exc_type: 'ChordError', exc_message: [message], exc_module: 'celery.exceptions' };
}

export function notRegistered(taskName: string): ExceptionDocument {
  return { exc_type: 'NotRegistered', exc_message: [taskName], exc_module: 'celery.exceptions' };
}

/** The document for what encodeJson threw: its text is the Python repr of the cause. */
export function encodeError(cause: unknown): ExceptionDocument {
  const { exc_type, exc_message } = exceptionDocument(cause);
  const text = String(exc_message[0] ?? '');
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const quoted = quote === "'" ? text.replaceAll("'", "\\'") : text;
  return { exc_type: 'EncodeError', exc_message: [`${exc_type}(${quote}${quoted}${quote})`], exc_module: 'kombu.exceptions' };
}

/** As Python shows an exception: `WorkerLostError('Worker exited prematurely')`. */
export function errorText({ exc_type: type, exc_message: message }: ExceptionDocument): string {
  return `${type}(${message.map((part) => repr(part)).join(', ')})`;
}
