/** Settings of the result backend: `[result]`. */
import { boolean, secondsOrNever } from './kind.ts';
import { resultRedisSettings } from './redis-settings.ts';
import { setting } from './setting.ts';
import { contentTypes } from './task-settings.ts';
import { url } from './url-kind.ts';

export const resultSettings = {
  result_backend: setting<string | null>({
    kind: url({
      noun: 'a result backend',
      schemes: ['sqlite', 'db+sqlite', 'redis', 'rediss', 'redis+socket', 'socket', 'sentinel', 'rpc', 'memory'],
      notBuilt: ['amqp', 'db', 'db+postgresql', 'db+mysql', 'cache', 'cache+memcached', 'mongodb', 'file', 's3'],
      words: ['disabled'],
    }),
    default: null,
    defaultText: 'with the embedded broker, the file of the broker',
    doc: 'Where states and results are kept: `sqlite:////absolute/path.db` (or `db+sqlite:`, as Python Celery says), a Redis database as Celery keeps it (`redis://[user]:[password]@host:port/db`, `rediss://` with TLS, `redis+socket:///path?virtual_host=db`, `sentinel://host:port/db` with further sentinels after `;`), `rpc://` sends them as messages to whoever sent the task, who alone can read them, or `disabled` for nowhere. `memory://` lives and dies with one process and is meant for tests. Results in the file of the embedded broker, or in the Redis database of the broker, are the fastest: result and acknowledgement are one commit. In the database of the broker it is also the connection of the broker, and `broker.transport_options` alone says how it connects.',
    flag: { names: ['--result-backend'], argument: 'URL', on: 'global', group: 'Global options' },
    celeryEnvironment: ['CELERY_RESULT_BACKEND'],
    secret: 'url',
    celeryDiffers: 'In Celery no setting means no results; here the embedded broker keeps them unless this is `disabled`.',
    example: 'sqlite:////var/lib/umbel/umbel.db',
  }),
  result_expires: setting<number | null>({
    kind: secondsOrNever(),
    default: 86_400,
    defaultText: '86400 (one day)',
    doc: 'Results are deleted this many seconds after they were stored. 0 keeps them for ever.',
  }),
  result_extended: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Keep name, arguments, worker, retries and queue of the task with its result.',
  }),
  result_persistent: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Whether the messages of rpc:// results are persistent.',
  }),
  result_serializer: setting<'json'>({
    kind: contentTypes,
    default: 'json',
    doc: 'Serializer of results.',
  }),
  ...resultRedisSettings,
} as const;
