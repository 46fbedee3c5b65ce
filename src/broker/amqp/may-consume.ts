/**
 * Whether a queue may be consumed from, asked beforehand: RabbitMQ ends the channel of who may not, and with it the hold on all that
 * was delivered over it.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';

/**
 * null: it may. No message is taken: the server looks at the user's right first, then at whose queue it is, and then finds the argument
 * impossible. That ends the channel, so it has one of its own. Rejects when there is no connection.
 */
export async function refusalToConsume(connection: AmqpConnection, queue: string): Promise<AmqpFailure | null> {
  const channel = await connection.openChannel();
  const impossible = { 'x-priority': 'none' };
  try {
    await channel.consume(queue, { consumerTag: 'umbel-may-i', noAck: false, exclusive: false, arguments: impossible }, () => {});
    await channel.close();
    return null;
  } catch (error) {
    if (!(error instanceof AmqpFailure) || error.kind === 'lost' || error.kind === 'stopped') throw error;
    return error.kind === 'denied' || error.kind === 'locked' ? error : null;
  }
}
