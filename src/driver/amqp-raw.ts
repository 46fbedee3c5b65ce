/**
 * The parts of amqplib below its published face that this driver uses, and the one place that says which they are.
 *
 * amqplib is pinned to one exact version for them: its public calls build three objects per message, cannot send a message without headers, end
 * the connection at a header they do not know, and give a socket one write per frame. test/driver/amqp.test.ts and the suites of test/broker/amqp/ run
 * over all of them.
 */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';

/** What amqplib asks of where a channel's frames go. */
export interface RawWritable {
  write(frames: Buffer): boolean;
  end(): unknown;
}

/** The machine's layer of a socket, beneath the stream, which counts a write as a whole until all of it has gone. */
export interface RawHandle {
  /** All that it was given. */
  readonly bytesWritten?: number;
  /** What the system has not taken of that. */
  readonly writeQueueSize?: number;
  /** With TLS, that of the connection beneath: the numbers of TLS's own stand still while a large write is on its way. */
  readonly _parent?: RawHandle;
}

/** A socket of Node's, plain or with TLS. */
export interface RawSocket extends Duplex {
  readonly bytesRead?: number;
  /** null: it has ended. */
  readonly _handle?: RawHandle | null;
}

export interface RawConnection {
  readonly stream: Duplex;
  readonly serverProperties: Readonly<Record<string, unknown>>;
  /** Negotiated, in seconds; 0: none. */
  readonly heartbeat: number;
  readonly maxFrameSize: number;
  /** By number; null: free again. */
  readonly channels: ({ buffer: RawWritable } | null | undefined)[];
  freshChannel(channel: unknown, options: unknown): number;
  /** Bytes of a frame, negotiated. */
  readonly frameMax: number;
  sendMessage(
    channel: number,
    method: unknown,
    fields: RawPublish,
    propertiesOf: unknown,
    properties: RawPublish,
    content: Buffer,
  ): boolean;
  /** Something has been sent since the heartbeat's last look. */
  sentSinceLastCheck: boolean;
  /** Bytes read and not yet taken apart. */
  rest: Buffer;
  /** Something has come since the heartbeat's last look. */
  recvSinceLastCheck: boolean;
  /** The next frame, or false when it has not come in whole. */
  recvFrame(): unknown;
}

/** Takes the deliveries of one channel; false: it does not take this one. */
export type DeliverySink = (consumerTag: string, message: RawMessage) => boolean;

/** Fields of basic.publish and its content header in one object; undefined: not sent. */
export interface RawPublish {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly immediate: false;
  readonly ticket: undefined;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly headers: Readonly<Record<string, unknown>> | undefined;
  readonly deliveryMode: number | undefined;
  readonly priority: number | undefined;
  readonly correlationId: string | undefined;
  readonly replyTo: string | undefined;
  readonly expiration: string | undefined;
  readonly messageId: string | undefined;
  readonly timestamp: number | undefined;
  readonly type: string | undefined;
  readonly userId: string | undefined;
  readonly appId: string | undefined;
  readonly clusterId: undefined;
}

export interface RawProperties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  /** undefined: none were sent, or they cannot be read (`headersProblem`). */
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly headersProblem?: string;
  readonly deliveryMode?: number;
  readonly priority?: number;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly expiration?: string;
  readonly messageId?: string;
  readonly timestamp?: number;
  readonly type?: string;
  readonly userId?: string;
  readonly appId?: string;
}

export interface RawMessage {
  readonly fields: {
    readonly consumerTag: string;
    readonly deliveryTag: number;
    readonly redelivered: boolean;
    readonly exchange: string;
    readonly routingKey: string;
    /** basic.return only. */
    readonly replyCode?: number;
    readonly replyText?: string;
    /** basic.get only: messages left. */
    readonly messageCount?: number;
  };
  readonly properties: RawProperties;
  readonly content: Buffer;
  /** Its three frames as they came; undefined: they did not come in one piece. */
  readonly frames?: Buffer;
}

export type RawCallback<T = Readonly<Record<string, unknown>>> = (error: Error | null, reply?: T) => void;

export interface RawChannel extends EventEmitter {
  /** Its number. */
  readonly ch: number;
  rpc(method: number, fields: Readonly<Record<string, unknown>>, expected: number, done: RawCallback): unknown;
  sendImmediately(method: number, fields: Readonly<Record<string, unknown>>): boolean;
  sendMessage(fields: RawPublish, properties: RawPublish, content: Buffer): boolean;
  /** Called with the confirmation of the message sent last. */
  pushConfirmCallback(done: (error: Error | null) => void): void;
  consume(queue: string, onMessage: (message: RawMessage | null) => void, options: object, done: RawCallback): unknown;
  /** false: there is none. */
  get(queue: string, options: object, done: RawCallback<RawMessage | false>): unknown;
  cancel(consumerTag: string, done: RawCallback): unknown;
  close(done: RawCallback): unknown;
}

/** Class and method number as amqplib puts them into one. */
export const method = (classId: number, methodId: number): number => classId * 65_536 + methodId;

export const rawMethod = {
  channelFlow: method(20, 20),
  channelFlowOk: method(20, 21),
  channelClose: method(20, 40),
  exchangeDeclare: method(40, 10),
  exchangeDeclareOk: method(40, 11),
  exchangeDelete: method(40, 20),
  exchangeDeleteOk: method(40, 21),
  exchangeBind: method(40, 30),
  exchangeBindOk: method(40, 31),
  queueDeclare: method(50, 10),
  queueDeclareOk: method(50, 11),
  queueBind: method(50, 20),
  queueBindOk: method(50, 21),
  queuePurge: method(50, 30),
  queuePurgeOk: method(50, 31),
  queueDelete: method(50, 40),
  queueDeleteOk: method(50, 41),
  basicQos: method(60, 10),
  basicQosOk: method(60, 11),
  basicConsume: method(60, 20),
  basicPublish: method(60, 40),
  basicDeliver: method(60, 60),
  basicAck: method(60, 80),
  basicReject: method(60, 90),
  basicNack: method(60, 120),
} as const;

export const basicClass = 60;
