/**
 * One channel: amqplib's callbacks as promises, its errors as ours.
 *
 * Owns the channel's end: whoever listens hears once why, and everything unanswered rejects. A channel dies alone, its connection goes on; it
 * is never opened again under the same object, so a delivery tag belongs to exactly one AmqpChannel.
 */
import { Shortest } from '../std/shortest.ts';
import { AmqpFailure, toAmqpFailure } from './amqp-failure.ts';
import { longText, longTextOf } from './amqp-long-text.ts';
import { type RawCallback, type RawChannel, type RawMessage, type RawPublish, rawMethod } from './amqp-raw.ts';
import type { AmqpSession } from './amqp-session.ts';
import { taggedTable } from './amqp-table.ts';

export interface QueueOptions {
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly exclusive: boolean;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface ExchangeOptions {
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

export interface ConsumeOptions {
  readonly consumerTag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface QueueState {
  readonly name: string;
  readonly messages: number;
  readonly consumers: number;
}

export class AmqpChannel {
  readonly #raw: RawChannel;
  readonly #session: AmqpSession;
  #closed: AmqpFailure | null = null;
  #cause: AmqpFailure | null = null;
  #closing = false;
  #answers = 0;
  readonly #roundTrip = new Shortest();
  /** Who takes what comes for a consumer, by its tag. */
  readonly #consumers = new Map<string, (message: RawMessage | null) => void>();
  readonly #listeners: ((cause: AmqpFailure) => void)[] = [];

  private constructor(raw: RawChannel, session: AmqpSession) {
    this.#raw = raw;
    this.#session = session;
    raw.on('error', (error: unknown) => {
      this.#cause ??= toAmqpFailure(error, session.where);
    });
    raw.on('close', () => this.#ended());
  }

  /** Rejects with an AmqpFailure. */
  static async open(session: AmqpSession, options: { readonly confirm?: boolean } = {}): Promise<AmqpChannel> {
    return new AmqpChannel(await session.openChannel(options.confirm ?? false), session);
  }

  get closed(): boolean {
    return this.#closed !== null;
  }

  /** Requests that the server has answered: as long as this grows, it gets on. */
  get answers(): number {
    return this.#answers;
  }

  /** What the quickest of its latest requests took, to the server's answer; 0: none was answered. */
  get roundTripMs(): number {
    return this.#roundTrip.ms;
  }

  /** Called once, when the channel is no more, unless `close` ended it; in the same turn when that is so already. */
  onClose(listener: (cause: AmqpFailure) => void): void {
    if (this.#closed !== null) listener(this.#closed);
    else this.#listeners.push(listener);
  }

  /** mandatory messages for which no queue is bound. Comes before their confirmation. */
  onReturn(listener: (message: RawMessage) => void): void {
    this.#raw.on('return', listener);
  }

  async declareExchange(exchange: string, type: string, options: ExchangeOptions): Promise<void> {
    const { durable, autoDelete, arguments: args = {} } = options;
    const fields = { exchange, type, durable, autoDelete, passive: false, internal: false, nowait: false, ticket: 0 };
    await this.#rpc(rawMethod.exchangeDeclare, { ...fields, arguments: taggedTable(args) }, rawMethod.exchangeDeclareOk);
  }

  /** Rejects with a failure of kind 'not-found', and the channel ends, when there is no such exchange. */
  async checkExchange(exchange: string): Promise<void> {
    const flags = { durable: true, autoDelete: false, passive: true, internal: false, nowait: false, ticket: 0 };
    await this.#rpc(rawMethod.exchangeDeclare, { exchange, type: 'direct', ...flags, arguments: {} }, rawMethod.exchangeDeclareOk);
  }

  async declareQueue(queue: string, options: QueueOptions): Promise<QueueState> {
    const fields = { queue, ...options, arguments: taggedTable(options.arguments), passive: false, nowait: false, ticket: 0 };
    return queueState(await this.#rpc(rawMethod.queueDeclare, fields, rawMethod.queueDeclareOk));
  }

  /** Rejects with a failure of kind 'not-found', and the channel ends, when there is no such queue. */
  async checkQueue(queue: string): Promise<QueueState> {
    const fields = { queue, passive: true, durable: true, autoDelete: false, exclusive: false, arguments: {}, nowait: false, ticket: 0 };
    return queueState(await this.#rpc(rawMethod.queueDeclare, fields, rawMethod.queueDeclareOk));
  }

  async bindQueue(queue: string, exchange: string, routingKey: string, args: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const fields = { queue, exchange, routingKey, arguments: taggedTable(args), nowait: false, ticket: 0 };
    await this.#rpc(rawMethod.queueBind, fields, rawMethod.queueBindOk);
  }

  async bindExchange(destination: string, source: string, routingKey: string): Promise<void> {
    const fields = { destination, source, routingKey, arguments: {}, nowait: false, ticket: 0 };
    await this.#rpc(rawMethod.exchangeBind, fields, rawMethod.exchangeBindOk);
  }

  async purgeQueue(queue: string): Promise<number> {
    return Number((await this.#rpc(rawMethod.queuePurge, { queue, nowait: false, ticket: 0 }, rawMethod.queuePurgeOk)).messageCount);
  }

  /** Resolves to how many messages went with it. */
  async deleteQueue(queue: string, { ifUnused = false, ifEmpty = false } = {}): Promise<number> {
    const fields = { queue, ifUnused, ifEmpty, nowait: false, ticket: 0 };
    return Number((await this.#rpc(rawMethod.queueDelete, fields, rawMethod.queueDeleteOk)).messageCount);
  }

  async deleteExchange(exchange: string, ifUnused: boolean): Promise<void> {
    await this.#rpc(rawMethod.exchangeDelete, { exchange, ifUnused, nowait: false, ticket: 0 }, rawMethod.exchangeDeleteOk);
  }

  /** The next message by itself; null: there is none. */
  async get(queue: string, noAck: boolean): Promise<{ readonly message: RawMessage; readonly messageCount: number } | null> {
    const tooLong = longName({ queue }, this.#session.where);
    if (tooLong !== null) throw tooLong;
    const got = await this.#call<RawMessage | false>((done) => this.#raw.get(queue, { noAck }, done));
    if (got === undefined || got === false) return null;
    return { message: got, messageCount: got.fields.messageCount ?? 0 };
  }

  async qos(prefetchCount: number, global: boolean): Promise<void> {
    await this.#rpc(rawMethod.basicQos, { prefetchCount, prefetchSize: 0, global }, rawMethod.basicQosOk);
  }

  /** Resolves when the server has worked through everything sent on this channel before. */
  async barrier(): Promise<void> {
    await this.#rpc(rawMethod.channelFlow, { active: true }, rawMethod.channelFlowOk);
  }

  /** null: the server ended this consumption (queue deleted, node gone). `onMessage` must not throw. */
  async consume(queue: string, options: ConsumeOptions, onMessage: (message: RawMessage | null) => void): Promise<void> {
    const { consumerTag, noAck, exclusive } = options;
    const tooLong = longName({ queue, consumerTag }, this.#session.where);
    if (tooLong !== null) throw tooLong;
    const fields = { consumerTag, noAck, exclusive, arguments: taggedTable(options.arguments) };
    this.#consumers.set(consumerTag, onMessage);
    this.#session.deliveries.set(this.#raw.ch, (tag, message) => this.#onDelivery(tag, message));
    await this.#call((done) => this.#raw.consume(queue, onMessage, fields, done));
  }

  /** Deliveries may still come until it resolves. */
  async cancel(consumerTag: string): Promise<void> {
    await this.#call((done) => this.#raw.cancel(consumerTag, done));
    this.#consumers.delete(consumerTag);
  }

  /** Has no answer, and no effect on a channel that has ended. */
  ack(deliveryTag: number, multiple: boolean): void {
    this.#send(rawMethod.basicAck, { deliveryTag, multiple });
  }

  /** As `ack`. */
  reject(deliveryTag: number, requeue: boolean): void {
    this.#send(rawMethod.basicReject, { deliveryTag, requeue });
  }

  /** On a confirm channel. `done` is called once: null when every queue has it, a failure when not, or when the channel ended before an answer. */
  publish(message: RawPublish, content: Buffer, done: (failure: AmqpFailure | null) => void): void {
    if (this.#closed !== null) {
      done(this.#closed);
      return;
    }
    try {
      this.#raw.sendMessage(message, message, content);
    } catch (error) {
      done(this.#refusal(error, message));
      return;
    }
    this.#raw.pushConfirmCallback((error) => done(error === null ? null : this.#unconfirmed(error, message)));
  }

  /** On a channel without confirms. Throws an AmqpFailure of kind 'message' for what cannot be written. */
  publishUnconfirmed(message: RawPublish, content: Buffer): void {
    if (this.#closed !== null) throw this.#closed;
    try {
      this.#raw.sendMessage(message, message, content);
    } catch (error) {
      throw this.#refusal(error, message);
    }
  }

  /**
   * With a farewell: everything sent before has been worked through when it resolves with true, and what is not settled is back in its queue. false: it had
   * ended, or did before the answer.
   */
  close(): Promise<boolean> {
    if (this.#closed !== null || this.#closing) return Promise.resolve(false);
    this.#closing = true;
    return new Promise((resolve) => {
      // Called before the channel is closed; a connection that ends first ends the channel without.
      let isAnswered = false;
      this.#raw.once('close', () => resolve(isAnswered));
      try {
        this.#raw.close(() => {
          isAnswered = true;
        });
      } catch {
        resolve(false);
      }
    });
  }

  /** One that closes has no use for them, and amqplib drops them. */
  #onDelivery(consumerTag: string, message: RawMessage): boolean {
    const onMessage = this.#consumers.get(consumerTag);
    if (onMessage === undefined || this.#closing || this.#closed !== null) return false;
    onMessage(message);
    return true;
  }

  #send(method: number, fields: Readonly<Record<string, unknown>>): void {
    if (this.#closed !== null) return;
    try {
      this.#raw.sendImmediately(method, fields);
    } catch {
      // It is closing; `onClose` tells.
    }
  }

  #rpc(method: number, fields: Readonly<Record<string, unknown>>, expected: number): Promise<Readonly<Record<string, unknown>>> {
    const tooLong = longName(fields, this.#session.where);
    if (tooLong !== null) return Promise.reject(tooLong);
    return this.#call<Readonly<Record<string, unknown>>>((done) => this.#raw.rpc(method, fields, expected, done)).then(
      (reply) => reply ?? {},
    );
  }

  #call<T>(start: (done: RawCallback<T>) => unknown): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(this.#closed);
        return;
      }
      const askedAtMs = performance.now();
      try {
        start((error, value) => {
          this.#answers += 1;
          this.#roundTrip.note(performance.now() - askedAtMs);
          if (error === null) resolve(value);
          else reject(this.#failed(error));
        });
      } catch (error) {
        reject(this.#failed(error));
      }
    });
  }

  /** The channel's own end explains more than amqplib's "no reply will be forthcoming". */
  #failed(error: unknown): AmqpFailure {
    const failure = toAmqpFailure(error, this.#session.where);
    return failure.replyCode === null ? this.#end() : failure;
  }

  /** Why there is no answer: a channel that the server ends says why first, so without a word it is the connection that went. */
  #end(): AmqpFailure {
    if (this.#closed !== null) return this.#closed;
    const { where } = this.#session;
    if (this.#closing) return new AmqpFailure('stopped', `the channel was closed (${where})`);
    return this.#cause ?? this.#session.cause ?? new AmqpFailure('lost', `the connection to RabbitMQ was closed (${where})`);
  }

  #unconfirmed(error: Error, { exchange, routingKey }: RawPublish): AmqpFailure {
    const { where } = this.#session;
    if (error.message === 'message nacked') {
      const to = `exchange '${exchange}' with routing key '${routingKey}'`;
      return new AmqpFailure('nacked', `a queue refused the message for ${to} (${where})`, { cause: error });
    }
    const cause = this.#end();
    return new AmqpFailure(cause.kind, cause.message, { cause, replyCode: cause.replyCode, replyText: cause.replyText, uncertain: true });
  }

  /** Thrown while a message is encoded: nothing has been sent. */
  #refusal(error: unknown, message: RawPublish): AmqpFailure {
    if (error instanceof TypeError || error instanceof RangeError)
      return new AmqpFailure('message', `the message cannot be written in AMQP: ${longTextOf(message) ?? error.message}`, { cause: error });
    return this.#failed(error);
  }

  #ended(): void {
    if (this.#closed !== null) return;
    const ended = this.#end();
    this.#closed = ended;
    this.#session.deliveries.delete(this.#raw.ch);
    if (!this.#closing) for (const listener of this.#listeners) listener(ended);
  }
}

function queueState(fields: Readonly<Record<string, unknown>>): QueueState {
  return { name: String(fields.queue), messages: Number(fields.messageCount), consumers: Number(fields.consumerCount) };
}

/** AMQP has a byte for the length of a name. amqplib notices only when it writes one, and its channel is stuck then. */
function longName(fields: Readonly<Record<string, unknown>>, where: string): AmqpFailure | null {
  for (const field in fields) {
    const text = longText(field === 'routingKey' ? 'a routing key' : `the name of the ${field}`, fields[field]);
    if (text !== null) return new AmqpFailure('invalid', `${text} (${where})`, { replyText: text });
  }
  return null;
}
