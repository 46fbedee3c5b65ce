/**
 * A message between our shape and AMQP's basic properties. Pure.
 *
 * Names of properties that have no place in our shape (`extra`) are kombu's: message_id, timestamp, type, app_id, user_id.
 */
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { RawProperties, RawPublish } from '../../driver/amqp-raw.ts';
import { taggedTable } from '../../driver/amqp-table.ts';
import type { Message, MessageProperties } from '../../protocol/message.ts';

/** RabbitMQ ends the channel over a longer one. Ten years. */
const longestExpirationMs = 315_360_000_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Throws an AmqpFailure of kind 'message' for what AMQP cannot carry. */
export function toWire(message: Message, exchange: string, routingKey: string, mandatory: boolean): RawPublish {
  const { properties, headers } = message;
  const { extra, expiration } = properties;
  // The server would end the channel for it, and with that fail others.
  if (expiration !== undefined && !/^\d{1,15}$/.test(expiration))
    throw new AmqpFailure('message', `the expiration of a message must be a whole number of milliseconds, got '${expiration}'`);
  let table: Record<string, unknown> | undefined;
  try {
    table = headers === null ? undefined : taggedTable(headers);
  } catch (error) {
    throw new AmqpFailure('message', `the headers cannot be written in AMQP: ${error instanceof Error ? error.message : String(error)}`);
  }
  return {
    exchange,
    routingKey,
    mandatory,
    immediate: false,
    ticket: undefined,
    contentType: properties.contentType,
    contentEncoding: properties.contentEncoding,
    headers: table,
    deliveryMode: properties.deliveryMode,
    priority: properties.priority,
    correlationId: properties.correlationId,
    replyTo: properties.replyTo,
    // Workers look at the header `expires` in any case.
    expiration: Number(expiration) > longestExpirationMs ? undefined : expiration,
    messageId: textOf(extra?.message_id),
    timestamp: typeof extra?.timestamp === 'number' ? extra.timestamp : undefined,
    type: textOf(extra?.type),
    // The server would compare it with the login, and end the channel.
    userId: undefined,
    appId: textOf(extra?.app_id),
    clusterId: undefined,
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The headers are given apart: a parked message has had others. */
export function fromWire(raw: RawProperties): MessageProperties {
  const properties: Mutable<MessageProperties> = { contentType: raw.contentType ?? '', contentEncoding: raw.contentEncoding ?? '' };
  if (raw.correlationId !== undefined) properties.correlationId = raw.correlationId;
  if (raw.replyTo !== undefined) properties.replyTo = raw.replyTo;
  if (raw.deliveryMode === 1 || raw.deliveryMode === 2) properties.deliveryMode = raw.deliveryMode;
  if (raw.priority !== undefined) properties.priority = raw.priority;
  if (raw.expiration !== undefined) properties.expiration = raw.expiration;
  const { messageId, timestamp, type, userId, appId } = raw;
  if (messageId === undefined && timestamp === undefined && type === undefined && userId === undefined && appId === undefined)
    return properties;
  const extra: Record<string, unknown> = {};
  if (messageId !== undefined) extra.message_id = messageId;
  if (timestamp !== undefined) extra.timestamp = timestamp;
  if (type !== undefined) extra.type = type;
  if (userId !== undefined) extra.user_id = userId;
  if (appId !== undefined) extra.app_id = appId;
  properties.extra = extra;
  return properties;
}
