/** From a configuration to connections, and to a client for the commands that call tasks. */
import { hostname } from 'node:os';
import type { Broker, QueueDeclaration } from '../broker/broker.ts';
import { DeadLetters } from '../broker/dead-letters.ts';
import { Client } from '../client/client.ts';
import { type ConnectionParams, type Connections, openConnections } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import type { Settings } from '../config/settings-table.ts';
import { isAmqpUrl } from '../driver/amqp-url.ts';
import { isRedisUrl } from '../driver/redis-url.ts';
import { UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';
import type { Logger } from '../log/logger.ts';
import { amqpBrokerParams } from './amqp-params.ts';
import { redisBrokerParams, redisResultParams } from './redis-params.ts';
import { queueTableOf, routingParams } from './routing-params.ts';
import { soloPatience } from './solo-patience.ts';
import { checkTransportOptions } from './transport-options.ts';

/** `nodeName`: of a worker, which waits for a broker that is not there; a client does not. Throws CONFIG_INVALID. */
export function configuredConnections(config: Config, env: NodeJS.ProcessEnv, log: Logger, nodeName: string | null = null): Connections {
  checkTransportOptions(config);
  return openConnections(connectionParams(nodeName === null ? config.settings : soloPatience(config), env, log, nodeName));
}

/** A broker named on the command line, as the configuration wants one of its kind to be; what is published there is confirmed in any case. */
export function brokerAt(config: Config, env: NodeJS.ProcessEnv, url: string, log: Logger): Broker {
  const { settings } = config;
  const isConfigured = kindOfUrl(url) === kindOfUrl(settings.broker_url ?? 'sqlite:');
  if (isConfigured) checkTransportOptions(config);
  const own = { ...settings, broker_url: url, result_backend: 'disabled' };
  const params = connectionParams(isConfigured ? own : { ...own, broker_transport_options: {}, broker_use_ssl: false }, env, log, null);
  const { amqpBroker } = params;
  return shared(openConnections({ ...params, amqpBroker: { ...amqpBroker, broker: { ...amqpBroker?.broker, confirmPublish: true } } }))
    .broker;
}

function kindOfUrl(url: string): string {
  return isRedisUrl(url) ? 'redis' : isAmqpUrl(url) ? 'amqp' : (/^\w+/.exec(url)?.[0] ?? '');
}

function connectionParams(settings: Readonly<Settings>, env: NodeJS.ProcessEnv, log: Logger, nodeName: string | null): ConnectionParams {
  const patient = nodeName !== null;
  return {
    brokerUrl: settings.broker_url,
    backendUrl: settings.result_backend,
    env,
    workdir: process.cwd(),
    synchronous: settings.sqlite_synchronous,
    busyTimeoutMs: settings.sqlite_busy_timeout_seconds * 1000,
    leaseMs: settings.sqlite_lease_seconds * 1000,
    resultExpiresMs: settings.result_expires === null ? null : settings.result_expires * 1000,
    chordJoinTimeoutMs: settings.result_chord_join_timeout * 1000,
    chordSizeTimeoutMs: settings.result_chord_size_timeout * 1000,
    resultPersistent: settings.result_persistent,
    redisBroker: redisBrokerParams(settings, patient),
    amqpBroker: amqpBrokerParams(settings, patient, nodeName ?? `umbel client ${process.pid}@${hostname()}`),
    redisResults: redisResultParams(settings),
    log,
  };
}

/** Not yet started. */
export function openClient(config: Config, env: NodeJS.ProcessEnv): Client {
  const { settings } = config;
  const log = clientLog();
  return new Client({
    ...sharedConnections(config, env, log),
    routing: routingParams(settings),
    taskProtocol: settings.task_protocol === 1 ? 1 : 2,
    sentEvents: settings.task_send_sent_event ? { exchange: settings.event_exchange, log } : null,
  });
}

/** Do something with the messages that were put aside, over a connection made for that. */
export async function withDeadLetters<T>(config: Config, env: NodeJS.ProcessEnv, use: (letters: DeadLetters) => Promise<T>): Promise<T> {
  return withBroker(config, env, (broker) => use(new DeadLetters({ broker, queue: config.settings.worker_dead_queue })));
}

/** Do something with the broker, over a connection made for that. */
export async function withBroker<T>(config: Config, env: NodeJS.ProcessEnv, use: (broker: Broker) => Promise<T>): Promise<T> {
  const { broker } = sharedConnections(config, env, clientLog());
  await broker.start();
  try {
    return await use(broker);
  } finally {
    await broker.stop();
  }
}

/** The configured broker, not yet started, for an operator. */
export function openOperatorBroker(config: Config, env: NodeJS.ProcessEnv): Broker {
  return sharedConnections(config, env, clientLog()).broker;
}

/** The queue of this name as it would be declared for a task. Throws QUEUE_UNKNOWN. */
export function queueNamed({ settings }: Config, name: string): QueueDeclaration {
  return queueTableOf(settings).find(name);
}

/** The queues an installation has by its configuration, but for broadcasts: those have a name of their own in each worker. */
export function configuredQueues({ settings }: Config): readonly QueueDeclaration[] {
  return [...queueTableOf(settings).known].filter((queue) => queue.broadcast !== true);
}

/** What fails, fails the command, which says so once. One that only waits has to say for what. */
function clientLog(): Logger {
  return createLogger({
    level: 'critical',
    format: 'text',
    processName: 'umbel',
    trace: ({ event, message }) => {
      if (event === 'amqp.blocked') process.stderr.write(`umbel: ${message}\n`);
    },
  });
}

function sharedConnections(config: Config, env: NodeJS.ProcessEnv, log: Logger): Connections {
  return shared(configuredConnections(config, env, log));
}

function shared(connections: Connections): Connections {
  const { features, displayUrl } = connections.broker;
  if (features.shared) return connections;
  throw new UmbelError('USAGE', `broker.url must be a broker that other processes can use, got ${displayUrl}: it ends with this command`);
}
