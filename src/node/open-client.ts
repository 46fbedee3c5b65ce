/** From a configuration to connections, and to a client for the commands that call tasks. */
import { hostname } from 'node:os';
import { DeadLetters } from '../broker/dead-letters.ts';
import { Client } from '../client/client.ts';
import { type Connections, openConnections } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';
import type { Logger } from '../log/logger.ts';
import { amqpBrokerParams } from './amqp-params.ts';
import { redisBrokerParams, redisResultParams } from './redis-params.ts';
import { routingParams } from './routing-params.ts';
import { soloPatience } from './solo-patience.ts';
import { checkTransportOptions } from './transport-options.ts';

/** `nodeName`: of a worker, which waits for a broker that is not there; a client does not. Throws CONFIG_INVALID. */
export function configuredConnections(config: Config, env: NodeJS.ProcessEnv, log: Logger, nodeName: string | null = null): Connections {
  const settings = nodeName === null ? config.settings : soloPatience(config);
  const patient = nodeName !== null;
  checkTransportOptions(config);
  return openConnections({
    brokerUrl: settings.broker_url,
    backendUrl: settings.result_backend,
    env,
    workdir: process.cwd(),
    synchronous: settings.sqlite_synchronous,
    busyTimeoutMs: settings.sqlite_busy_timeout_seconds * 1000,
    leaseMs: settings.sqlite_lease_seconds * 1000,
    resultExpiresMs: settings.result_expires === null ? null : settings.result_expires * 1000,
    chordJoinTimeoutMs: settings.result_chord_join_timeout * 1000,
    resultPersistent: settings.result_persistent,
    redisBroker: redisBrokerParams(settings, patient),
    amqpBroker: amqpBrokerParams(settings, patient, nodeName ?? `umbel client ${process.pid}@${hostname()}`),
    redisResults: redisResultParams(settings),
    log,
  });
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
  const { broker } = sharedConnections(config, env, clientLog());
  await broker.start();
  try {
    return await use(new DeadLetters({ broker, queue: config.settings.worker_dead_queue }));
  } finally {
    await broker.stop();
  }
}

/** What fails, fails the command, which says so once. */
function clientLog(): Logger {
  return createLogger({ level: 'critical', format: 'text', processName: 'umbel' });
}

function sharedConnections(config: Config, env: NodeJS.ProcessEnv, log: Logger): Connections {
  const connections = configuredConnections(config, env, log);
  if (!connections.broker.features.shared) {
    throw new UmbelError(
      'USAGE',
      `broker.url must be a broker that other processes can use, got ${connections.broker.displayUrl}: it ends with this command`,
    );
  }
  return connections;
}
