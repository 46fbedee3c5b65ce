/** What a broker that routes by itself says of a mandatory message that nobody takes. */
import { UmbelError } from '../errors.ts';
import type { Destination } from './broker.ts';

/** As the driver of RabbitMQ says it when the server sends a message back. */
export function noQueueTakes({ exchange, routingKey }: Destination): UmbelError {
  return new UmbelError('BROKER_REFUSED', `no queue takes the message for exchange '${exchange}' with routing key '${routingKey}'`);
}
