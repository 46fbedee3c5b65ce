/**
 * Monitoring events as messages: one event, or a list of task events in one message.
 *
 * Owns field names, their order and the routing keys. Source: protocol notes, events.md §1 to §3; vectors events.json.
 */
import { UmbelError } from '../errors.ts';
import type { Message } from './message.ts';
import { decodeContent, encodeContent, isAccepted, refusalOf } from './serializer.ts';

/** One event, as it is on the wire: `hostname`, `utcoffset`, `pid`, `clock`, what its type has, `timestamp` (unix seconds), `type`. */
export type Event = Readonly<Record<string, unknown>> & { readonly type: string };

export interface EventOrigin {
  /** Node name, or `gen<pid>@<host>` of a client. */
  readonly hostname: string;
  readonly pid: number;
}

/** Hours west of UTC, as Python has it. */
export function utcOffsetHours(now: Date): number {
  // As integers: 0 - 0 and not -0.
  return Math.trunc(now.getTimezoneOffset() / 60) + 0;
}

/** Of a list of task events. */
export const multiRoutingKey = routingKeyOf('task-multi');

export function routingKeyOf(type: string): string {
  return type.replaceAll('-', '.');
}

export function makeEvent(
  type: string,
  origin: EventOrigin,
  clock: number,
  nowMs: number,
  utcoffset: number,
  fields: Readonly<Record<string, unknown>>,
): Event {
  return { hostname: origin.hostname, utcoffset, pid: origin.pid, clock, ...fields, timestamp: nowMs / 1000, type };
}

/** Throws TypeError when a field cannot be written as JSON. */
export function encodeEvents(content: Event | readonly Event[], hostname: string): Message {
  const { body, contentType, contentEncoding } = encodeContent(content, 'json');
  return message(body, contentType, contentEncoding, hostname);
}

function message(body: Buffer, contentType: string, contentEncoding: string, hostname: string): Message {
  return { properties: { contentType, contentEncoding, deliveryMode: 1, priority: 0 }, headers: { hostname }, body };
}

/** Those in a message; what has no type is left out. Throws CONTENT_DISALLOWED, MESSAGE_UNDECODABLE, NOT_SUPPORTED or MESSAGE_INVALID. */
export function readEvents(message: Message, accept: readonly string[]): Event[] {
  const { contentType, contentEncoding } = message.properties;
  if (!isAccepted(contentType, accept)) throw new UmbelError('CONTENT_DISALLOWED', refusalOf(contentType));
  const content = decodeContent(message.body, contentType, contentEncoding);
  const list = Array.isArray(content) ? content : [content];
  if (list.some((item) => typeof item !== 'object' || item === null))
    throw new UmbelError('MESSAGE_INVALID', 'an event must be an object, got none');
  return list.filter((item: Record<string, unknown>): item is Event => typeof item.type === 'string');
}
