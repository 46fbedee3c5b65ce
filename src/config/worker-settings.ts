/** Settings of the worker: `[worker]`. */
import { boolean, integer, listOf, oneOf, path, seconds, text } from './kind.ts';
import { setting } from './setting.ts';

/** Celery's levels in the spelling of the log module; case does not count. */
const logLevel = oneOf(['debug', 'info', 'warning', 'error', 'critical'], { aliases: { fatal: 'critical' } });
export type LogLevelName = 'debug' | 'info' | 'warning' | 'error' | 'critical';

export type ConsumptionStepName = 'rebuild' | 'reconnect' | 'exit';

/** A flag of `umbel worker`. */
function workerFlag(group: string, names: readonly string[], argument: string | null, means?: unknown) {
  return { names, argument, on: ['worker'], group, ...(means === undefined ? {} : { means }) } as const;
}

export const workerSettings = {
  worker_tasks: setting<readonly string[]>({
    kind: listOf(path(), 'paths'),
    default: [],
    defaultText: 'none',
    doc: 'Task modules: files, and folders that are searched for them. Each exported function is a task.',
    flag: { names: ['-A', '--app'], argument: 'PATH', repeatable: true, on: 'global', group: 'Global options' },
    celeryDiffers: 'Celery names a Python module with -A; its settings `imports` and `include` name Python modules too.',
    example: ['tasks.ts', 'jobs/'],
  }),
  worker_hostname: setting<string | null>({
    kind: text({ rule: 'a node name' }),
    default: null,
    defaultText: 'celery@ and the host name',
    doc: 'Name of this worker, unique among those of its broker. Expands %h (host name), %n (name) and %d (domain).',
    flag: workerFlag('Worker options', ['-n', '--hostname'], 'NAME'),
    celeryEnvironment: ['CELERY_WORKER_HOSTNAME'],
    example: 'worker1@%h',
  }),
  worker_concurrency: setting<number | null>({
    kind: integer({ min: 1 }),
    default: null,
    defaultText: 'the number of CPUs',
    doc: 'Number of child processes that run tasks.',
    flag: workerFlag('Pool options', ['-c', '--concurrency'], 'N'),
    celeryEnvironment: ['CELERY_WORKER_CONCURRENCY'],
    example: 4,
  }),
  worker_child_concurrency: setting<number>({
    kind: integer({ min: 1 }),
    default: 1,
    doc: 'Number of async tasks one child may run at a time.',
    celeryDiffers: 'Not in Celery.',
  }),
  worker_pool: setting<'prefork'>({
    kind: oneOf(['prefork'], {
      aliases: { processes: 'prefork' },
      refused: (word) =>
        ['solo', 'threads', 'eventlet', 'gevent', 'async', 'custom'].includes(word.toLowerCase())
          ? `'${word.toLowerCase()}' is known but not built in this version; it must be 'prefork'`
          : null,
    }),
    default: 'prefork',
    doc: 'How tasks are run: `prefork` runs them in child processes.',
    flag: workerFlag('Pool options', ['-P', '--pool'], 'POOL'),
    celeryEnvironment: ['CELERY_WORKER_POOL'],
  }),
  worker_prefetch_multiplier: setting<number>({
    kind: integer({ min: 0 }),
    default: 4,
    doc: 'Messages held per task slot, including those being run. 0 is no limit.',
    flag: workerFlag('Pool options', ['--prefetch-multiplier'], 'N'),
    celeryEnvironment: ['CELERY_WORKER_PREFETCH_MULTIPLIER'],
  }),
  worker_disable_prefetch: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Take a message only when a child is free for it: nothing is held in reserve, whatever the multiplier. For long tasks that another worker could begin at once; short ones come more slowly.',
    celeryDiffers: 'In Celery (5.6) with Redis alone.',
  }),
  worker_disable_rate_limits: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Keep no rate limit, whatever tasks and settings say.',
  }),
  worker_rate_limit_reserve: setting<number>({
    kind: integer({ min: 0 }),
    default: 1000,
    doc: 'Tasks that wait for their rate limit and are held beside the prefetch count, so that tasks of other types behind them in a queue go on. Above it they count, and a queue full of them keeps the others waiting.',
    celeryDiffers: 'Not in Celery, where each of them counts: as many as the prefetch count bring all other tasks to a stop.',
  }),
  worker_optimization: setting<'default' | 'fair'>({
    kind: oneOf(['default', 'fair']),
    default: 'default',
    doc: 'How tasks go to children: `default` gives a child a few at a time when they have proved to be short; `fair` gives it one at a time.',
    flag: workerFlag('Pool options', ['-O'], 'PROFILE'),
    celeryEnvironment: ['CELERY_WORKER_OPTIMIZATION'],
    celeryDiffers: 'In Celery `default` means `fair` since 4.0, and there is no setting for it.',
  }),
  worker_proc_alive_timeout: setting<number>({
    kind: seconds({ above: 0 }),
    default: 30,
    doc: 'How long a new child may take to get ready. One that takes longer is killed and counts as failed to start.',
    celeryDiffers: "Celery's default is 4; here a child loads the task modules itself within that time.",
  }),
  worker_max_start_failures: setting<number>({
    kind: integer({ min: 1 }),
    default: 5,
    doc: 'How many children in a row may die while starting before the worker gives up with exit status 70.',
    celeryDiffers: 'Not in Celery.',
  }),
  worker_max_tasks_per_child: setting<number | null>({
    kind: integer({ min: 1 }),
    default: null,
    defaultText: 'no bound',
    doc: 'Tasks one child runs before another takes its place. The other is started first.',
    flag: workerFlag('Pool options', ['--max-tasks-per-child'], 'N'),
    celeryEnvironment: ['CELERY_WORKER_MAX_TASKS_PER_CHILD'],
    example: 1000,
  }),
  worker_max_tasks_per_child_jitter: setting<number>({
    kind: integer({ min: 0 }),
    default: 0,
    doc: 'Each child runs up to so many tasks fewer, chosen by chance, so that children do not end together.',
    celeryDiffers: 'Not in Celery.',
    example: 100,
  }),
  worker_max_memory_per_child: setting<number | null>({
    kind: integer({ min: 1 }),
    default: null,
    defaultText: 'no bound',
    doc: 'KiB of resident memory above which another child takes the place of one. It is looked at during a task as well as after it; the task is finished first, and the other child is started first.',
    flag: workerFlag('Pool options', ['--max-memory-per-child'], 'KIB'),
    celeryEnvironment: ['CELERY_WORKER_MAX_MEMORY_PER_CHILD'],
    celeryDiffers: 'Celery looks after a task only.',
    example: 400_000,
  }),
  worker_max_memory_hard: setting<number | null>({
    kind: integer({ min: 1 }),
    default: null,
    defaultText: 'no bound',
    doc: 'KiB of resident memory above which a child is killed, ten times a second looked at. Its task fails with WorkerLostError, or is put back as its acknowledgement mode says.',
    celeryDiffers: 'Not in Celery.',
    example: 800_000,
  }),
  worker_queues: setting<readonly string[]>({
    kind: listOf(text({ rule: 'the name of a queue' }), 'queues'),
    default: [],
    defaultText: 'those of [queues], else the default queue',
    doc: 'Queues to take tasks from.',
    flag: { ...workerFlag('Queue options', ['-Q', '--queues'], 'LIST'), repeatable: true },
    celeryEnvironment: ['CELERY_WORKER_QUEUES'],
    celeryDiffers: 'In Celery a flag only.',
    example: ['celery', 'mail'],
  }),
  worker_exclude_queues: setting<readonly string[]>({
    kind: listOf(text({ rule: 'the name of a queue' }), 'queues'),
    default: [],
    defaultText: 'none',
    doc: 'Queues not to take tasks from.',
    flag: { ...workerFlag('Queue options', ['-X', '--exclude-queues'], 'LIST'), repeatable: true },
    celeryEnvironment: ['CELERY_WORKER_EXCLUDE_QUEUES'],
    celeryDiffers: 'In Celery a flag only.',
    example: ['bulk'],
  }),
  worker_direct: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Take tasks from a queue of its own too: `NODE.dq2`, on the exchange `C.dq2`, where NODE is the name of the worker. Who calls a task can then choose the worker.',
  }),
  worker_purge: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Delete all waiting messages of its queues when the worker starts. They cannot be brought back.',
    flag: workerFlag('Queue options', ['--purge', '--discard'], null, true),
    celeryEnvironment: ['CELERY_WORKER_PURGE'],
    celeryDiffers: 'In Celery a flag only.',
  }),
  worker_cancel_long_running_tasks_on_connection_loss: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'RabbitMQ: whether running tasks that are acknowledged late are ended when the connection is lost, because they will be delivered again. Their signal is aborted; a child whose task goes on for two seconds after that is killed, unless other tasks run in it. Without, they go on, and one that is delivered to this worker again is not started a second time. Other brokers take nothing away with a connection.',
    celeryDiffers: 'Celery stores the state RETRY for them; here nothing is stored.',
  }),
  worker_consumption_check_interval: setting<number>({
    kind: seconds(),
    default: 30,
    doc: 'A worker with a free child that hears nothing from the broker for so many seconds asks whether messages are ready. If they are, and still after the same time again, it takes a step: it consumes anew, then connects anew, then ends with status 75, one step per interval. 0 is off.',
    celeryDiffers: 'Not in Celery.',
  }),
  worker_consumption_check_limit: setting<ConsumptionStepName>({
    kind: oneOf(['rebuild', 'reconnect', 'exit']),
    default: 'exit',
    doc: 'The last of those steps: `rebuild` consumes anew, `reconnect` connects anew as well, `exit` ends the worker for its supervisor to start again.',
    celeryDiffers: 'Not in Celery.',
  }),
  worker_consumption_exit_timeout: setting<number>({
    kind: seconds(),
    default: 300,
    doc: 'How many seconds running tasks get when the worker ends for that reason. `worker_shutdown_timeout` counts when it is shorter.',
    celeryDiffers: 'Not in Celery.',
  }),
  worker_shutdown_timeout: setting<number | null>({
    kind: seconds(),
    default: null,
    defaultText: 'no bound',
    doc: 'How many seconds a warm shutdown waits for running tasks. Tasks still running then are put back or failed, as their acknowledgement mode says.',
    celeryDiffers: 'Not in Celery.',
    example: 300,
  }),
  worker_soft_shutdown_timeout: setting<number>({
    kind: seconds(),
    default: 0,
    doc: 'How many seconds running tasks get at a cold shutdown before they are ended. 0 is none.',
  }),
  worker_loglevel: setting<LogLevelName>({
    kind: logLevel,
    default: 'warning',
    doc: 'Least severe lines that are logged.',
    flag: workerFlag('Log options', ['-l', '--loglevel'], 'LEVEL'),
    celeryEnvironment: ['CELERY_WORKER_LOGLEVEL'],
    celeryDiffers: 'In Celery a flag only.',
  }),
  worker_logfile: setting<string | null>({
    kind: path(),
    default: null,
    defaultText: 'standard error',
    doc: 'Log file. Expands %n, %h, %d, %p, and %i or %I to the index of the process.',
    flag: workerFlag('Log options', ['-f', '--logfile'], 'PATH'),
    celeryEnvironment: ['CELERY_WORKER_LOGFILE'],
    celeryDiffers: 'In Celery a flag only.',
    example: '/var/log/umbel/%n%I.log',
  }),
  worker_log_format: setting<'text' | 'json'>({
    kind: oneOf(['text', 'json'], {
      refused: (word) => (word.includes('%(') ? "must be 'text' or 'json'; Celery's %-formats are not understood" : null),
    }),
    default: 'text',
    doc: "Form of a log line: `text` is Celery's default format, `json` is one JSON object a line.",
    flag: workerFlag('Log options', ['--log-format'], 'FORMAT'),
    celeryDiffers: "Celery's setting of this name is a %-format of Python's logging.",
  }),
  worker_log_color: setting<boolean | null>({
    kind: boolean(),
    default: null,
    defaultText: 'true on a terminal',
    doc: 'Colour log lines. A non-empty NO_COLOR in the environment means false.',
    flag: {
      names: ['-C', '--no-color'],
      argument: null,
      means: false,
      on: 'global',
      group: 'Global options',
      doc: 'Do not colour log lines.',
    },
    environmentSwitch: { variable: 'NO_COLOR', means: false },
    example: false,
  }),
  worker_redirect_stdouts: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'What tasks write to standard output and standard error goes to the log, line by line.',
  }),
  worker_redirect_stdouts_level: setting<LogLevelName>({
    kind: logLevel,
    default: 'warning',
    doc: 'Level of those lines.',
  }),
  worker_pidfile: setting<string | null>({
    kind: path(),
    default: null,
    defaultText: 'none',
    doc: 'File that holds the process id while the worker runs. A second worker with the same pidfile is refused. Expands as the log file.',
    flag: workerFlag('File options', ['--pidfile'], 'PATH'),
    celeryEnvironment: ['CELERY_WORKER_PIDFILE'],
    celeryDiffers: 'In Celery a flag only.',
    example: '/run/umbel/%n.pid',
  }),
  worker_state_db: setting<string | null>({
    kind: path(),
    default: null,
    defaultText: 'none',
    doc: 'File that keeps the ids of revoked tasks when the worker stops. Expands as the log file.',
    flag: workerFlag('File options', ['-S', '--statedb'], 'PATH'),
    celeryEnvironment: ['CELERY_WORKER_STATEDB'],
    example: '/var/lib/umbel/%n.state',
  }),
  worker_workdir: setting<string | null>({
    kind: path(),
    default: null,
    defaultText: 'the current folder',
    doc: 'Folder to change to at the start. Given as a flag or in the environment, the configuration file is searched there too, and relative paths in flags and in the environment are relative to it.',
    flag: { names: ['--workdir'], argument: 'PATH', on: 'global', group: 'Global options' },
    celeryEnvironment: ['CELERY_WORKDIR'],
    celeryDiffers: 'In Celery a flag only.',
    example: '/srv/app',
  }),
  worker_enable_inspector: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'The signal USR2 opens the debugger on a port of 127.0.0.1. Whoever can reach that port can run code as this worker.',
    celeryDiffers: "Not in Celery; its USR2 is Python's remote debugger.",
  }),
} as const;
