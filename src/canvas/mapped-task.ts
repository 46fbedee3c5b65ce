/** `celery.map`, `celery.starmap` and `celery.chunks` go where the task goes that they call. Source: messages.md §8.5. */
const callers: ReadonlySet<string> = new Set(['celery.map', 'celery.starmap', 'celery.chunks']);

/** null: it calls none. */
export function mappedTask(taskName: string, kwargs: Readonly<Record<string, unknown>>): string | null {
  const { task } = kwargs;
  if (!callers.has(taskName) || typeof task !== 'object' || task === null || !('task' in task)) return null;
  return typeof task.task === 'string' ? task.task : null;
}
