/**
 * RabbitMQ as a model, for one connection: queues, channels, unacknowledged messages, prefetch, and what is on its way in both directions.
 *
 * Owns the rule that the tests are about: a message is gone only when it was settled, and whoever settles must have been told to. Nothing happens
 * by itself: the test lets frames arrive.
 */
import type { AmqpChannel, ConsumeOptions } from '../../../src/driver/amqp-channel.ts';
import { AmqpFailure, type AmqpFailureKind } from '../../../src/driver/amqp-failure.ts';
import type { RawMessage } from '../../../src/driver/amqp-raw.ts';

export interface ModelMessage {
  readonly id: string;
  redelivered: boolean;
  /** Default: its id as text. */
  readonly carries?: Pick<RawMessage, 'properties' | 'content'>;
}

interface ModelConsumer {
  readonly queue: string;
  readonly tag: string;
  readonly limit: number;
  readonly onMessage: (message: RawMessage | null) => void;
  ended: boolean;
}

interface Unacked {
  readonly message: ModelMessage;
  readonly queue: string;
  readonly consumer: ModelConsumer;
}

type Step = () => void;

/** What a client has been seen to settle, as the server understood it. */
export interface Settlement {
  readonly channel: number;
  readonly tag: number;
  readonly id: string;
  readonly how: 'ack' | 'requeue' | 'drop';
  readonly message: ModelMessage;
  readonly queue: string;
}

export class ModelServer {
  readonly queues = new Map<string, ModelMessage[]>();
  readonly channels: ModelChannel[] = [];
  readonly settlements: Settlement[] = [];
  /** Acknowledged, or dropped: in no queue any more. */
  readonly gone: string[] = [];
  /** What no client may do. */
  readonly faults: string[] = [];
  up = true;
  /** The next channel gets no answer: to its opening, or to anything after it. */
  nextUnanswered: 'opening' | 'channel' | null = null;

  queue(name: string): ModelMessage[] {
    const queue = this.queues.get(name) ?? [];
    this.queues.set(name, queue);
    return queue;
  }

  publish(queue: string, id: string, carries?: ModelMessage['carries']): void {
    this.queue(queue).push({ id, redelivered: false, ...(carries === undefined ? null : { carries }) });
  }

  /** Another worker takes the next one and is done with it. */
  takeElsewhere(queue: string): string | null {
    const message = this.queue(queue).shift();
    if (message === undefined) return null;
    this.gone.push(message.id);
    return message.id;
  }

  /** A crash: the last acknowledgements that had been taken are forgotten. */
  forget(count: number): void {
    const acked = this.settlements.filter(({ how }) => how !== 'requeue').slice(-count);
    for (const { message, queue } of acked) {
      const at = this.gone.lastIndexOf(message.id);
      if (at === -1 || this.left().includes(message.id)) continue;
      this.gone.splice(at, 1);
      message.redelivered = true;
      this.queue(queue).unshift(message);
    }
  }

  open(): ModelChannel {
    const channel = new ModelChannel(this, this.channels.length + 1, this.nextUnanswered === 'channel');
    this.nextUnanswered = null;
    this.channels.push(channel);
    return channel;
  }

  get last(): ModelChannel | undefined {
    return this.channels.at(-1);
  }

  /** Whatever was on its way is lost. */
  cut(): void {
    this.up = false;
    for (const channel of this.channels) channel.cut();
  }

  /** Messages that are somewhere. */
  left(): string[] {
    const waiting = [...this.queues.values()].flat();
    const unacked = this.channels.flatMap((channel) => channel.unackedMessages());
    return [...waiting, ...unacked].map(({ id }) => id);
  }
}

export class ModelChannel {
  readonly number: number;
  /** The client's view. */
  closed = false;
  readonly isUnanswered: boolean;
  /** As the driver counts them. */
  answers = 0;
  readonly #server: ModelServer;
  readonly #toServer: Step[] = [];
  readonly #toClient: Step[] = [];
  readonly #listeners: ((cause: AmqpFailure) => void)[] = [];
  readonly #pending = new Set<(cause: AmqpFailure) => void>();
  /** Of the server: it knows this channel. */
  #open = true;
  #closing = false;
  #tags = 0;
  #limit = 0;
  #consumerLimit = 0;
  readonly #consumers = new Map<string, ModelConsumer>();
  readonly #unacked = new Map<number, Unacked>();

  constructor(server: ModelServer, number: number, isUnanswered: boolean) {
    this.#server = server;
    this.number = number;
    this.isUnanswered = isUnanswered;
  }

  /** As a channel of the driver. */
  get driver(): AmqpChannel {
    return this as unknown as AmqpChannel;
  }

  get isIdle(): boolean {
    return this.#toServer.length === 0 && this.#toClient.length === 0;
  }

