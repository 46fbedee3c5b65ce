/** Settings of a broker that is a server: how to connect, and `broker_transport_options`; with the keys that matter with Redis. */

import { amqpTlsFields, amqpTransportFields } from './amqp-settings.ts';
import { boolean, integer, type Kind, listOf, oneOf, Refusal, seconds, secondsOrNever, shown, text } from './kind.ts';
import { redisClientName, redisTlsFields, sentinelFields } from './redis-settings.ts';
import { setting } from './setting.ts';
import { field, fieldsText, type TableOf, table } from './table-kind.ts';
import { booleanOr } from './union-kind.ts';

/** kombu looks a priority up by bisection and in the last list when it is below all steps, so that other lists would be read in another order there. */
function prioritySteps(): Kind<readonly number[]> {
  const steps = listOf(integer({ min: 0, max: 255 }), 'numbers from 0 to 255');
  const rule = 'a list of numbers from 0 to 255 that begins with 0 and ascends';
  const read = (value: readonly number[] | Refusal): readonly number[] | Refusal => {
    if (value instanceof Refusal) return value;
    const ascends = value[0] === 0 && value.every((step, index) => index === 0 || step > (value[index - 1] ?? step));
    return ascends ? value : new Refusal(`must be ${rule}, got ${shown(value)}`);
  };
  return { ...steps, rule, readText: (given) => read(steps.readText(given)), readValue: (given) => read(steps.readValue(given)) };
}

/** Keys of `broker_transport_options`. */
export const redisTransportFields = {
  visibility_timeout: field(
    seconds({ above: 0 }),
    'after so many seconds without renewal Python workers give a message to somebody else; equal for all workers of a database. A living umbel worker renews what it holds, however long tasks and ETAs take. Default 3600.',
  ),
  queue_order_strategy: field(
    oneOf(['round_robin', 'priority', 'sorted']),
    'which of several queues comes first: they take turns (round_robin), in the order given (priority), or by name (sorted). Default round_robin.',
  ),
  priority_steps: field(
    prioritySteps(),
    'the priorities that have a list of their own; lower is more urgent. Equal for all clients and workers. Default 0, 3, 6, 9.',
  ),
  sep: field(text(), 'what stands between a queue and its priority in the name of a list. Default the characters 6 and 22.'),
  global_keyprefix: field(text(), 'put in front of every key and channel of the broker.'),
  fanout_prefix: field(
    booleanOr(text(), 'a prefix'),
    'put in front of the channels of broadcasts: true is `/{db}.`, a text is a prefix of one’s own, false is none. Python workers can read those alone that begin with `/` and end in their first `.`. Default true.',
  ),
  fanout_patterns: field(boolean(), 'whether the routing key is part of the channel of a broadcast. Default true.'),
  unacked_key: field(text(), 'the hash of messages that are held. Default unacked.'),
  unacked_index_key: field(text(), 'their ages. Default unacked_index.'),
  unacked_mutex_key: field(text(), 'who looks for those held for too long. Default unacked_mutex.'),
  unacked_mutex_expire: field(seconds({ above: 0 }), 'for how long at most. Default 300.'),
  unacked_restore_limit: field(integer({ min: 1 }), 'messages given back in one such look; all unless given.'),
  socket_timeout: field(
    secondsOrNever(),
    'how long Redis may leave a command unanswered before the connection counts as lost and is made anew; 0 waits for ever. Default 10.',
  ),
  socket_connect_timeout: field(seconds({ above: 0 }), 'how long connecting may take; broker.connection_timeout unless given.'),
  socket_keepalive: field(boolean(), 'whether the system looks after idle connections (TCP keep-alive). Default true.'),
  health_check_interval: field(
    secondsOrNever(),
    'a connection that was silent for so many seconds is asked whether it is still there; 0 never asks. Default 25.',
  ),
  retry_on_timeout: field(
    boolean(),
    'whether a message that could not be sent waits for Redis and is sent again, perhaps twice, instead of failing. Acknowledgements and results always wait. Default false.',
  ),
  client_name: field(redisClientName, 'the name of the connections in CLIENT LIST.'),
  master_name: field(text(), 'with sentinel:// URLs, the name of the server they watch.'),
  sentinel_kwargs: field(table(sentinelFields), 'the connection to the sentinels.'),
};

