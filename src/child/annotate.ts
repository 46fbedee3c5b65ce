/**
 * Options of tasks that the configuration changes (`[tasks.NAME]`), over those of their modules.
 *
 * Owns which tables are for a task and which of them is stronger: its own name, then the patterns in the order of the file, option by option.
 */
import type { TaskAnnotation, TaskAnnotations } from '../ipc/exchange.ts';
import { taskPattern } from '../std/task-pattern.ts';
import type { TaskRegistry } from '../task/registry.ts';

export function annotate(registry: TaskRegistry, annotations: TaskAnnotations): void {
  const tables = annotations.map(([pattern, options]) => ({ pattern, expression: taskPattern(pattern), options }));
  for (const name of registry.names()) {
    const named = tables.filter(({ pattern, expression }) => expression === null && pattern === name);
    const fitting = tables.filter(({ expression }) => expression?.test(name));
    if (named.length + fitting.length === 0) continue;
    const weakestFirst = [...named, ...fitting].reverse();
    const merged: TaskAnnotation = Object.assign({}, ...weakestFirst.map(({ options }) => options));
    registry.change(name, merged);
  }
}