  unackedMessages(): ModelMessage[] {
    return [...this.#unacked.values()].map(({ message }) => message);
  }

  /** For people. */
  get state(): string {
    const unacked = [...this.#unacked].map(([tag, { message }]) => `${tag}=${message.id}`);
    const consumers = [...this.#consumers.values()].map(({ queue, limit }) => `${queue}(${limit})`);
    return `channel ${this.number}: limit ${this.#limit}, consumers ${consumers.join()}, unacknowledged ${unacked.join()}`;
  }

  /** One frame of the client arrives at the server. */
  arriveAtServer(): void {
    if (!this.isUnanswered) this.#toServer.shift()?.();
  }

  arriveAtClient(): void {
    this.#toClient.shift()?.();
  }

  /** Messages leave their queues, as far as the prefetch goes. */
  push(): void {
    if (!this.#open || !this.#server.up) return;
    for (const consumer of this.#consumers.values()) {
      if (consumer.ended) continue;
      const queue = this.#server.queue(consumer.queue);
      const held = [...this.#unacked.values()];
      const own = held.filter((one) => one.consumer === consumer).length;
      if ((this.#limit > 0 && held.length >= this.#limit) || (consumer.limit > 0 && own >= consumer.limit)) continue;
      const message = queue.shift();
      if (message === undefined) continue;
      const tag = ++this.#tags;
      this.#unacked.set(tag, { message, queue: consumer.queue, consumer });
      const raw = rawMessage(consumer, tag, message);
      this.#toClient.push(() => consumer.onMessage(raw));
    }
  }

  /** The server ends it. */
  fail(kind: AmqpFailureKind): void {
    if (!this.#open) return;
    this.#shut();
    this.#toClient.push(() => this.#lost(new AmqpFailure(kind, `${kind} it is`, { replyCode: 406 })));
  }

  cut(): void {
    if (this.#open) this.#shut();
    this.#toServer.length = 0;
    this.#toClient.length = 0;
    this.#lost(new AmqpFailure('lost', 'the connection is gone'));
  }

  // What the driver's channel can do.

  onClose(listener: (cause: AmqpFailure) => void): void {
    this.#listeners.push(listener);
  }

  qos(count: number, global: boolean): Promise<void> {
    return this.#rpc(() => {
      if (!global) this.#consumerLimit = count;
      // As RabbitMQ does: who tells the count of consumers takes the channel's.
      this.#limit = global ? count : 0;
    });
  }

  barrier(): Promise<void> {
    return this.#rpc(() => {});
  }

  consume(queue: string, { consumerTag: tag }: ConsumeOptions, onMessage: (message: RawMessage | null) => void): Promise<void> {
    return this.#rpc(() => this.#consumers.set(tag, { queue, tag, limit: this.#consumerLimit, onMessage, ended: false }));
  }

  cancel(tag: string): Promise<void> {
    return this.#rpc(() => {
      const consumer = this.#consumers.get(tag);
      if (consumer !== undefined) consumer.ended = true;
      this.#consumers.delete(tag);
    });
  }

  ack(tag: number, multiple: boolean): void {
    this.#send(() => {
      const tags = multiple ? [...this.#unacked.keys()].filter((one) => one <= tag) : [tag];
      if (!this.#unacked.has(tag)) this.#server.faults.push(`channel ${this.number}: unknown delivery tag ${tag}`);
      for (const one of tags) this.#settle(one, 'ack');
    });
  }

  reject(tag: number, requeue: boolean): void {
    this.#send(() => {
      if (!this.#unacked.has(tag)) this.#server.faults.push(`channel ${this.number}: unknown delivery tag ${tag}`);
      this.#settle(tag, requeue ? 'requeue' : 'drop');
    });
  }

  close(): Promise<boolean> {
    if (this.closed || this.#closing) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#pending.add(() => resolve(false));
    this.#send(() => {
      this.#shut();
      this.#toClient.push(() => {
        this.closed = true;
        resolve(true);
      });
    });
    this.#closing = true;
    return promise;
  }

  #rpc(work: Step): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.closed || this.#closing) reject(new AmqpFailure('lost', 'the channel is gone'));
    else {
      this.#pending.add(reject);
      this.#send(() => {
        work();
        this.#toClient.push(() => {
          this.#pending.delete(reject);
          this.answers += 1;
          resolve();
        });
      });
    }
    return promise;
  }

  #send(work: Step): void {
    if (this.closed || this.#closing) return;
    this.#toServer.push(() => {
      if (this.#open) work();
    });
  }

  #settle(tag: number, how: Settlement['how']): void {
    const unacked = this.#unacked.get(tag);
    if (unacked === undefined) return;
    this.#unacked.delete(tag);
    const { message, queue } = unacked;
    this.#server.settlements.push({ channel: this.number, tag, id: message.id, how, message, queue });
    if (how === 'requeue') this.#back(queue, message);
    else this.#server.gone.push(message.id);
  }

  #back(queue: string, message: ModelMessage): void {
    message.redelivered = true;
    this.#server.queue(queue).unshift(message);
  }

  #shut(): void {
    this.#open = false;
    for (const { queue, message } of [...this.#unacked.values()].reverse()) this.#back(queue, message);
    this.#unacked.clear();
    this.#consumers.clear();
  }

  #lost(cause: AmqpFailure): void {
    if (this.closed) return;
    this.closed = true;
    for (const reject of [...this.#pending]) reject(cause);
    this.#pending.clear();
    if (!this.#closing) for (const listener of this.#listeners) listener(cause);
  }
}

function rawMessage(consumer: ModelConsumer, deliveryTag: number, { id, redelivered, carries }: ModelMessage): RawMessage {
  const properties = { contentType: 'text/plain', contentEncoding: 'utf-8', messageId: id };
  return {
    fields: { consumerTag: consumer.tag, deliveryTag, redelivered, exchange: '', routingKey: consumer.queue },
    ...(carries ?? { properties, content: Buffer.from(id) }),
  };
}
