/**
 * The queues a worker consumes from, as the broker has to know them: declared at the start, and its own broadcast queues taken away at
 * the end.
 */
import type { Broker, ConsumeParams, Subscription } from '../broker/broker.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import { ExactSubscription } from './exact-subscription.ts';
import { patiently } from './patient-start.ts';

export interface WorkerQueues {
  readonly broker: Broker;
  readonly queues: readonly TaskQueue[];
  readonly log: Logger;
  readonly exactPrefetch?: boolean;
}

/** Declare them and consume from them, however often the connection breaks meanwhile. `measure`: see ExactSubscription. */
export async function consumeFrom(
  { broker, queues, log, exactPrefetch }: WorkerQueues,
  measure: () => void,
  params: Omit<ConsumeParams, 'queues'>,
): Promise<Subscription> {
  const subscription = await patiently(broker, async () => {
    try {
      return await broker.consume({ ...params, exact: exactPrefetch ?? false, queues: await declareQueues(broker, queues, log) });
    } catch (error) {
      // One that never had a consumer would stay for ever.
      await dropBroadcastQueues(broker, queues);
      throw error;
    }
  });
  return exactPrefetch ? new ExactSubscription(subscription, measure) : subscription;
}

/**
 * Those that could be declared. One that the broker has with other properties must not keep the worker from the others. Broadcast queues come last: they are
 * this start's alone, and of no use when it fails.
 */
async function declareQueues(broker: Broker, queues: readonly TaskQueue[], log: Logger): Promise<readonly string[]> {
  const declared = new Set<string>();
  let refused: unknown;
  for (const queue of queues.toSorted((one, other) => Number(one.broadcast ?? false) - Number(other.broadcast ?? false))) {
    try {
      await broker.declareQueue(queue);
      declared.add(queue.name);
    } catch (error) {
      if (!(error instanceof UmbelError && error.code.startsWith('QUEUE_'))) throw error;
      refused = error;
      log.error('queue.refused', `No tasks are taken from queue ${queue.alias ?? queue.name}: ${messageOf(error)}`, { queue: queue.name });
    }
  }
  if (declared.size === 0) throw refused;
  return queues.map(({ name }) => name).filter((name) => declared.has(name));
}

/** Nobody will ever consume from them again. A broker that is away takes them away by itself, or keeps what nobody sends to. */
export async function dropBroadcastQueues(broker: Broker, queues: readonly TaskQueue[]): Promise<void> {
  if (broker.state !== 'connected') return;
  for (const queue of queues) if (queue.broadcast) await broker.deleteQueue(queue.name).catch(() => {});
}
