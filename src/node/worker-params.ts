/**
 * From a configuration to what each part of a worker takes.
 *
 * Owns the derived values: node name, queues, what the children are told. node/ is the only folder that reads a Config.
 */
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { ChildSettings } from '../ipc/exchange.ts';
import { processRssBytes } from '../os/process-info.ts';
import type { ChildKind } from '../pool/child-link.ts';
import type { ChildPoolParams } from '../pool/child-pool.ts';
import { mustSupport } from '../pool/pool-features.ts';
import type { RecyclingParams } from '../pool/recycler.ts';
import { type QueueTable, type TaskQueue, workerDirectQueue } from '../producer/queue-table.ts';
import { expandTemplate, NodeNameError, parseNodeName } from '../std/node-name.ts';
import { loadAutoscaler } from './module-autoscaler.ts';
import { type PoolShape, poolShape } from './pool-shape.ts';
import { queueTableOf } from './routing-params.ts';
import { taskAnnotations } from './task-annotations.ts';

export interface WorkerNames {
  readonly nodeName: string;
  /** Queues and routes of everything that is published. */
  readonly queueTable: QueueTable;
  /** Those consumed from. */
  readonly queues: readonly TaskQueue[];
  readonly pool: PoolShape;
  readonly taskPaths: readonly string[];
  /** Log file of the main process; null: standard error. */
  readonly logFile: string | null;
  readonly pidfile: string | null;
  readonly stateDb: string | null;
}

/** Throws USAGE when there is nothing to run or to consume, QUEUE_UNKNOWN, NAME_INVALID. */
export function workerNames(config: Config): WorkerNames {
  const names = namesOf(config);
  if (names.taskPaths.length > 0) return names;
  const how = 'name them with -A (umbel worker -A tasks.ts) or worker.tasks in the configuration';
  throw new UmbelError('USAGE', `a worker needs task modules: ${how}`);
}

/** The same, of a worker that may have nothing to run. */
export function namesOf(config: Config): WorkerNames {
  const { settings } = config;
  const nodeName = named(() => parseNodeName(settings.worker_hostname, hostname()));
  const queueTable = queueTableOf(settings);
  const selected = queueTable.select(settings.worker_queues, settings.worker_exclude_queues);
  const queues = settings.worker_direct ? [...selected, workerDirectQueue(nodeName)] : selected;
  const expand = (template: string | null): string | null =>
    template === null ? null : named(() => expandTemplate(template, { nodeName, index: 0 }));
  return {
    nodeName,
    queueTable,
    queues,
    pool: poolShape(config),
    taskPaths: settings.worker_tasks,
    logFile: expand(settings.worker_logfile),
    pidfile: expand(settings.worker_pidfile),
    stateDb: expand(settings.worker_state_db),
  };
}

/** std stands below the catalogue of errors; here its refusal of a name becomes one of ours. */
function named<T>(expand: () => T): T {
  try {
    return expand();
  } catch (error) {
    throw error instanceof NodeNameError ? new UmbelError('NAME_INVALID', messageOf(error), { cause: error }) : error;
  }
}

