/** From a configuration to a receiver of events, for `umbel events`. */
import type { Config } from '../config/config.ts';
import { ControlClient } from '../control/control-client.ts';
import { UmbelError } from '../errors.ts';
import { EventReceiver, type ReceivedEvent } from '../event/receiver.ts';
import type { Logger } from '../log/logger.ts';
import { LamportClock } from '../std/lamport-clock.ts';
import { configuredConnections } from './open-client.ts';

export interface EventsParams {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  onEvent(event: ReceivedEvent): void;
  /** The connection is lost: it comes back by itself, and what was sent meanwhile is not heard. */
  onLost(): void;
}

export interface EventsAccess {
  stop(): Promise<void>;
}

/** Receiving; every worker has been asked to say that it is there. Throws BROKER_UNAVAILABLE, and USAGE for a broker that ends with this process. */
export async function openEvents({ config, env, log, onEvent, onLost }: EventsParams): Promise<EventsAccess> {
  const { settings } = config;
  const { broker } = configuredConnections(config, env, log);
  if (!broker.features.shared)
    throw new UmbelError('USAGE', `broker.url must be a broker that workers use, got ${broker.displayUrl}: it ends with this command`);
  const receiver = new EventReceiver({
    broker,
    exchange: settings.event_exchange,
    acceptContent: settings.accept_content,
    logicalClock: new LamportClock(),
    queuePrefix: settings.event_queue_prefix,
    queueTtlMs: settings.event_queue_ttl * 1000,
    queueExpiresMs: settings.event_queue_expires * 1000,
    log,
    onEvent,
  });
  await broker.start();
  broker.onStateChange((state) => {
    if (state === 'lost') onLost();
  });
  try {
    await receiver.start();
    await new ControlClient({ broker, namespace: settings.control_exchange, log }).cast('heartbeat');
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return {
    stop: async () => {
      await receiver.stop();
      await broker.stop();
    },
  };
}
