/**
 * A command that cannot be done, in the words of Python: callers show `{"error": "KeyError('x')"}` and some read the name in it.
 *
 * Source: protocol notes, control.md §1.
 */
import { pythonText } from '../std/python-repr.ts';

export type PythonError = 'KeyError' | 'TypeError' | 'ValueError' | 'ImportError' | 'NotImplementedError' | 'RuntimeError';

export class CommandFailure extends Error {
  /** null: Celery says it in words of its own, and not as an exception. */
  readonly type: PythonError | null;

  constructor(type: PythonError | null, text: string) {
    super(text);
    this.name = 'CommandFailure';
    this.type = type;
  }
}

/** The text of an error reply. */
export function errorText(error: unknown): string {
  if (error instanceof CommandFailure && error.type === null) return error.message;
  if (error instanceof CommandFailure) return `${error.type}(${pythonText(error.message)})`;
  return `RuntimeError(${pythonText(error instanceof Error ? error.message : String(error))})`;
}
