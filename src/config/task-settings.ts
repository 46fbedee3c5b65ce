/** Settings of tasks and their messages: the top level of the file and `[task]`. */
import type { RateLimit } from '../std/rate-limit.ts';
import { type AnnotationSettings, annotationFieldsText, annotationTables } from './annotation-kind.ts';
import { boolean, integer, listOf, oneOf, secondsOrNever } from './kind.ts';
import { rateLimit } from './rate-limit-kind.ts';
import { routingSettings } from './routing-settings.ts';
import { setting } from './setting.ts';

/** What messages and results may be written in. */
export const contentTypes = oneOf(['json'], {
  aliases: { 'application/json': 'json' },
  refused: (word) =>
    ['pickle', 'yaml', 'msgpack', 'auth', 'application/x-python-serialize', 'application/x-yaml', 'application/x-msgpack'].includes(word)
      ? `has '${word}', which is not built in this version; it may have 'json'`
      : null,
});

export const generalSettings = {
  accept_content: setting<readonly 'json'[]>({
    kind: listOf(contentTypes, 'content types'),
    default: ['json'],
    doc: 'Content types of messages that are accepted. A message of another type is rejected and not run.',
  }),
} as const;

export const annotationSettings = {
  task_annotations: setting<AnnotationSettings>({
    kind: annotationTables(),
    default: {},
    defaultText: 'none',
    doc: `Options of tasks, stronger than those in their modules: each in a table of its own, \`[tasks."mail.send"]\`. Instead of a name a pattern, as in task.routes: a glob when there is a \`*\` in it, a regular expression between slashes. A name is stronger than patterns, and an earlier pattern than a later one, option by option. Keys: ${annotationFieldsText}`,
    celeryDiffers: "In Celery `'*'` is stronger than a name, there are no other patterns, and options may be functions of Python.",
    example: { 'mail.send': { rate_limit: '10/m' } },
  }),
} as const;

export const taskSettings = {
  task_serializer: setting<'json'>({
    kind: contentTypes,
    default: 'json',
    doc: 'Serializer of the messages sent.',
  }),
  task_protocol: setting<number>({
    kind: integer({ min: 1, max: 2 }),
    default: 2,
    doc: 'Version of the task messages sent. Both versions are always understood.',
  }),
  task_acks_late: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Acknowledge a message after its task has run, not when it starts. A task whose worker dies then runs again, so it has to bear that.',
  }),
  task_acks_on_failure_or_timeout: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'With late acknowledgement, acknowledge tasks that failed or ran out of time too.',
  }),
  task_reject_on_worker_lost: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'With late acknowledgement, put a task back into its queue when the child that runs it dies, instead of failing it. A task that kills its child will then do so again and again.',
  }),
  task_ignore_result: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Store no results.',
  }),
  task_store_errors_even_if_ignored: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Store failures although results are ignored.',
  }),
  task_track_started: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Store the state STARTED when a task starts.',
  }),
  task_send_sent_event: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Send the event `task-sent` for each task that is sent: by `umbel call` and other commands, by tasks of this worker, and for what follows from them.',
  }),
  task_default_rate_limit: setting<RateLimit | null>({
    kind: rateLimit,
    default: null,
    defaultText: 'no limit',
    doc: "Most tasks of one type that a worker starts in a time, for tasks that name no rate limit of their own: `'100/m'`, `'10/s'`, `'5/h'` or a number per second. 0 is no limit.",
    example: '100/m',
  }),
  task_time_limit: setting<number | null>({
    kind: secondsOrNever(),
    default: null,
    defaultText: 'no limit',
    doc: 'Hard time limit of tasks that name none: a task that runs for so many seconds is killed with its child, and fails with `TimeLimitExceeded`. 0 is no limit.',
    flag: { names: ['--time-limit'], argument: 'SECONDS', on: ['worker'], group: 'Pool options' },
    celeryEnvironment: ['CELERY_WORKER_TIME_LIMIT'],
    example: 600,
  }),
  task_soft_time_limit: setting<number | null>({
    kind: secondsOrNever(),
    default: null,
    defaultText: 'no limit',
    doc: 'Soft time limit of tasks that name none: a task that runs for so many seconds gets a `SoftTimeLimitExceeded`, and can clean up. 0 is no limit.',
    flag: { names: ['--soft-time-limit'], argument: 'SECONDS', on: ['worker'], group: 'Pool options' },
    celeryEnvironment: ['CELERY_WORKER_SOFT_TIME_LIMIT'],
    example: 540,
  }),
  ...routingSettings,
  task_default_priority: setting<number | null>({
    kind: integer({ min: 0, max: 255 }),
    default: null,
    defaultText: 'none',
    doc: 'Priority of tasks for which neither the call nor the task nor a route names one. On RabbitMQ and the embedded broker higher is sooner, on Redis lower.',
    celeryDiffers: 'In Celery it counts as an option of the task, and is stronger than a route.',
    example: 3,
  }),
  task_inherit_parent_priority: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Tasks sent from a task take its priority unless they name one.',
  }),
} as const;
