/** The names of the user's own tasks, sorted: every worker has those of Celery. */
export function ownTasks(tasks: ReadonlyMap<string, unknown>): readonly string[] {
  return [...tasks.keys()].filter((name) => !name.startsWith('celery.')).sort();
}
