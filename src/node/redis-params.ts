/** From the settings of a Redis connection to what the connection takes. */
import type { RedisResultParams } from '../client/connections.ts';
import type { redisTlsFields } from '../config/redis-settings.ts';
import type { Settings } from '../config/settings-table.ts';
import type { TableOf } from '../config/table-kind.ts';
import type { RedisTls } from '../driver/redis-url.ts';

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
    retryPolicy: defined({
      maxRetries: policy.max_retries,
      intervalStartMs: ms(policy.interval_start),
      intervalStepMs: ms(policy.interval_step),
      intervalMaxMs: ms(policy.interval_max),
    }),
    ...defined({ globalKeyPrefix: options.global_keyprefix, chordOrdered: options.result_chord_ordered }),
  };
}

type Defined<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Without what is not given, so that defaults apply. */
function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
}
