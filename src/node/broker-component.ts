/** The broker as a part of a worker: started with its queues emptied where that is asked for, its ups and downs in the log. */
import { maybeLater } from '../broker/amqp/unavailable.ts';
import type { Broker } from '../broker/broker.ts';
import { patiently } from '../consumer/patient-start.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import type { TaskQueue } from '../producer/queue-table.ts';

export interface BrokerComponentParams {
  readonly broker: Broker;
  readonly log: Logger;
  /** Emptied at the start. */
  readonly purge: readonly TaskQueue[];
  /** The connection is given up. */
  onGivenUp(error: UmbelError): void;
}

export function brokerComponent({ broker, log, purge, onGivenUp }: BrokerComponentParams): Component {
  broker.onStateChange((state, cause) => {
    if (state === 'lost')
      log.warning(
        'broker.lost',
        `consumer: Connection to broker lost. Trying to re-establish the connection... (${cause?.message ?? 'no cause given'})`,
      );
    else if (state === 'connected') log.info('broker.connected', `Connected to ${broker.where}`);
    else if (state === 'stopped' && cause !== null)
      onGivenUp(new UmbelError('BROKER_LOST', `the connection to the broker is given up: ${cause.message}`, { cause }));
  });
  return {
    name: 'broker',
    start: async () => {
      await broker.start();
      for (const queue of purge) {
        const purged = await patiently(broker, () => emptied(broker, queue)).catch((error: unknown) => {
          if (!maybeLater(error)) throw error;
          log.error('queue.unpurged', `purge: Queue ${queue.name} is not emptied: ${messageOf(error)}`, { queue: queue.name });
          return null;
        });
        if (purged === null) continue;
        log.warning('queue.purged', `purge: Erased ${purged} messages from queue ${queue.name}`, { queue: queue.name, purged });
      }
    },
    stop: () => broker.stop(),
  };
}

async function emptied(broker: Broker, queue: TaskQueue): Promise<number> {
  await broker.declareQueue(queue);
  return broker.purgeQueue(queue.name);
}
