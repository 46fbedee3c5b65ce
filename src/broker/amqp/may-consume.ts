/**
 * Whether a queue may be consumed from, asked beforehand: RabbitMQ ends the channel of who may not, and with it the hold on all that
 * was delivered over it. Each question has a channel of its own.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import { AmqpFailure, type AmqpFailureKind } from '../../driver/amqp-failure.ts';
import type { QueueDeclaration } from '../broker.ts';

/** What RabbitMQ looks at after the right: only who would begin a consumer hears of it. */
const ofConsumer: ReadonlySet<AmqpFailureKind> = new Set(['in-use', 'unconsumable', 'invalid']);

/**
 * null: it may. No message is taken: the server looks at the user's right first, then at whose queue it is, and then finds the argument
 * impossible. Rejects when there is no connection.
 */
export async function refusalToConsume(connection: AmqpConnection, queue: string): Promise<AmqpFailure | null> {
  const failure = await failureOf(connection, (channel) => consume(channel, queue, { 'x-priority': 'none' }));
  return failure?.kind === 'denied' || failure?.kind === 'locked' ? failure : null;
}

export interface Refused {
  readonly queue: QueueDeclaration;
  /** With which it was refused. */
  readonly failure: unknown;
  /** Streams want one. */
  readonly prefetch: 0 | 1;
}

/**
 * Calls `begin`, which never rejects, when the queue would not be refused again; false: it would. Whether a right is there is asked without taking a message.
 * For all else a consumer has to begin: it ends after `begin`, because the server deletes some queues with their last one, and what it was sent goes
 * back, marked as redelivered. Rejects when there is no connection.
 */
export async function unlessRefused(
  connection: AmqpConnection,
  { queue, failure, prefetch }: Refused,
  begin: () => Promise<void>,
): Promise<boolean> {
  if ((await refusalToConsume(connection, queue.name)) !== null) return false;
  if (!(failure instanceof AmqpFailure && ofConsumer.has(failure.kind))) {
    await begin();
    return true;
  }
  const again = await failureOf(connection, async (channel) => {
    await channel.qos(prefetch, false);
    await consume(channel, queue.name, queue.consumerArguments ?? {});
    await begin();
  });
  return again === null;
}

async function failureOf(connection: AmqpConnection, step: (channel: AmqpChannel) => Promise<void>): Promise<AmqpFailure | null> {
  const channel = await connection.openChannel();
  try {
    await step(channel);
    await channel.close();
    return null;
  } catch (error) {
    if (!(error instanceof AmqpFailure) || error.kind === 'lost' || error.kind === 'stopped') throw error;
    return error;
  }
}

function consume(channel: AmqpChannel, queue: string, args: Readonly<Record<string, unknown>>): Promise<void> {
  return channel.consume(queue, { consumerTag: 'umbel-may-i', noAck: false, exclusive: false, arguments: args }, () => {});
}
