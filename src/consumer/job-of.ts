/** The job that runs a request: what the child is told of the message. */
import { Job } from '../pool/job.ts';
import { encodeJson } from '../protocol/json.ts';
import { crashesOf } from './poison.ts';
import type { Request } from './request.ts';

/** Throws when the headers cannot be handed to a child. */
export function jobOf(request: Request, id: number): Job {
  const { delivery, header } = request;
  const { plain } = delivery;
  const { hardTimeLimitSeconds: hardSeconds, softTimeLimitSeconds: softSeconds, shadow } = header;
  const timeLimit = hardSeconds === null && softSeconds === null ? null : { hardSeconds, softSeconds };
  const base = { id, taskName: header.task, taskId: header.id, listener: request, shadow, timeLimit };
  if (plain !== undefined) return new Job({ ...base, meta: '', body: plain.envelope });
  const { headers, properties, exchange, routingKey, redelivered } = delivery;
  const deliveryInfo = {
    exchange,
    routing_key: routingKey,
    priority: properties.priority ?? null,
    redelivered: redelivered || crashesOf(delivery) > 0,
  };
  // Not JSON.stringify: headers written by Python may hold integers of any size.
  return new Job({ ...base, meta: encodeJson({ headers, properties, deliveryInfo }), body: delivery.body });
}