/** What the child with this index is told. */
export function childSettings(config: Config, names: WorkerNames, index: number, env: NodeJS.ProcessEnv): ChildSettings {
  const { settings } = config;
  const { nodeName } = names;
  // What runs in the worker itself has the worker's own log file.
  const fileIndex = settings.worker_pool === 'solo' ? 0 : index;
  const ownLogFile = settings.worker_logfile === null ? null : expandTemplate(settings.worker_logfile, { nodeName, index: fileIndex });
  return {
    nodeName,
    index,
    parentPid: process.pid,
    taskPaths: names.taskPaths,
    workdir: process.cwd(),
    compileCacheFolder: cacheFolder(env),
    // Less than the time the child is given, so that it can still say which module it was.
    loadTimeoutMs: settings.worker_proc_alive_timeout * 800,
    shutdownHooksMs: settings.worker_process_shutdown_timeout * 1000,
    concurrency: names.pool.slots,
    acceptContent: settings.accept_content,
    logLevel: settings.worker_loglevel,
    // One file for all is written by the parent alone; with %i or %I every child has its own.
    logFile: ownLogFile === null || ownLogFile === names.logFile ? null : resolve(ownLogFile),
    logFormat: settings.worker_log_format,
    redirectStdouts: settings.worker_redirect_stdouts,
    redirectStdoutsLevel: settings.worker_redirect_stdouts_level,
    wantResultText: settings.worker_loglevel === 'info' || settings.worker_loglevel === 'debug' || settings.worker_send_task_events,
    wantArguments: settings.result_extended,
    taskDefaults: {
      acksLate: settings.task_acks_late,
      acksOnFailureOrTimeout: settings.task_acks_on_failure_or_timeout,
      rejectOnWorkerLost: settings.task_reject_on_worker_lost,
      ignoreResult: settings.task_ignore_result,
      storeErrorsEvenIfIgnored: settings.task_store_errors_even_if_ignored,
      trackStarted: settings.task_track_started,
      rateLimit: settings.task_default_rate_limit,
    },
    annotations: taskAnnotations(settings.task_annotations),
    taskProtocol: settings.task_protocol === 1 ? 1 : 2,
    inheritParentPriority: settings.task_inherit_parent_priority,
    chordRetryIntervalSeconds: settings.result_chord_retry_interval,
  };
}

/** Of the user, as the XDG rules have it; null when there is no home. */
function cacheFolder(env: NodeJS.ProcessEnv): string | null {
  if (env.XDG_CACHE_HOME?.startsWith('/') === true) return join(env.XDG_CACHE_HOME, 'umbel');
  return env.HOME?.startsWith('/') === true ? join(env.HOME, '.cache', 'umbel') : null;
}

/** When children are replaced. Throws CONFIG_INVALID; NOT_SUPPORTED where children of that kind cannot be, or where their memory cannot be seen. */
export function recyclingParams(config: Config, kind: Pick<ChildKind, 'name' | 'features'>): RecyclingParams {
  const { settings } = config;
  const { worker_max_memory_per_child: softKib, worker_max_memory_hard: hardKib } = settings;
  const { worker_max_tasks_per_child: maxTasks, worker_max_tasks_per_child_jitter: maxTasksJitter } = settings;
  if (maxTasks !== null) mustSupport(kind, 'resize', 'worker.max_tasks_per_child');
  else if (maxTasksJitter > 0) {
    const where = config.origin('worker_max_tasks_per_child_jitter').text;
    const rule = 'worker.max_tasks_per_child_jitter needs worker.max_tasks_per_child, the number it is taken from';
    throw new UmbelError('CONFIG_INVALID', `${rule}, got ${maxTasksJitter} alone (${where})`);
  }
  if (softKib !== null) mustSupport(kind, 'memoryLimits', 'worker.max_memory_per_child');
  if (hardKib !== null) mustSupport(kind, 'memoryLimits', 'worker.max_memory_hard');
  if ((softKib !== null || hardKib !== null) && processRssBytes(process.pid) === null) {
    const name = softKib === null ? 'worker.max_memory_hard' : 'worker.max_memory_per_child';
    throw new UmbelError(
      'NOT_SUPPORTED',
      `${name} needs /proc to see what a child holds, got ${softKib ?? hardKib} on ${process.platform}`,
    );
  }
  return {
    maxTasks,
    maxTasksJitter,
    softBytes: softKib === null ? null : softKib * 1024,
    hardBytes: hardKib === null ? null : hardKib * 1024,
  };
}

/** The range in which the number of children follows the load; null: it does not. Throws NOT_SUPPORTED. */
export function autoscaleParams(
  { settings }: Config,
  kind: Pick<ChildKind, 'name' | 'features'>,
): NonNullable<ChildPoolParams['autoscale']> | null {
  const { worker_autoscale: range, worker_autoscaler: module, worker_autoscale_keepalive: keepaliveSeconds } = settings;
  if (range === null) {
    if (module !== null) throw new UmbelError('CONFIG_INVALID', `worker.autoscaler needs worker.autoscale, the range, got ${module} alone`);
    return null;
  }
  mustSupport(kind, 'resize', 'worker.autoscale');
  return { ...range, keepaliveMs: keepaliveSeconds * 1000, load: module === null ? null : () => loadAutoscaler(module) };
}