const transportFields = { ...redisTransportFields, ...amqpTransportFields };
const tlsFields = { ...redisTlsFields, ...amqpTlsFields };

const transportOptions = table(transportFields, {
  max_connections: 'is not needed: a worker has two connections to Redis',
  read_timeout: 'is not needed: broker.heartbeat finds dead connections',
  write_timeout: 'is not needed: broker.heartbeat finds dead connections',
  on_blocked: 'is a Python function; umbel waits until RabbitMQ takes messages again, and says so',
  queue_prefix: 'is for other transports',
  socket_keepalive_options: 'cannot be set by a program in Node; the system has these values',
  ack_emulation: 'cannot be switched off: messages that are not acknowledged would be lost',
  min_other_sentinels: 'is not supported: the first sentinel that answers is believed',
  polling_interval: 'is not needed: nothing is polled',
});

export const redisBrokerSettings = {
  broker_transport_options: setting<TableOf<typeof transportFields>>({
    kind: transportOptions,
    default: {},
    doc: `Options of the broker. With Redis: ${fieldsText(redisTransportFields)} With RabbitMQ: ${fieldsText(amqpTransportFields)}`,
    celeryDiffers:
      'socket_timeout and socket_keepalive are on by default: without them a dead connection may go unnoticed. So is confirm_publish: without it a message may be lost although sending it succeeded.',
    example: { visibility_timeout: 3600, queue_order_strategy: 'round_robin' },
  }),
  broker_use_ssl: setting<boolean | TableOf<typeof tlsFields>>({
    kind: booleanOr(table(tlsFields), 'a table'),
    default: false,
    doc: `TLS to the broker, for redis://, sentinel:// and amqp:// URLs; what a rediss:// or amqps:// URL says itself is stronger. ${fieldsText(tlsFields)}`,
    example: { ssl_cert_reqs: 'required', ssl_ca_certs: '/etc/ssl/redis-ca.pem' },
  }),
  broker_connection_timeout: setting<number>({
    kind: seconds({ above: 0 }),
    default: 4,
    doc: 'How long connecting to a Redis or RabbitMQ broker may take before the next URL is tried.',
  }),
  broker_connection_retry: setting<boolean>({
    kind: boolean(),
    default: true,
    doc: 'Whether a worker connects again to a broker it has lost. Without, it ends when what runs has ended.',
  }),
  broker_connection_retry_on_startup: setting<boolean | null>({
    kind: boolean(),
    default: null,
    defaultText: 'as broker.connection_retry',
    doc: 'Whether a worker that starts waits for a broker that is not there.',
    example: false,
  }),
  broker_connection_max_retries: setting<number>({
    kind: integer({ min: 0 }),
    default: 0,
    defaultText: '0 (never)',
    doc: 'After how many attempts in vain a worker gives up and ends. They come at most two seconds apart. 0: it never does.',
    celeryDiffers: 'In Celery 100, with pauses of up to 30 seconds.',
  }),
  broker_failover_strategy: setting<'round-robin' | 'shuffle'>({
    kind: oneOf(['round-robin', 'shuffle']),
    default: 'round-robin',
    doc: 'In which order several broker URLs are tried: as they stand, or drawn once at the start.',
  }),
} as const;

export const redisLeaseSetting = {
  redis_lease_seconds: setting<number>({
    kind: seconds({ above: 1 }),
    default: 30,
    defaultText: '30; with `solo` 3600',
    doc: 'How long messages stay with an umbel worker that gives no more sign of life to its Redis broker before other umbel workers give them back. It gives one three times in that time. With the `solo` pool, which cannot while a task blocks it, the default is an hour.',
    celeryDiffers: 'Not in Celery, whose workers know the visibility timeout only.',
  }),
} as const;
