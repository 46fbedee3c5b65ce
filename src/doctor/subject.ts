/** What `umbel check` and `umbel doctor` look at: one worker as it would be started, or the nodes of one configuration. */
import type { Config } from '../config/config.ts';
import type { SettingName } from '../config/settings-table.ts';
import { namesOf, type WorkerNames } from '../node/worker-params.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import type { Finding } from './finding.ts';

export interface Subject {
  /** Of `[node.NAME]`; null: the one worker there is. */
  readonly node: string | null;
  readonly config: Config;
  readonly names: WorkerNames;
  readonly env: NodeJS.ProcessEnv;
}

/** One rule, or a few that belong together. Looks, and changes nothing. */
export type Check = (subject: Subject) => Iterable<Finding> | Promise<Iterable<Finding>>;

/** Throws what a worker with this configuration would throw at its start. */
export function subjectOf(config: Config, node: string | null, env: NodeJS.ProcessEnv): Subject {
  return { node, config, names: namesOf(config), env };
}

/** Of something in its table of the configuration; where it has none, of the setting that leads to it. */
export function placeOfQueue(
  { config }: Subject,
  { name, alias = name }: Pick<TaskQueue, 'name' | 'alias'>,
  path: readonly string[] = [],
): string {
  const isTold = Object.hasOwn(config.settings.task_queues, alias);
  return isTold ? config.placeOf('task_queues', [alias, ...path]) : config.origin('broker_url').text;
}

export function placeOf({ config }: Subject, name: SettingName): string {
  return config.origin(name).text;
}
