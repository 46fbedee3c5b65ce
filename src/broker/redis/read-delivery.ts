/** The envelope of a message in Redis as a delivery: in the plain form where it has it, else decoded at once. */
import { readPlainTask } from '../../protocol/plain-task.ts';
import { decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { Delivery } from '../broker.ts';
import { PlainDelivery } from '../plain-delivery.ts';

/** `again`: it was delivered before, which its envelope does not say. `wasDeferred`: by us. Throws when it cannot be decoded. */
export function readDelivery(envelope: string, tag: string, queue: string, epoch: number, again: boolean, wasDeferred: boolean): Delivery {
  const plain = again ? null : readPlainTask(envelope);
  if (plain !== null) return new PlainDelivery(plain, tag, queue, epoch, wasDeferred);
  const { message, exchange, routingKey, redelivered } = decodeEnvelope(envelope);
  const { properties, headers, body } = message;
  return {
    properties,
    headers,
    body,
    tag,
    queue,
    exchange,
    routingKey,
    redelivered: redelivered || again,
    deliveryCount: null,
    epoch,
    wasDeferred,
  };
}
