/** `[tasks.NAME]` as the children are told of it: options of tasks under the names they have there. */
import type { AnnotationSettings } from '../config/annotation-kind.ts';
import type { TaskAnnotation, TaskAnnotations } from '../ipc/exchange.ts';
import type { Logger } from '../log/logger.ts';
import { taskPattern } from '../std/task-pattern.ts';
import { ownTasks } from './own-tasks.ts';

export function taskAnnotations(settings: AnnotationSettings): TaskAnnotations {
  return Object.entries(settings).map(([pattern, annotation]) => {
    const options: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(annotation)) options[camelCase(key)] = optionOf(key, value);
    return [pattern, options as TaskAnnotation];
  });
}

/** Say which names and patterns fit no task of this worker: a slip, or meant for another worker. */
export function sayUnused(settings: AnnotationSettings, tasks: ReadonlyMap<string, unknown>, log: Logger): void {
  const names = [...tasks.keys()];
  const unused = Object.keys(settings).filter((pattern) => {
    const expression = taskPattern(pattern);
    return !names.some((name) => (expression === null ? name === pattern : expression.test(name)));
  });
  if (unused.length === 0) return;
  const shown = unused.map((pattern) => `[tasks."${pattern}"]`).join(', ');
  log.warning('worker.annotations-unused', `no task of this worker fits ${shown} of the configuration`, { patterns: unused });
}

/** What TOML cannot say, and what has several forms there. */
function optionOf(key: string, value: unknown): unknown {
  if (key === 'max_retries') return value === false ? null : value;
  return key === 'retry_backoff' ? Number(value) : value;
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function sayNoTasks(tasks: ReadonlyMap<string, unknown>, taskPaths: readonly string[], log: Logger): void {
  if (ownTasks(tasks).length === 0) log.warning('worker.no-tasks', `no task is exported by ${taskPaths.join(', ')}`);
}
