/** The modules of the operator: does a child load them, and what do they offer? */
import { UmbelError } from '../errors.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import { ownTasks } from '../node/own-tasks.ts';
import { tryModules } from '../node/try-modules.ts';
import { taskPattern } from '../std/task-pattern.ts';
import { type Finding, found } from './finding.ts';
import { silentLog } from './refusals.ts';
import { placeOf, type Subject } from './subject.ts';

export interface LoadedModules {
  readonly findings: readonly Finding[];
  /** Those of the user's modules, by name; null: they did not load, or there are none. */
  readonly tasks: ReadonlyMap<string, TaskOffer> | null;
}

/** Nodes with the same modules load them once. */
export class ModuleTrials {
  readonly #trials = new Map<string, Promise<LoadedModules>>();

  of(subject: Subject): Promise<LoadedModules> {
    const { worker_tasks: tasks, worker_control_modules: control, worker_autoscaler: autoscaler, ...settings } = subject.config.settings;
    const key = JSON.stringify([
      tasks,
      control,
      autoscaler,
      settings.task_routes,
      settings.task_annotations,
      settings.worker_proc_alive_timeout,
    ]);
    let trial = this.#trials.get(key);
    if (trial === undefined) {
      trial = load(subject);
      this.#trials.set(key, trial);
    }
    return trial;
  }
}

async function load(subject: Subject): Promise<LoadedModules> {
  const { config, env } = subject;
  const place = placeOf(subject, 'worker_tasks');
  if (config.settings.worker_tasks.length === 0)
    return { findings: [found('NO_TASK_MODULES', 'a worker needs task modules, got none')], tasks: null };
  let offers: ReadonlyMap<string, TaskOffer>;
  try {
    offers = await tryModules(config, env, silentLog());
  } catch (error) {
    if (!(error instanceof UmbelError)) throw error;
    // What it refuses for its settings is found by other checks.
    if (error.code === 'CONFIG_INVALID') return { findings: [], tasks: null };
    return { findings: [failed(error, subject)], tasks: null };
  }
  const names = new Set(ownTasks(offers));
  const own = new Map([...offers].filter(([name]) => names.has(name)));
  if (own.size === 0)
    return {
      findings: [found('NO_TASKS', `the task modules must export tasks, got none from ${config.settings.worker_tasks.join(', ')}`, place)],
      tasks: own,
    };
  return { findings: [], tasks: own };
}

function failed(error: UmbelError, subject: Subject): Finding {
  switch (error.code) {
    case 'ROUTER_FAILED':
      return found('ROUTER_FAILED', error.message, placeOf(subject, 'task_routes'));
    case 'CONTROL_MODULE_FAILED':
      return found('CONTROL_MODULE_FAILED', error.message, placeOf(subject, 'worker_control_modules'));
    case 'AUTOSCALER_FAILED':
      return found('AUTOSCALER_FAILED', error.message, placeOf(subject, 'worker_autoscaler'));
    case 'TASK_MODULE_NOT_FOUND':
      return found('TASK_MODULE_NOT_FOUND', error.message, placeOf(subject, 'worker_tasks'));
    default:
      return found('TASK_MODULE_BROKEN', error.message, placeOf(subject, 'worker_tasks'));
  }
}

/** `[tasks."NAME"]` for which no subject has a task: a slip, since a table for another worker stands in the file of that one. */
export function* unusedAnnotations({ config }: Subject, names: readonly string[]): Iterable<Finding> {
  for (const pattern of Object.keys(config.settings.task_annotations)) {
    const expression = taskPattern(pattern);
    if (names.some((name) => (expression === null ? name === pattern : expression.test(name)))) continue;
    yield found(
      'ANNOTATION_UNUSED',
      `[tasks."${pattern}"] must fit a task of the modules, got none that it fits`,
      config.origin('task_annotations').text,
    );
  }
}
