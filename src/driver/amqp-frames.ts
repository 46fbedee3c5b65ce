/**
 * Frames of messages, in and out: amqplib's connection with two of its habits replaced.
 *
 *  - Deliveries, their headers and bodies are taken apart here, by decodeTable: amqplib ends the whole connection at a header tag that it does not
 *    know, and the message would come again after each reconnect. All other frames are left to amqplib.
 *  - All frames of one turn of the event loop go to the socket in one write.
 *
 * Owns nothing beyond the connection it is given.
 */
import type { Duplex } from 'node:stream';
import { basicClass, type RawConnection, rawMethod } from './amqp-raw.ts';
import { decodeTable } from './amqp-table.ts';

const methodFrame = 1;
const headerFrame = 2;
const bodyFrame = 3;
const frameEnd = 0xce;
/** Type, channel, size before the payload; one byte behind it. */
const before = 7;

export function takeOverFrames(connection: RawConnection): void {
  const others = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    const { rest } = connection;
    if (rest.length <= before) return others();
    const type = rest[0];
    if (type !== methodFrame && type !== headerFrame && type !== bodyFrame) return others();
    const size = rest.readUInt32BE(3);
    const end = before + size;
    if (rest.length <= end || rest[end] !== frameEnd || size > connection.maxFrameSize) return others();
    if (type === methodFrame && (size < 4 || rest.readUInt32BE(before) !== rawMethod.basicDeliver)) return others();
    const channel = rest.readUInt16BE(1);
    connection.rest = rest.subarray(end + 1);
    if (type === bodyFrame) return { channel, content: rest.subarray(before, end) };
    if (type === headerFrame) return contentHeader(rest.subarray(before, end), channel);
    return { id: rawMethod.basicDeliver, channel, fields: deliverFields(rest, before + 4) };
  };
  writeTogether(connection.stream);
}

function deliverFields(bytes: Buffer, start: number): object {
  let at = start;
  const shortText = (): string => {
    const length = bytes[at] ?? 0;
    const from = at + 1;
    at = from + length;
    return bytes.toString('latin1', from, at);
  };
  const utf8Text = (): string => {
    const length = bytes[at] ?? 0;
    const from = at + 1;
    at = from + length;
    return bytes.toString('utf8', from, at);
  };
  // Ours, and plain ASCII.
  const consumerTag = shortText();
  const deliveryTag = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  const redelivered = ((bytes[at + 8] ?? 0) & 1) === 1;
  at += 9;
  return { consumerTag, deliveryTag, redelivered, exchange: utf8Text(), routingKey: utf8Text() };
}

function contentHeader(payload: Buffer, channel: number): object {
  const size = payload.readUInt32BE(4) * 2 ** 32 + payload.readUInt32BE(8);
  const flags = payload.readUInt16BE(12);
  let at = 14;
  const text = (bit: number): string | undefined => {
    if ((flags & (1 << bit)) === 0) return undefined;
    const length = payload[at] ?? 0;
    const from = at + 1;
    at = from + length;
    return payload.toString('utf8', from, at);
  };
  const octet = (bit: number): number | undefined => ((flags & (1 << bit)) === 0 ? undefined : payload[at++]);
  const contentType = text(15);
  const contentEncoding = text(14);
  let headers: Record<string, unknown> | undefined;
  let headersProblem: string | undefined;
  if ((flags & (1 << 13)) !== 0) {
    const from = at + 4;
    at = from + payload.readUInt32BE(at);
    try {
      headers = decodeTable(payload.subarray(from, at));
    } catch (error) {
      headersProblem = error instanceof Error ? error.message : String(error);
    }
  }
  const deliveryMode = octet(12);
  const priority = octet(11);
  const correlationId = text(10);
  const replyTo = text(9);
  const expiration = text(8);
  const messageId = text(7);
  let timestamp: number | undefined;
  if ((flags & (1 << 6)) !== 0) {
    timestamp = payload.readUInt32BE(at) * 2 ** 32 + payload.readUInt32BE(at + 4);
    at += 8;
  }
  const fields = {
    contentType,
    contentEncoding,
    headers,
    headersProblem,
    deliveryMode,
    priority,
    correlationId,
    replyTo,
    expiration,
    messageId,
    timestamp,
    type: text(5),
    userId: text(4),
    appId: text(3),
  };
  return { id: basicClass, channel, size, fields };
}

function writeTogether(stream: Duplex): void {
  const write = stream.write.bind(stream) as (chunk: unknown) => boolean;
  let corked = false;
  const uncork = (): void => {
    corked = false;
    stream.uncork();
  };
  stream.write = (chunk: unknown): boolean => {
    if (!corked) {
      corked = true;
      stream.cork();
      process.nextTick(uncork);
    }
    return write(chunk);
  };
}
