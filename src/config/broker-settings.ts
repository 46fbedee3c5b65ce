/** Settings of the broker and of the embedded SQLite database: `[broker]` and `[sqlite]`. */
import { amqpBrokerSettings } from './amqp-settings.ts';
import { oneOf, seconds } from './kind.ts';
import { redisBrokerSettings } from './redis-broker-settings.ts';
import { setting } from './setting.ts';
import { url } from './url-kind.ts';

export const brokerSettings = {
  broker_url: setting<string | null>({
    kind: url({
      noun: 'a broker URL',
      schemes: ['sqlite', 'sqla+sqlite', 'amqp', 'amqps', 'pyamqp', 'redis', 'rediss', 'redis+socket', 'sentinel', 'memory'],
      list: true,
      notBuilt: ['librabbitmq', 'sqs', 'gcpubsub', 'kafka', 'mongodb', 'zookeeper', 'confluentkafka'],
    }),
    default: null,
    defaultText: 'the embedded broker in $XDG_STATE_HOME/umbel/umbel.db (~/.local/state)',
    doc: 'Where tasks come from and go to. `sqlite:////absolute/path.db` is the embedded broker in that file, `sqlite:///relative.db` in one relative to the folder of the configuration file; `sqla+sqlite:` says the same the way Python Celery does. RabbitMQ as Celery has it: `amqp://user:password@host:port/vhost` (or `pyamqp://`), `amqps://` with TLS. A Redis server as Celery has it: `redis://[user]:[password]@host:port/db`, `rediss://` with TLS, `redis+socket:///path?virtual_host=db`, `sentinel://host:port/db`; several of one kind, as a list or joined by `;`, are tried in turn. `memory://` lives and dies with one process and is meant for tests.',
    flag: { names: ['-b', '--broker'], argument: 'URL', on: 'global', group: 'Global options' },
    celeryEnvironment: ['CELERY_BROKER_URL', 'CELERY_BROKER_READ_URL', 'CELERY_BROKER_WRITE_URL'],
    secret: 'url',
    celeryDiffers: 'Celery falls back to amqp://guest@localhost//. There is one URL for reading and writing.',
    example: 'sqlite:////var/lib/umbel/umbel.db',
  }),
  ...redisBrokerSettings,
  ...amqpBrokerSettings,
} as const;

export const sqliteSettings = {
  sqlite_synchronous: setting<'off' | 'normal' | 'full'>({
    kind: oneOf(['off', 'normal', 'full']),
    default: 'normal',
    doc: 'How far SQLite goes before it calls a commit done. `normal` survives the death of every process but may lose the last commits when the machine loses power; `full` survives that too and is slower; `off` may corrupt the file at a power loss.',
    celeryDiffers: 'Not in Celery.',
  }),
  sqlite_lease_seconds: setting<number>({
    kind: seconds({ above: 0 }),
    default: 30,
    defaultText: '30; with `solo` 3600',
    doc: 'How long a message stays with a worker that gives no more sign of life before another worker gets it. A living worker renews its leases well within that time. With the `solo` pool, which cannot while a task blocks it, the default is an hour.',
    celeryDiffers: 'Not in Celery.',
  }),
  sqlite_busy_timeout_seconds: setting<number>({
    kind: seconds(),
    default: 5,
    doc: 'How long to wait for the database file while another process is writing to it.',
    celeryDiffers: 'Not in Celery.',
  }),
} as const;
