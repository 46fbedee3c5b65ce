/** From a configuration to a caller of remote commands, for the command line. */
import type { Broker } from '../broker/broker.ts';
import type { Config } from '../config/config.ts';
import { ControlClient } from '../control/control-client.ts';
import { UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';
import { configuredConnections } from './open-client.ts';

export interface ControlAccess {
  readonly client: ControlClient;
  readonly broker: Broker;
  stop(): Promise<void>;
}

/** Connected. Throws BROKER_UNAVAILABLE, and USAGE for a broker that ends with this process. */
export async function openControl(config: Config, env: NodeJS.ProcessEnv): Promise<ControlAccess> {
  const { settings } = config;
  // What fails, fails the command, which says so once.
  const log = createLogger({ level: 'critical', format: 'text', processName: 'umbel' });
  const { broker } = configuredConnections(config, env, log);
  if (!broker.features.shared)
    throw new UmbelError(
      'USAGE',
      `broker.url must be a broker that workers can use as well, got ${broker.displayUrl}: it ends with this command`,
    );
  const client = new ControlClient({ broker, namespace: settings.control_exchange, acceptContent: settings.accept_content, log });
  await broker.start();
  return {
    client,
    broker,
    stop: async () => {
      await client.stop();
      await broker.stop();
    },
  };
}
