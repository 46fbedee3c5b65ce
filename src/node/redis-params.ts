/** From the settings of the Redis broker and the Redis result backend to what they take. */
import type { RedisBrokerParams, RedisResultParams } from '../client/connections.ts';
import type { amqpTlsFields } from '../config/amqp-settings.ts';
import type { redisTlsFields } from '../config/redis-settings.ts';
import type { Settings } from '../config/settings-table.ts';
import type { TableOf } from '../config/table-kind.ts';
import type { RedisTls } from '../driver/redis-url.ts';
import { defined } from './defined.ts';

export function redisTls(table: TableOf<typeof redisTlsFields> | null): Partial<RedisTls> | null {
  if (table === null) return null;
  return defined({
    certReqs: table.ssl_cert_reqs,
    caFile: table.ssl_ca_certs,
    certFile: table.ssl_certfile,
    keyFile: table.ssl_keyfile,
    keyPassword: table.ssl_password,
    checkHostname: table.ssl_check_hostname,
  });
}

/** Of a broker: Celery spells the keys with and without ssl_. */
export function brokerTls(table: TableOf<typeof redisTlsFields & typeof amqpTlsFields>): Partial<RedisTls> {
  return defined({
    certReqs: table.ssl_cert_reqs ?? table.cert_reqs,
    caFile: table.ssl_ca_certs ?? table.ca_certs,
    certFile: table.ssl_certfile ?? table.certfile,
    keyFile: table.ssl_keyfile ?? table.keyfile,
    keyPassword: table.ssl_password,
    checkHostname: table.ssl_check_hostname,
  });
}

export function redisResultParams(settings: Settings): RedisResultParams {
  const options = settings.result_backend_transport_options;
  const { retry_policy: policy = {}, sentinel_kwargs: sentinel = {} } = options;
  const ms = (seconds: number | undefined): number | undefined => (seconds === undefined ? undefined : seconds * 1000);
  const { redis_socket_timeout: socketTimeout, redis_backend_health_check_interval: healthCheckInterval } = settings;
  return {
    connection: defined({
      connectTimeoutMs: settings.redis_socket_connect_timeout * 1000,
      socketTimeoutMs: socketTimeout === null ? null : socketTimeout * 1000,
      socketKeepalive: settings.redis_socket_keepalive,
      healthCheckIntervalMs: (healthCheckInterval ?? 0) * 1000,
      clientName: settings.redis_client_name,
      masterName: options.master_name,
      sentinelUsername: sentinel.username,
      sentinelPassword: sentinel.password,
    }),
    tls: redisTls(settings.redis_backend_use_ssl),
    username: settings.redis_username,
    password: settings.redis_password,
    chordJoinTimeoutMs: settings.result_chord_join_timeout * 1000,
    chordSizeTimeoutMs: settings.result_chord_size_timeout * 1000,
    retryPolicy: defined({
      maxRetries: policy.max_retries,
      intervalStartMs: ms(policy.interval_start),
      intervalStepMs: ms(policy.interval_step),
      intervalMaxMs: ms(policy.interval_max),
    }),
    ...defined({ globalKeyPrefix: options.global_keyprefix, chordOrdered: options.result_chord_ordered }),
  };
}

/** `patient`: a worker, which waits for its broker; a client does not. */
export function redisBrokerParams(settings: Settings, patient: boolean): RedisBrokerParams {
  const options = settings.broker_transport_options;
  const { broker_use_ssl: useSsl } = settings;
  const { sentinel_kwargs: sentinel = {}, socket_timeout: socketTimeout, health_check_interval: healthCheckInterval } = options;
  const ms = (seconds: number | undefined): number | undefined => (seconds === undefined ? undefined : seconds * 1000);
  const retries = settings.broker_connection_max_retries === 0 ? null : settings.broker_connection_max_retries;
  const retryAtStart = settings.broker_connection_retry_on_startup ?? settings.broker_connection_retry;
  return {
    connection: {
      connectTimeoutMs: (options.socket_connect_timeout ?? settings.broker_connection_timeout) * 1000,
      failover: settings.broker_failover_strategy,
      startRetries: patient && retryAtStart ? retries : 0,
      reconnectRetries: settings.broker_connection_retry || !patient ? retries : 0,
      ...defined({
        socketTimeoutMs: socketTimeout === null ? null : ms(socketTimeout),
        healthCheckIntervalMs: healthCheckInterval === null ? 0 : ms(healthCheckInterval),
        socketKeepalive: options.socket_keepalive,
        clientName: options.client_name,
        masterName: options.master_name,
        sentinelUsername: sentinel.username,
        sentinelPassword: sentinel.password,
      }),
    },
    tls: useSsl === false ? null : useSsl === true ? {} : brokerTls(useSsl),
    broker: {
      workerLeaseMs: settings.redis_lease_seconds * 1000,
      ...defined({
        visibilityTimeoutMs: ms(options.visibility_timeout),
        queueOrderStrategy: options.queue_order_strategy,
        prioritySteps: options.priority_steps,
        sep: options.sep,
        globalKeyprefix: options.global_keyprefix,
        fanoutPrefix: options.fanout_prefix,
        fanoutPatterns: options.fanout_patterns,
        unackedKey: options.unacked_key,
        unackedIndexKey: options.unacked_index_key,
        unackedMutexKey: options.unacked_mutex_key,
        unackedMutexExpireMs: ms(options.unacked_mutex_expire),
        unackedRestoreLimit: options.unacked_restore_limit,
        keepPublishes: options.retry_on_timeout,
      }),
    },
  };
}
