/**
 * What a message carries while it is parked in a delay queue, so that it comes back as it was. Pure.
 *
 * One header, `x-umbel-parked`, a table: where it was published to, whether it had been delivered before, and its expiration (which would end
 * it while parked, and did not count while we held it). Headers that RabbitMQ itself acts on are put into it as well: with the `x-death` of an earlier
 * death it would see a circle and drop the message when it leaves the delay queue, and to the queues of `CC` it would send another copy then.
 */
import type { Delivery } from '../broker.ts';

const parkedHeader = 'x-umbel-parked';
const serverHeaders = /^(x-(death|first-death-|last-death-)|B?CC$)/;

type Headers = Readonly<Record<string, unknown>>;

/** A message with where it was published to. */
export interface PlacedMessage {
  readonly headers: Headers | null;
  readonly exchange: string;
  readonly routingKey: string;
  readonly redelivered: boolean;
  readonly expiration?: string;
}

/** The headers of a delivery that is about to be parked. */
export function parkedHeaders(delivery: Delivery): Headers {
  const headers: Record<string, unknown> = {};
  const ofServer: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(delivery.headers ?? {})) {
    if (serverHeaders.test(name)) ofServer[name] = value;
    // Counted by a quorum queue for itself.
    else if (name !== 'x-delivery-count') headers[name] = value;
  }
  const { exchange, routingKey, redelivered, properties } = delivery;
  headers[parkedHeader] = {
    exchange,
    routing_key: routingKey,
    redelivered,
    no_headers: delivery.headers === null,
    of_server: ofServer,
    ...(properties.expiration === undefined ? {} : { expiration: properties.expiration }),
  };
  return headers;
}

/** The message as it was before it was parked; null: it never was. */
export function restored(received: PlacedMessage): PlacedMessage | null {
  const parked = received.headers?.[parkedHeader];
  if (typeof parked !== 'object' || parked === null) return null;
  const {
    exchange,
    routing_key: routingKey,
    redelivered,
    of_server: ofServer,
    no_headers: none,
    expiration,
  } = parked as Record<string, unknown>;
  const headers: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(received.headers ?? {})) {
    if (name !== parkedHeader && !serverHeaders.test(name)) headers[name] = value;
  }
  if (typeof ofServer === 'object' && ofServer !== null) Object.assign(headers, ofServer);
  return {
    headers: none === true && Object.keys(headers).length === 0 ? null : headers,
    exchange: typeof exchange === 'string' ? exchange : received.exchange,
    routingKey: typeof routingKey === 'string' ? routingKey : received.routingKey,
    redelivered: redelivered === true || received.redelivered,
    ...(typeof expiration === 'string' ? { expiration } : {}),
  };
}
