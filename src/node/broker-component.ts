/** The broker as a part of a worker: its states in the log, `--purge` at the start. */
import type { Broker } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';

export interface BrokerComponentParams {
  readonly broker: Broker;
  /** Emptied at the start. */
  readonly purge: readonly string[];
  readonly log: Logger;
  /** The connection is given up, unasked. */
  onGivenUp(error: UmbelError): void;
}

export function brokerComponent({ broker, purge, log, onGivenUp }: BrokerComponentParams): Component {
  broker.onStateChange((state, cause) => {
    if (state === 'lost')
      log.warning(
        'broker.lost',
        `consumer: Connection to broker lost. Trying to re-establish the connection... (${cause?.message ?? 'no cause given'})`,
      );
    else if (state === 'connected') log.info('broker.connected', `Connected to ${broker.displayUrl}`);
    else if (state === 'stopped' && cause !== null)
      onGivenUp(new UmbelError('BROKER_LOST', `the connection to the broker is given up: ${cause.message}`, { cause }));
  });
  return {
    name: 'broker',
    start: async () => {
      await broker.start();
      for (const queue of purge) {
        await broker.declareQueue({ name: queue });
        const purged = await broker.purgeQueue(queue);
        log.warning('queue.purged', `purge: Erased ${purged} messages from queue ${queue}`, { queue, purged });
      }
    },
    stop: () => broker.stop(),
  };
}
