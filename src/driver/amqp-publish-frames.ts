/**
 * A message as the frames that publish it: basic.publish, content header and body in one piece.
 *
 * amqplib makes each by itself, in two passes over every field, and puts copies together: that is most of what a reply costs, and a client waits
 * for it. Only the common form is written here (no headers, few properties, one body frame), byte for byte as amqplib writes it; all else is left
 * to amqplib, refusals too. Pure.
 */
import { longestText } from './amqp-long-text.ts';
import { type RawPublish, rawMethod } from './amqp-raw.ts';

const methodFrame = 1;
const headerFrame = 2;
const bodyFrame = 3;
const frameEnd = 0xce;
/** Of a frame beside its payload: type, channel and size before it, one byte behind it. */
const overhead = 8;
const basicClass = 60;
/** More gains nothing. */
const longestBody = 16_384;
/** All frames without what varies in length: method, ticket, bits; class, weight, size, flags, table, mode, priority. */
const fixedBytes = 3 * overhead + 4 + 2 + 1 + 14 + 4 + 2;

const flagOf = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
} as const;

/** null: not of the common form. `frameMax`: bytes, negotiated. */
export function publishFrames(channel: number, message: RawPublish, content: Buffer, frameMax: number): Buffer | null {
  if (!isCommon(message) || content.length === 0 || content.length > Math.min(longestBody, frameMax - overhead)) return null;
  const { exchange, routingKey, contentType, contentEncoding, correlationId, replyTo } = message;
  // Without looking: three bytes a character. What is left over is a few hundred bytes of the pool.
  const bound =
    exchange.length + routingKey.length + lengthOf(contentType) + lengthOf(contentEncoding) + lengthOf(correlationId) + lengthOf(replyTo);
  const frames = Buffer.allocUnsafe(fixedBytes + 6 + 3 * bound + content.length);
  let at = 0;
  let fits = true;
  const text = (value: string): void => {
    const length = frames.write(value, at + 1);
    if (length > longestText) fits = false;
    frames[at] = length;
    at += 1 + length;
  };
  const begin = (type: number): number => {
    frames[at] = type;
    frames.writeUInt16BE(channel, at + 1);
    at += 7;
    return at;
  };
  const end = (payloadAt: number): void => {
    frames.writeUInt32BE(at - payloadAt, payloadAt - 4);
    frames[at] = frameEnd;
    at += 1;
  };
  const methodAt = begin(methodFrame);
  frames.writeUInt32BE(rawMethod.basicPublish, at);
  // The ticket, which means nothing any more.
  frames.writeUInt16BE(0, at + 4);
  at += 6;
  text(exchange);
  text(routingKey);
  frames[at] = message.mandatory ? 1 : 0;
  at += 1;
  end(methodAt);
  const headerAt = begin(headerFrame);
  // The weight is 0, and so is the upper half of the size.
  frames.writeUInt32BE(basicClass * 0x10000, at);
  frames.writeUInt32BE(0, at + 4);
  frames.writeUInt32BE(content.length, at + 8);
  at += 14;
  let flags = 0;
  if (contentType !== undefined) {
    flags |= flagOf.contentType;
    text(contentType);
  }
  if (contentEncoding !== undefined) {
    flags |= flagOf.contentEncoding;
    text(contentEncoding);
  }
  if (message.headers !== undefined) {
    flags |= flagOf.headers;
    frames.writeUInt32BE(0, at);
    at += 4;
  }
  if (message.deliveryMode !== undefined) {
    flags |= flagOf.deliveryMode;
    frames[at] = message.deliveryMode;
    at += 1;
  }
  if (message.priority !== undefined) {
    flags |= flagOf.priority;
    frames[at] = message.priority;
    at += 1;
  }
  if (correlationId !== undefined) {
    flags |= flagOf.correlationId;
    text(correlationId);
  }
  if (replyTo !== undefined) {
    flags |= flagOf.replyTo;
    text(replyTo);
  }
  frames.writeUInt16BE(flags, headerAt + 12);
  end(headerAt);
  if (!fits) return null;
  const bodyAt = begin(bodyFrame);
  frames.set(content, at);
  at += content.length;
  end(bodyAt);
  return frames.subarray(0, at);
}

function isCommon(message: RawPublish): boolean {
  const { headers, expiration, messageId, timestamp, type, userId, appId, deliveryMode, priority } = message;
  if (expiration !== undefined || messageId !== undefined || timestamp !== undefined) return false;
  if (type !== undefined || userId !== undefined || appId !== undefined) return false;
  for (const name in headers) if (Object.hasOwn(headers, name)) return false;
  return isByte(deliveryMode) && isByte(priority);
}

function lengthOf(text: string | undefined): number {
  return text === undefined ? 0 : text.length;
}

function isByte(value: number | undefined): boolean {
  return value === undefined || (value >= 0 && value <= 255 && Number.isInteger(value));
}
