/** Settings of queues and of where messages go: `[queues.NAME]` and the routing part of `[task]`. */
import { boolean, integer, oneOf, text } from './kind.ts';
import { deliveryMode, exchangeType, type QueueSettings, queueFieldsText, queueTables } from './queue-kind.ts';
import { type RouterSetting, retryPolicyFields, routeFieldsText, taskRoutes } from './route-kind.ts';
import { setting } from './setting.ts';
import { fieldsText, type TableOf, table } from './table-kind.ts';

const queueType = oneOf(['classic', 'quorum']);

export const queueSettings = {
  task_queues: setting<QueueSettings>({
    kind: queueTables(),
    default: {},
    defaultText: 'the default queue alone',
    doc: `The queues, each in a table of its own, \`[queues.NAME]\`. A worker without \`-Q\` takes tasks from all of them; client and worker declare them before use. Keys: ${queueFieldsText}`,
    celeryDiffers: 'Celery has a list of Queue and Broadcast objects, or a map of such tables.',
    example: { feeds: { exchange: 'feeds', exchange_type: 'topic', routing_key: 'feed.#', max_priority: 10 } },
  }),
} as const;

export const routingSettings = {
  task_routes: setting<readonly RouterSetting[]>({
    kind: taskRoutes(),
    default: [],
    defaultText: 'none',
    doc: `Which task goes where: a table from task names to routes; a name with \`*\` in it is a pattern (\`*\`, \`?\`, \`[a-z]\`), one between slashes a regular expression that must match from the beginning of the name (\`"/(video|image)\\\\..*/"\`). An exact name comes before all patterns, and these count in their order. Or the file of a module that exports a router function, \`"router.ts"\` (its default export) or \`"router.ts:name"\`; it is loaded into the worker itself and into the commands that call tasks. Or a list of tables, modules and lists of pairs (\`[["mail.*", "mail"], ["*", "rest"]]\`), asked in order until one has a route. A route is the name of a queue or a table of ${routeFieldsText} Options of the call and of the task are stronger.`,
    celeryDiffers: 'Regular expressions are compiled objects in Celery, and routers Python functions.',
    example: [
      [
        ['feeds.*', { queue: 'feeds' }],
        ['mail.send', { queue: 'mail', priority: 5 }],
      ],
    ],
  }),
  task_default_queue: setting<string>({
    kind: text({ rule: 'the name of a queue' }),
    default: 'celery',
    doc: 'The queue of tasks for which nothing names one.',
  }),
  task_default_exchange: setting<string | null>({
    kind: text({ rule: 'the name of an exchange' }),
    default: null,
    defaultText: 'the name of the default queue',
    doc: 'The exchange of the default queue, and of queues that name none.',
    example: 'tasks',
  }),
  task_default_exchange_type: setting<'direct' | 'topic' | 'fanout' | 'headers'>({
    kind: exchangeType,
    default: 'direct',
    doc: 'Its type. A message to a queue of a direct exchange is sent straight to the queue, one to a queue of another exchange through the exchange.',
  }),
  task_default_routing_key: setting<string | null>({
    kind: text({ rule: 'a routing key' }),
    default: null,
    defaultText: 'the name of the default queue',
    doc: 'The routing key of the default queue and of broadcasts.',
    example: 'default',
  }),
  task_default_queue_type: setting<'classic' | 'quorum'>({
    kind: queueType,
    default: 'classic',
    doc: 'Type of the default queue where no queues are declared (RabbitMQ).',
  }),
  task_default_delivery_mode: setting<1 | 2>({
    kind: deliveryMode,
    default: 2,
    doc: 'Whether messages for which nothing else is said are `persistent`, and survive a restart of RabbitMQ in a durable queue, or `transient`. Other brokers keep them alike.',
  }),
  task_queue_max_priority: setting<number | null>({
    kind: integer({ min: 1, max: 255 }),
    default: null,
    defaultText: 'none',
    doc: 'The highest priority that queues tell apart which do not say it themselves (RabbitMQ). Queues that are there without it cannot be given it; they have to be deleted first. Quorum queues have none.',
    example: 10,
  }),
  task_create_missing_queues: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Create a queue that is named with `-Q`, by a call or by a route, and not declared. When false, such a name is an error.',
  }),
  task_create_missing_queue_type: setting<'classic' | 'quorum'>({
    kind: queueType,
    default: 'classic',
    doc: 'Type of queues made in that way (RabbitMQ).',
  }),
  task_create_missing_queue_exchange_type: setting<'direct' | 'topic' | 'fanout' | 'headers' | null>({
    kind: exchangeType,
    default: null,
    defaultText: 'direct',
    doc: 'Type of the exchange of such a queue, which has its name.',
    example: 'topic',
  }),
  task_publish_retry: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Whether sending a task is tried again when the broker is not there. A message whose confirmation was lost may then be sent twice. What follows from a finished task (callbacks, the next step of a chain, a retry) waits for the broker in any case.',
  }),
  task_publish_retry_policy: setting<TableOf<typeof retryPolicyFields>>({
    kind: table(retryPolicyFields),
    default: {},
    defaultText: '3 times: at once, after 0.2 and after 0.4 seconds',
    doc: `How often, and how many seconds between. Keys that are not given: those of broker.transport_options, on RabbitMQ. ${fieldsText(retryPolicyFields)}`,
    example: { max_retries: 3, interval_start: 0, interval_step: 0.2, interval_max: 1 },
  }),
} as const;
