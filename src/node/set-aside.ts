/** From a configuration to what puts messages aside: those that end child after child, and those for tasks nobody knows. */
import type { Broker } from '../broker/broker.ts';
import { DeadLetters } from '../broker/dead-letters.ts';
import type { Config } from '../config/config.ts';
import { CrashNotices } from '../consumer/crash-notices.ts';
import { Poison } from '../consumer/poison.ts';
import type { Settler } from '../consumer/settle.ts';
import { UnknownTasks } from '../consumer/unknown-tasks.ts';
import { UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { dispensable } from './dispensable.ts';
import type { WorkerNames } from './worker-params.ts';

export interface SetAside {
  /** Between broker and consumer. */
  readonly component: Component;
  readonly poison: Poison;
  unknownTasks(settler: () => Settler): UnknownTasks;
}

export function setAside({ settings }: Config, names: WorkerNames, broker: Broker, log: Logger): SetAside {
  const ownQueues = new Set(names.queues.filter((queue) => queue.broadcast === true).map(({ name }) => name));
  const native = settings.worker_dead_letters === 'native';
  if (native && broker.features.redelivers !== true)
    throw new UmbelError(
      'CONFIG_INVALID',
      `worker.dead_letters must be queue with ${broker.displayUrl}: only RabbitMQ has dead-letter exchanges, got native`,
    );
  const base = {
    broker,
    deadLetters: new DeadLetters({ broker, queue: settings.worker_dead_queue, native }),
    nodeName: names.nodeName,
    isBroadcast: (queue: string): boolean => ownQueues.has(queue),
    log,
  };
  const maxCrashes = settings.worker_max_crashes;
  // A message cannot be changed there, and a copy would not be marked as delivered before.
  const notices = broker.features.redelivers === true && maxCrashes > 0 ? new CrashNotices({ broker, log }) : null;
  return {
    component:
      notices === null
        ? { name: 'crash notices', start: async () => {}, stop: async () => {} }
        : dispensable({ broker, without: 'How many children a message has ended is not heard from other workers', log }, notices),
    poison: new Poison({ ...base, maxCrashes, notices }),
    unknownTasks: (settler) =>
      new UnknownTasks({
        ...base,
        policy: settings.worker_unknown_tasks,
        delayMs: settings.worker_unknown_tasks_delay * 1000,
        timeoutMs: settings.worker_unknown_tasks_timeout * 1000,
        storeNotRegistered: (task) => settler().storeNotRegistered(task),
      }),
  };
}
