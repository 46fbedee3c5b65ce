/** Settings of the Redis result backend: `[redis]`, and the tables that describe a Redis connection. */
import { boolean, oneOf, path, seconds, secondsOrNever, text } from './kind.ts';
import { retryPolicyFields } from './route-kind.ts';
import { setting } from './setting.ts';
import { field, fieldsText, type TableOf, table } from './table-kind.ts';

/** What CLIENT SETNAME takes. */
export const redisClientName = text({ rule: 'printable ASCII without spaces', pattern: /^[!-~]+$/ });

/** TLS in redis-py's words. */
export const redisTlsFields = {
  ssl_cert_reqs: field(
    oneOf(['required', 'optional', 'none'], { aliases: { cert_required: 'required', cert_optional: 'optional', cert_none: 'none' } }),
    'how far the certificate of the server is checked; `required` unless given.',
  ),
  ssl_ca_certs: field(path(), 'certificates of the authorities to trust, instead of those of the system.'),
  ssl_certfile: field(path(), 'the certificate of this client.'),
  ssl_keyfile: field(path(), 'its key; the file of the certificate may hold it as well.'),
  ssl_password: field(text(), 'the password of the key.', { secret: true }),
  ssl_check_hostname: field(boolean(), 'whether the certificate must name the host of the URL; true with `required`.'),
};

/** Of the sentinels themselves, which may want another password than the server. */
export const sentinelFields = {
  username: field(text(), 'user at the sentinels.'),
  password: field(text(), 'password at the sentinels.', { secret: true }),
};

/** Keys of `result_backend_transport_options`. */
const resultTransportFields = {
  global_keyprefix: field(
    text(),
    'put in front of every key and channel of results, with `_` behind it unless it ends in one of `:_-.` (as Celery from 5.5 on; 5.3 and 5.4 always add `_`, older ones have no prefix).',
  ),
  result_chord_ordered: field(
    boolean(),
    'whether the finished parts of a chord are kept in the order of the group (true) or as they come; all workers of a chord must agree. Default true.',
  ),
  retry_policy: field(
    table(retryPolicyFields),
    'how often reading is tried again while the server does not answer, and how many seconds between. Default: 20 retries, at once and then every second. Writing waits for the server however long it takes.',
  ),
  master_name: field(text(), 'with sentinel:// URLs, the name of the server they watch.'),
  sentinel_kwargs: field(table(sentinelFields), 'the connection to the sentinels.'),
};

const notForResults = 'has no effect on results; it stands in broker.transport_options';

const resultTransportOptions = table(resultTransportFields, {
  visibility_timeout: notForResults,
  fanout_prefix: notForResults,
  fanout_patterns: notForResults,
  priority_steps: notForResults,
  socket_timeout: 'is the setting redis.socket_timeout for results',
  socket_connect_timeout: 'is the setting redis.socket_connect_timeout for results',
  socket_keepalive: 'is the setting redis.socket_keepalive for results',
  retry_on_timeout: 'has nothing to switch on: writing is always tried again, reading as retry_policy says',
  health_check_interval: 'is the setting redis.backend_health_check_interval for results',
});

export const redisSettings = {
  redis_username: setting<string | null>({
    kind: text(),
    default: null,
    defaultText: 'none',
    doc: 'User at the Redis result backend when its URL names none.',
    example: 'umbel',
  }),
  redis_password: setting<string | null>({
    kind: text(),
    default: null,
    defaultText: 'none',
    doc: 'Password at the Redis result backend when its URL has none.',
    secret: 'whole',
    example: 'secret',
  }),
  redis_socket_timeout: setting<number | null>({
    kind: secondsOrNever(),
    default: 10,
    doc: 'How long the Redis server of the results may leave a command unanswered before the connection counts as lost and is made anew. 0 waits for ever.',
    celeryDiffers: "Celery's default is 120: so long nobody would notice that a connection is dead.",
  }),
  redis_socket_connect_timeout: setting<number>({
    kind: seconds({ above: 0 }),
    default: 10,
    doc: 'How long connecting to the Redis server of the results may take before it is tried again.',
    celeryDiffers: 'Celery waits as long as redis.socket_timeout when this is not set.',
  }),
  redis_socket_keepalive: setting<boolean>({
    kind: boolean(),
    default: false,
    doc: 'Whether the system looks after idle connections to the Redis server of the results (TCP keep-alive).',
  }),
  redis_backend_health_check_interval: setting<number | null>({
    kind: secondsOrNever(),
    default: 25,
    doc: 'A connection to the Redis server of the results that was silent for so many seconds is asked whether it is still there. 0 never asks.',
    celeryDiffers: 'Off by default in Celery.',
  }),
  redis_client_name: setting<string | null>({
    kind: redisClientName,
    default: null,
    defaultText: 'none',
    doc: 'The name of the connections of the results in CLIENT LIST.',
    example: 'umbel-results',
  }),
  redis_backend_use_ssl: setting<TableOf<typeof redisTlsFields> | null>({
    kind: table(redisTlsFields),
    default: null,
    defaultText: 'TLS with rediss:// URLs only',
    doc: `TLS to the Redis server of the results, for redis:// and sentinel:// URLs; what a rediss:// URL says itself is stronger. ${fieldsText(redisTlsFields)}`,
    example: { ssl_cert_reqs: 'required', ssl_ca_certs: '/etc/ssl/redis-ca.pem' },
  }),
} as const;

export const resultRedisSettings = {
  result_backend_transport_options: setting<TableOf<typeof resultTransportFields>>({
    kind: resultTransportOptions,
    default: {},
    doc: `Options of a Redis result backend. ${fieldsText(resultTransportFields)}`,
    example: { global_keyprefix: 'app1:', master_name: 'mymaster' },
  }),
  result_chord_join_timeout: setting<number>({
    kind: seconds(),
    default: 3,
    doc: 'How long to wait for the results of the parts of a finished chord whose header holds groups, before the chord fails.',
  }),
  result_chord_size_timeout: setting<number>({
    kind: seconds(),
    default: 300,
    doc: 'How long nobody need know how many parts a chord has, while none of them ends. Then its counters were lost, or its sender never finished: the body fails with `ChordError`.',
  }),
  result_chord_retry_interval: setting<number>({
    kind: seconds(),
    default: 1,
    doc: 'How long `celery.chord_unlock` waits between two looks at the parts of a chord. Only senders whose result backend cannot count send it.',
  }),
} as const;
