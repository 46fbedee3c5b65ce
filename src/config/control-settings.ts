/** Settings of remote control: `[control]`, and one of `[worker]`. */
import { boolean, seconds, text } from './kind.ts';
import { setting } from './setting.ts';

export const remoteControlSettings = {
  worker_enable_remote_control: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Answer `umbel inspect` and `umbel control`, and those of Python.',
  }),
  worker_pool_restarts: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Whether the remote command `pool_restart` replaces all children, which load the task modules anew. HUP does that and more.',
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
