/** Parts that a worker can do without where the user of its broker may not have them: listening needs queues of their own (RabbitMQ). */
import { lacksRight } from '../broker/amqp/unavailable.ts';
import type { Broker } from '../broker/broker.ts';
import { patient } from '../consumer/patient-start.ts';
import { messageOf } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';

export interface DispensableParams {
  readonly broker: Broker;
  /** What the worker then lacks, as a sentence. */
  readonly without: string;
  readonly log: Logger;
}

/** As `patient`; a start that the server does not allow is said, and is none. */
export function dispensable({ broker, without, log }: DispensableParams, component: Component): Component {
  const waiting = patient(broker, component);
  return {
    name: component.name,
    start: () =>
      waiting.start().catch((error: unknown) => {
        if (!lacksRight(error)) throw error;
        log.warning('broker.denied', `${without}: ${messageOf(error)}`);
      }),
    stop: () => component.stop(),
  };
}
