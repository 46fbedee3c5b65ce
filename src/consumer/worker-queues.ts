/**
 * The queues a worker consumes from, as the broker has to know them: declared at the start, and its own broadcast queues taken away at
 * the end.
 */
import { maybeLater } from '../broker/amqp/unavailable.ts';
import type { Broker, ConsumeParams, Subscription } from '../broker/broker.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import { ExactSubscription } from './exact-subscription.ts';
import { patiently } from './patient-start.ts';

export interface WorkerQueues {
  readonly broker: Broker;
  readonly queues: readonly TaskQueue[];
  readonly exactPrefetch?: boolean;
}

/** Declare them and consume from them, however often the connection breaks meanwhile. `measure`: see ExactSubscription. */
export async function consumeFrom(
  { broker, queues, exactPrefetch }: WorkerQueues,
  measure: () => void,
  params: Omit<ConsumeParams, 'queues'>,
): Promise<Subscription> {
  const subscription = await patiently(broker, async () => {
    try {
      const refused = await declareQueues(broker, queues);
      return await broker.consume({ ...params, exact: exactPrefetch ?? false, queues: queues.map(({ name }) => name), refused });
    } catch (error) {
      // One that never had a consumer would stay for ever.
      await dropBroadcastQueues(broker, queues);
      throw error;
    }
  });
  return exactPrefetch ? new ExactSubscription(subscription, measure) : subscription;
}

/**
 * Returns those that are another connection's, or that others have yet to make: they must not keep the worker from the rest, and can be had later. Broadcast queues come last: they are
 * this start's alone, and of no use when it fails.
 */
async function declareQueues(broker: Broker, queues: readonly TaskQueue[]): Promise<ReadonlyMap<string, Error>> {
  const refused = new Map<string, Error>();
  for (const queue of queues.toSorted((one, other) => Number(one.broadcast ?? false) - Number(other.broadcast ?? false))) {
    try {
      await broker.declareQueue(queue);
    } catch (error) {
      // Nobody else makes a broadcast queue of this start.
      if (!(error instanceof Error && maybeLater(error)) || queue.broadcast === true) throw error;
      refused.set(queue.name, error);
    }
  }
  return refused;
}

/** Nobody will ever consume from them again. A broker that is away takes them away by itself, or keeps what nobody sends to. */
export async function dropBroadcastQueues(broker: Broker, queues: readonly TaskQueue[]): Promise<void> {
  if (broker.state !== 'connected') return;
  for (const queue of queues) if (queue.broadcast) await broker.deleteQueue(queue.name).catch(() => {});
}
