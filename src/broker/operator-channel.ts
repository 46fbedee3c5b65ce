/**
 * What an operator asks of a broker beyond what workers and clients do: its queues and bindings, and the operations of AMQP one by one.
 *
 * Nothing is tolerated, repeated or declared again here: what the broker refuses is an error (BROKER_REFUSED, NOT_SUPPORTED), and what was got belongs
 * to the channel until it is acknowledged or the channel ends. Brokers without AMQP share plain-operator-channel.ts.
 */
import type { Message } from '../protocol/message.ts';
import type { ExchangeType } from './broker.ts';

export interface QueueState {
  /** Messages that could be delivered now. */
  readonly ready: number;
  /** null: the broker does not know. */
  readonly consumers: number | null;
}

export interface BoundQueue {
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
}

export interface DeclareOptions {
  /** Only look whether it is there. */
  readonly passive: boolean;
  /** Of RabbitMQ alone: what others keep, they keep in one way. */
  readonly durable: boolean;
  readonly autoDelete: boolean;
}

export interface GotMessage extends Message {
  /** For `ack`, on this channel. */
  readonly tag: number;
  readonly exchange: string;
  readonly routingKey: string;
  readonly redelivered: boolean;
  /** Messages that were ready behind it. */
  readonly ready: number;
}

export interface OperatorChannel {
  /** Messages got and not acknowledged. Less after an error: RabbitMQ ends the channel for it, and they are back in their queues. */
  readonly held: number;
  /** Those that are bound or have messages, where that can be found out, in no order; null: the broker cannot be asked. */
  listQueues(): Promise<readonly string[] | null>;
  /** null: the broker cannot be asked. */
  listBindings(): Promise<readonly BoundQueue[] | null>;
  /** null: there is no such queue. */
  lookAtQueue(queue: string): Promise<QueueState | null>;
  declareExchange(exchange: string, type: ExchangeType, options: DeclareOptions): Promise<void>;
  deleteExchange(exchange: string, options: { readonly ifUnused: boolean }): Promise<void>;
  declareQueue(queue: string, options: DeclareOptions): Promise<QueueState>;
  bindQueue(queue: string, exchange: string, routingKey: string): Promise<void>;
  /** Resolves to how many messages went with it. */
  deleteQueue(queue: string, options: { readonly ifUnused: boolean; readonly ifEmpty: boolean }): Promise<number>;
  /** Resolves to how many messages there were. */
  purgeQueue(queue: string): Promise<number>;
  /** What the broker itself keeps until it is due is ready now; whoever gets it waits for its time. Resolves to how many there were. */
  bringForward(queue: string): Promise<number>;
  publish(message: Message, to: { readonly exchange: string; readonly routingKey: string; readonly mandatory: boolean }): Promise<void>;
  /** null: there is none. */
  get(queue: string, options: { readonly noAck: boolean }): Promise<GotMessage | null>;
  ack(tag: number): Promise<void>;
  /** What is held goes back. */
  close(): Promise<void>;
}
