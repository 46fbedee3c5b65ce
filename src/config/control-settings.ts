/** Settings of remote control and events: `[control]`, `[event]`, and some of `[worker]`. */
import { boolean, listOf, path, seconds, text } from './kind.ts';
import { listenPlace, pathOrDisabled } from './listen-kind.ts';
import { setting } from './setting.ts';

export const remoteControlSettings = {
  worker_enable_remote_control: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Answer `umbel inspect` and `umbel control`, and those of Python.',
  }),
  worker_send_task_events: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Send an event for each step of each task, for Flower and other monitors. Without it they are sent only after the remote command `enable_events`.',
    flag: { names: ['-E', '--task-events', '--events'], argument: null, means: true, on: ['worker'], group: 'Worker options' },
  }),
  worker_enable_heartbeat: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Send events that say that this worker is there: online, heartbeat, offline.',
    flag: {
      names: ['--without-heartbeat'],
      argument: null,
      means: false,
      on: ['worker'],
      group: 'Worker options',
      doc: 'Send no events that say that this worker is there.',
    },
    celeryDiffers: 'In Celery there is only the flag.',
  }),
  worker_heartbeat_interval: setting<number>({
    kind: seconds({ above: 0 }),
    default: 2,
    doc: 'Seconds between two heartbeat events. A monitor takes a worker for lost after two of them.',
    flag: { names: ['--heartbeat-interval'], argument: 'SECONDS', on: ['worker'], group: 'Worker options' },
    celeryDiffers: 'In Celery there is only the flag.',
  }),
  worker_control_socket: setting<string | null>({
    kind: pathOrDisabled(),
    default: null,
    defaultText: 'NAME@HOST.sock in the runtime folder, if there is one',
    doc: 'Unix socket on which `umbel ctl` reaches this worker, also when the broker is away. Expands %n, %h and %d. Only its user may use it. The runtime folder is that of the systemd unit (`RUNTIME_DIRECTORY`), for root `/run/umbel`, else `umbel` in `XDG_RUNTIME_DIR`, else `/run/umbel` where its user may write. `disabled` for none.',
    celeryDiffers: 'Not in Celery.',
    example: '/run/umbel/%n.sock',
  }),
  worker_health_listen: setting<string | null>({
    kind: listenPlace(),
    default: null,
    defaultText: 'nowhere',
    doc: 'Where probes (`/livez`, `/readyz`, `/startupz`) and metrics for Prometheus (`/metrics`) are served: a loopback address with a port, or a Unix socket.',
    celeryDiffers: 'Not in Celery.',
    example: '127.0.0.1:9809',
  }),
  worker_enable_mingle: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Ask the other workers at the start, for a second, which tasks are revoked, and follow their logical clocks. On the embedded broker it takes a quarter of a second; where no other worker listens, no time at all.',
    flag: {
      names: ['--without-mingle'],
      argument: null,
      means: false,
      on: ['worker'],
      group: 'Worker options',
      doc: 'Do not ask other workers at the start.',
    },
    celeryDiffers: 'In Celery there is only the flag.',
  }),
  worker_enable_gossip: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Listen to the other workers: follow their logical clocks, say in the log which of them are seen and lost, take part in elections.',
    flag: {
      names: ['--without-gossip'],
      argument: null,
      means: false,
      on: ['worker'],
      group: 'Worker options',
      doc: 'Do not listen to other workers.',
    },
    celeryDiffers: 'In Celery there is only the flag.',
  }),
  worker_control_modules: setting<readonly string[]>({
    kind: listOf(path(), 'paths'),
    default: [],
    defaultText: 'none',
    doc: 'Modules with remote commands of your own, made with `controlCommand` and `inspectCommand` of `umbel`. They run in the worker itself.',
    celeryDiffers: 'Not in Celery, where commands are registered by decorators.',
    example: ['commands.ts'],
  }),
  worker_pool_restarts: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Whether the remote command `pool_restart` replaces all children, which load the task modules anew. HUP does that and more.',
  }),
} as const;

export const eventSettings = {
  event_exchange: setting<string>({
    kind: text({ rule: 'the name of an exchange' }),
    default: 'celeryev',
    doc: 'The exchange of events. It must be the same for workers and whoever listens to them.',
  }),
  event_queue_prefix: setting<string>({
    kind: text({ rule: 'the beginning of the name of a queue' }),
    default: 'celeryev',
    doc: 'On RabbitMQ, how the queues of those who listen to events begin.',
  }),
  event_queue_ttl: setting<number>({
    kind: seconds(),
    default: 5,
    doc: 'On RabbitMQ, how long an event waits for whoever listens (seconds).',
  }),
  event_queue_expires: setting<number>({
    kind: seconds({ above: 0 }),
    default: 60,
    doc: 'On RabbitMQ, how long the queue of a listener outlives it (seconds).',
  }),
} as const;

export const controlSettings = {
  control_exchange: setting<string>({
    kind: text({ rule: 'the name of an exchange' }),
    default: 'celery',
    doc: 'Prefix of the exchanges of remote control, `NAME.pidbox` and `reply.NAME.pidbox`. It must be the same for workers and whoever controls them.',
  }),
  control_queue_ttl: setting<number>({
    kind: seconds(),
    default: 300,
    doc: 'On RabbitMQ, how long a request or reply waits in its queue (seconds).',
  }),
  control_queue_expires: setting<number>({
    kind: seconds(),
    default: 10,
    doc: 'On RabbitMQ, how long a queue of remote control outlives its reader (seconds).',
  }),
} as const;
