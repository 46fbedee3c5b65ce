/**
 * An error that nobody catches while a child loads its task modules, as a module that does not load: a promise that was left to itself, a timer.
 */
import { fileURLToPath } from 'node:url';
import { messageOf, UmbelError } from '../errors.ts';
import { displayPath } from '../task/module-files.ts';

export function uncaughtWhileLoading(error: unknown, workdir: string): UmbelError {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const [, file, place] = /(file:[^()\s]+?)(:\d+:\d+)\)?$/m.exec(stack) ?? [];
  const where = file === undefined ? '' : `${displayPath(fileURLToPath(file), workdir)}${place}: `;
  const name = error instanceof Error ? `${error.name}: ` : '';
  const text = `a task module must leave no error uncaught while it loads, got ${where}${name}${messageOf(error)}`;
  return new UmbelError('TASK_MODULE_BROKEN', text, { cause: error });
}
