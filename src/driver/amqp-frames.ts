/**
 * Frames of messages on their way in.
 *
 * Deliveries, their headers and bodies are taken apart here, by decodeTable: amqplib ends the whole connection at a header tag that it does not
 * know, and the message would come again after each reconnect. All other frames are left to amqplib, but for
 * a channel's end that came before. A delivery that has come in whole does not
 * pass through amqplib at all, and is taken apart when somebody looks into it.
 *
 * Owns nothing beyond the connection it is given.
 */
import { giveDataDirectly } from '../std/direct-data.ts';
import { decodeTable } from '../std/field-table.ts';
import { basicClass, type DeliverySink, type RawConnection, type RawMessage, type RawProperties, rawMethod } from './amqp-raw.ts';

const methodFrame = 1;
const headerFrame = 2;
const bodyFrame = 3;
const frameEnd = 0xce;
/** Type, channel, size before the payload; one byte behind it. */
const before = 7;
const nothing = Buffer.alloc(0);

/** Returns where a channel (by its number) enters who takes its deliveries. With `readAtOnce`. */
export function takeOverFrames(connection: RawConnection): Map<number, DeliverySink> {
  const sinks = new Map<number, DeliverySink>();
  const others = connection.recvFrame.bind(connection);
  connection.recvFrame = () => {
    while (handOver(connection, sinks));
    const { rest } = connection;
    if (rest.length <= before) return false;
    const type = rest[0];
    const size = rest.readUInt32BE(3);
    const end = before + size;
    if (size > connection.maxFrameSize) return others();
    // amqplib would ask the stream for more: what that gives comes as data too.
    if (rest.length <= end) return false;
    if ((type !== methodFrame && type !== headerFrame && type !== bodyFrame) || rest[end] !== frameEnd) return others();
    const channel = rest.readUInt16BE(1);
    const method = type !== methodFrame ? null : size < 4 ? 0 : rest.readUInt32BE(before);
    if (method === rawMethod.channelClose && isClosed(connection, channel)) {
      connection.rest = rest.subarray(end + 1);
      return connection.recvFrame();
    }
    if (method !== null && method !== rawMethod.basicDeliver) return others();
    connection.rest = rest.subarray(end + 1);
    if (type === bodyFrame) return { channel, content: rest.subarray(before, end) };
    if (type === headerFrame) return contentHeader(rest.subarray(before, end), channel);
    return { id: rawMethod.basicDeliver, channel, fields: deliverFields(rest, before + 4) };
  };
  return sinks;
}

/**
 * RabbitMQ may end a channel twice before it has read the answer to the first end: 3.10 does when a consumer timeout comes twice. amqplib ends the connection
 * there. A second answer would end it as well: for the server it is the first frame of another channel.
 */
function isClosed({ channels }: RawConnection, channel: number): boolean {
  return channel !== 0 && (channels[channel] ?? null) === null;
}

/** amqplib asks the stream for what has come in a later step, and joins it to an empty buffer: here it is taken apart as it comes. */
export function readAtOnce(connection: RawConnection): void {
  const { stream } = connection;
  const [takeApart] = stream.listeners('readable') as (() => void)[];
  if (takeApart === undefined) throw new Error('amqplib must be reading from its stream');
  stream.removeAllListeners('readable');
  giveDataDirectly(stream);
  stream.on('data', (chunk: Buffer) => {
    connection.rest = connection.rest.length === 0 ? chunk : Buffer.concat([connection.rest, chunk]);
    connection.recvSinceLastCheck = true;
    takeApart();
  });
  stream.resume();
}

/** The next delivery, if it is here as a whole and somebody takes it. */
function handOver(connection: RawConnection, sinks: ReadonlyMap<number, DeliverySink>): boolean {
  const { rest } = connection;
  const headerAt = frameEndsAt(rest, 0, methodFrame);
  if (headerAt === -1 || rest.readUInt32BE(before) !== rawMethod.basicDeliver) return false;
  const bodyAt = frameEndsAt(rest, headerAt, headerFrame);
  if (bodyAt === -1) return false;
  const bodyBytes = rest.readUInt32BE(headerAt + before + 4) * 2 ** 32 + rest.readUInt32BE(headerAt + before + 8);
  const endAt = bodyBytes === 0 ? bodyAt : frameEndsAt(rest, bodyAt, bodyFrame);
  if (endAt === -1 || (bodyBytes > 0 && endAt - bodyAt !== bodyBytes + before + 1)) return false;
  const channel = rest.readUInt16BE(1);
  const sink = sinks.get(channel);
  if (sink === undefined || rest.readUInt16BE(headerAt + 1) !== channel || (bodyBytes > 0 && rest.readUInt16BE(bodyAt + 1) !== channel)) {
    return false;
  }
  const tagAt = before + 5;
  const tagEnd = tagAt + (rest[before + 4] ?? 0);
  const isLast = endAt === rest.length;
  const message = new FramedMessage(isLast ? rest : rest.subarray(0, endAt), headerAt, bodyAt);
  // Before it is handed over: whoever takes it may end this connection.
  connection.rest = isLast ? nothing : rest.subarray(endAt);
  if (sink(rest.toString('latin1', tagAt, tagEnd), message)) return true;
  connection.rest = rest;
  return false;
}

/** Behind a whole frame of this type; -1: there is none. */
function frameEndsAt(bytes: Buffer, at: number, type: number): number {
  if (bytes.length <= at + before || bytes[at] !== type) return -1;
  const end = at + before + bytes.readUInt32BE(at + 3);
  return bytes.length > end && bytes[end] === frameEnd ? end + 1 : -1;
}

class FramedMessage implements RawMessage {
  readonly frames: Buffer;
  readonly #headerAt: number;
  readonly #bodyAt: number;
  #fields: RawMessage['fields'] | null = null;
  #properties: RawProperties | null = null;

  constructor(frames: Buffer, headerAt: number, bodyAt: number) {
    this.frames = frames;
    this.#headerAt = headerAt;
    this.#bodyAt = bodyAt;
  }

  get fields(): RawMessage['fields'] {
    this.#fields ??= deliverFields(this.frames, before + 4);
    return this.#fields;
  }

  get properties(): RawProperties {
    this.#properties ??= headerProperties(this.frames.subarray(this.#headerAt + before, this.#bodyAt - 1));
    return this.#properties;
  }

  get content(): Buffer {
    return this.frames.subarray(this.#bodyAt + before, this.frames.length - 1);
  }
}

function deliverFields(bytes: Buffer, start: number): RawMessage['fields'] {
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
  return { id: basicClass, channel, size, fields: headerProperties(payload) };
}

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined };

function headerProperties(payload: Buffer): RawProperties {
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
  // amqplib's own shape: what was not sent is undefined.
  const properties: Loose<RawProperties> = {
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
  return properties as RawProperties;
}
