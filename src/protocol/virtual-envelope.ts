/**
 * The JSON text in which kombu's virtual transports (Redis, SQL) carry a message: base64 body, content type, headers and
 * properties in one object.
 *
 * On every message's path: written by joining texts, read with one JSON.parse.
 * Source: protocol notes, redis.md §2.2.
 */
import { messageOf, UmbelError } from '../errors.ts';
import { isRecord } from '../std/is-record.ts';
import { encodeJson, parseJson } from './json.ts';
import type { Message, MessageProperties } from './message.ts';

export interface EnvelopeAddress {
  readonly exchange: string;
  readonly routingKey: string;
  /** Unique among all messages in flight of one broker. */
  readonly deliveryTag: string;
  /** Marked in both places where kombu marks it. Default false. */
  readonly redelivered?: boolean;
}

export interface DecodedEnvelope {
  readonly message: Message;
  readonly exchange: string;
  readonly routingKey: string;
  readonly deliveryTag: string;
  readonly redelivered: boolean;
}

/** The text to store. Throws TypeError when a header or an extra property is not serializable. */
export function encodeEnvelope(message: Message, address: EnvelopeAddress): string {
  return envelopeOf(message, address)();
}

/** As `encodeEnvelope`, for a text that may never be wanted: the body is looked at when it is. What cannot be written is refused at once. */
export function envelopeOf(message: Message, address: EnvelopeAddress): () => string {
  const { properties } = message;
  const redelivered = address.redelivered === true;
  const headers = redelivered ? { ...message.headers, redelivered: true } : message.headers;
  let own = '';
  if (properties.correlationId !== undefined) own += `"correlation_id":${JSON.stringify(properties.correlationId)},`;
  if (properties.replyTo !== undefined) own += `"reply_to":${JSON.stringify(properties.replyTo)},`;
  if (properties.deliveryMode !== undefined) own += `"delivery_mode":${properties.deliveryMode},`;
  if (properties.expiration !== undefined) own += `"expiration":${JSON.stringify(properties.expiration)},`;
  if (properties.extra !== undefined) own += encodeExtra(properties.extra);
  const others =
    `,"content-encoding":${JSON.stringify(properties.contentEncoding)}` +
    `,"content-type":${JSON.stringify(properties.contentType)}` +
    `,"headers":${encodeJson(headers)}` +
    `,"properties":{${own}"delivery_info":{"exchange":${JSON.stringify(address.exchange)}` +
    `,"routing_key":${JSON.stringify(address.routingKey)}${redelivered ? ',"redelivered":true' : ''}}` +
    `,"priority":${properties.priority ?? 0}` +
    `,"body_encoding":"base64","delivery_tag":${JSON.stringify(address.deliveryTag)}}}`;
  return () => `{"body":"${message.body.toString('base64')}"${others}`;
}

function encodeExtra(extra: Readonly<Record<string, unknown>>): string {
  let text = '';
  for (const [name, value] of Object.entries(extra)) {
    if (value !== undefined && !ownNames.has(name)) text += `${JSON.stringify(name)}:${encodeJson(value)},`;
  }
  return text;
}

/** Property names with a place of their own, in a message or around it. */
const ownNames: ReadonlySet<string> = new Set([
  'correlation_id',
  'reply_to',
  'delivery_mode',
  'expiration',
  'delivery_info',
  'priority',
  'body_encoding',
  'delivery_tag',
]);

/**
 * Accepts what kombu accepts. Throws MESSAGE_UNDECODABLE for what would end a Python worker: not JSON, no properties,
 * no delivery tag, no delivery info, an unknown body encoding.
 */
export function decodeEnvelope(text: string): DecodedEnvelope {
  let envelope: unknown;
  try {
    envelope = parseJson(text);
  } catch (error) {
    throw bad(`it must be JSON: ${messageOf(error)}`);
  }
  if (!isRecord(envelope)) throw bad('it must be an object');
  const properties = envelope.properties;
  if (!isRecord(properties)) throw bad('it must have properties');
  const info = properties.delivery_info;
  if (!isRecord(info)) throw bad('it must have properties.delivery_info');
  const tag = properties.delivery_tag;
  if (typeof tag !== 'string' && typeof tag !== 'number' && typeof tag !== 'bigint') throw bad('it must have properties.delivery_tag');
  const headers = isRecord(envelope.headers) ? envelope.headers : null;
  return {
    message: {
      properties: readProperties(properties, textOf(envelope['content-type']), textOf(envelope['content-encoding'])),
      headers,
      body: readBody(envelope.body, properties.body_encoding),
    },
    exchange: textOf(info.exchange),
    routingKey: textOf(info.routing_key),
    deliveryTag: String(tag),
    redelivered: info.redelivered === true || headers?.redelivered === true,
  };
}

function readBody(body: unknown, encoding: unknown): Buffer {
  if (typeof body !== 'string') throw bad('its body must be text');
  if (encoding === 'base64') return Buffer.from(body, 'base64');
  if (encoding === undefined || encoding === null) return Buffer.from(body, 'utf8');
  throw bad(`its body_encoding must be base64 or absent, got ${JSON.stringify(encoding)}`);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readProperties(properties: Record<string, unknown>, contentType: string, contentEncoding: string): MessageProperties {
  const result: Mutable<MessageProperties> = { contentType, contentEncoding };
  let extra: Record<string, unknown> | null = null;
  for (const name in properties) {
    const value = properties[name];
    switch (name) {
      case 'correlation_id':
        if (typeof value === 'string') result.correlationId = value;
        break;
      case 'reply_to':
        if (typeof value === 'string') result.replyTo = value;
        break;
      case 'delivery_mode':
        if (value === 1 || value === 2) result.deliveryMode = value;
        break;
      case 'expiration':
        if (typeof value === 'string' || typeof value === 'number') result.expiration = String(value);
        break;
      case 'priority':
        if (typeof value === 'number') result.priority = value;
        break;
      case 'delivery_info':
      case 'body_encoding':
      case 'delivery_tag':
        break;
      default:
        extra ??= {};
        extra[name] = value;
    }
  }
  if (extra !== null) result.extra = extra;
  return result;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function bad(rule: string): UmbelError {
  return new UmbelError('MESSAGE_UNDECODABLE', `the message envelope cannot be read: ${rule}`);
}
