/** From the settings of a RabbitMQ broker to what its connection and the broker take. */
import type { AmqpBrokerParams } from '../client/connections.ts';
import type { amqpTransportFields } from '../config/amqp-settings.ts';
import type { Settings } from '../config/settings-table.ts';
import type { TableOf } from '../config/table-kind.ts';
import type { AmqpTls } from '../driver/amqp-url.ts';
import { defaultRetryPolicy, retryDelayMs } from '../producer/publish-retry.ts';
import { defined } from './defined.ts';
import { brokerTls } from './redis-params.ts';
import { queueTableOf } from './routing-params.ts';

/**
 * `patient`: a worker, which waits for its broker; a client does not. `name`: of the connection, for people.
 * The keys of transport options that are none of RabbitMQ have been refused before (node/transport-options.ts).
 */
export function amqpBrokerParams(settings: Settings, patient: boolean, name: string): AmqpBrokerParams {
  const options = settings.broker_transport_options;
  const { broker_use_ssl: useSsl } = settings;
  const retries = settings.broker_connection_max_retries === 0 ? null : settings.broker_connection_max_retries;
  const retryAtStart = settings.broker_connection_retry_on_startup ?? settings.broker_connection_retry;
  const { connection_name: connectionName = name, ...clientProperties } = options.client_properties ?? {};
  const table = typeof useSsl === 'object' ? useSsl : {};
  const tls: Partial<AmqpTls> | null =
    useSsl === false ? null : { ...brokerTls(table), ...defined({ serverHostname: table.server_hostname, ciphers: table.ciphers }) };
  return {
    connection: {
      connectTimeoutMs: settings.broker_connection_timeout * 1000,
      heartbeatSeconds: settings.broker_heartbeat ?? 0,
      loginMethod: settings.broker_login_method,
      connectionName: String(connectionName),
      clientProperties,
      failover: settings.broker_failover_strategy,
      startRetries: patient && retryAtStart ? retries : 0,
      reconnectRetries: settings.broker_connection_retry || !patient ? retries : 0,
      ...defined({ channelMax: options.channel_max, frameMax: options.frame_max, socketKeepalive: options.socket_keepalive }),
    },
    tls,
    broker: {
      holdDeferredMs: settings.broker_park_after_seconds * 1000,
      detectQuorumQueues: settings.worker_detect_quorum_queues,
      nativeDelay: [...queueTableOf(settings).known].some((queue) => queue.arguments?.['x-queue-type'] === 'quorum'),
      nativeDelayQueueType: settings.broker_native_delayed_delivery_queue_type,
      ...defined({ confirmPublish: options.confirm_publish, publishPatienceMs: patienceMs(options) }),
    },
  };
}

/** How long all retries of the policy take; undefined: nothing is said of them. */
function patienceMs(options: TableOf<typeof amqpTransportFields>): number | undefined {
  const { max_retries: maxRetries, interval_start: intervalStart, interval_step: intervalStep, interval_max: intervalMax } = options;
  const given = defined({ maxRetries, intervalStart, intervalStep, intervalMax });
  if (Object.keys(given).length === 0) return undefined;
  const policy = { ...defaultRetryPolicy, ...given };
  let totalMs = 0;
  for (let retry = 0; retry < policy.maxRetries; retry++) totalMs += retryDelayMs(policy, retry);
  return Math.round(totalMs);
}
