/**
 * Exchanges, queues and bindings on the server, declared as kombu does, and what is known of them for the next time.
 *
 * Owns a channel of its own: an operation that the server refuses ends its channel, and that must not be one with deliveries. Operations take turns, so that
 * one refusal is the failure of one operation.
 *
 * A queue that exists with other properties (406, or 405 where only ours is exclusive) is used as it is, after an error in the log that names the argument and both values. Celery
 * would end the worker there, and with it the consumption from all its other queues; the messages are the same either way.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel, QueueState } from '../../driver/amqp-channel.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import { UmbelError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { ExchangeType, QueueDeclaration } from '../broker.ts';

export interface TopologyParams {
  readonly connection: AmqpConnection;
  /** null: what differs is said by somebody else. */
  readonly log: Logger | null;
}

type Step<T> = (channel: AmqpChannel) => Promise<T>;

export class Topology {
  readonly #connection: AmqpConnection;
  readonly #log: Logger | null;
  readonly #known = new Map<string, QueueDeclaration>();
  #channel: AmqpChannel | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #answers = 0;
  /** Differences said already. */
  readonly #said = new Set<string>();
  /** Queues that others declared so. */
  readonly #singleActive = new Set<string>();
  readonly #quorum = new Set<string>();
  readonly #autoDelete = new Set<string>();

  constructor(params: TopologyParams) {
    this.#connection = params.connection;
    this.#log = params.log;
  }

  /** Operations that are over: as long as this grows, the server gets on. */
  get answers(): number {
    return this.#answers;
  }

  /** Queues declared here, in their order. */
  get known(): readonly QueueDeclaration[] {
    return [...this.#known.values()];
  }

  declaration(queue: string): QueueDeclaration {
    return this.#known.get(queue) ?? { name: queue };
  }

  /** Its declaration says so, or the server said that it is there like that; the server's own default for queues is not known here. */
  isQuorum(queue: string): boolean {
    if (this.#quorum.has(queue)) return true;
    const type = this.#known.get(queue)?.arguments?.['x-queue-type'];
    return type === 'quorum' || type === 'stream';
  }

  /** One consumer gets everything, and the others wait for its end: its declaration says so, or the server said that it is there like that. */
  hasSingleActiveConsumer(queue: string): boolean {
    return this.#singleActive.has(queue) || this.#known.get(queue)?.arguments?.['x-single-active-consumer'] === true;
  }

  /** The server deletes it with its last consumer: its declaration says so, or the server said that it is there like that. */
  isAutoDelete(queue: string): boolean {
    return this.#autoDelete.has(queue) || this.#known.get(queue)?.autoDelete === true;
  }

  /** Rejects with an AmqpFailure, or BROKER_REFUSED for a queue that is to be there and is not. */
  async declare(queue: QueueDeclaration): Promise<void> {
    this.#known.set(queue.name, queue);
    if (queue.noDeclare === true) {
      await this.#mustExist(queue.name, 'it is not declared here');
      return;
    }
    const { name, exchange = name, exchangeType = 'direct', exchangeDurable = true, routingKey = name } = queue;
    if (exchange !== '') await this.declareExchange(exchange, exchangeType, exchangeDurable);
    await this.#declareQueue(queue);
    if (exchange !== '') await this.#bind(name, exchange, routingKey, queue.bindingArguments);
    for (const binding of queue.bindings ?? []) {
      await this.declareExchange(binding.exchange, binding.exchangeType ?? 'direct', exchangeDurable);
      await this.#bind(name, binding.exchange, binding.routingKey ?? '', binding.arguments);
    }
  }

  /**
   * As `declare`, by who does not consume from it. One that is exclusive to another connection is there, and bound by that one. One that is to be exclusive
   * is not made: it would be ours, and keep out who is to consume from it.
   */
  async declareForSending(queue: QueueDeclaration): Promise<void> {
    const isOurs = this.#known.has(queue.name);
    if (queue.exclusive === true && queue.noDeclare !== true && !isOurs) {
      const { name, exchange = name, exchangeType = 'direct', exchangeDurable = true, bindings = [] } = queue;
      if (exchange !== '') await this.declareExchange(exchange, exchangeType, exchangeDurable);
      for (const binding of bindings) await this.declareExchange(binding.exchange, binding.exchangeType ?? 'direct', exchangeDurable);
      return;
    }
    try {
      await this.declare(queue);
    } catch (error) {
      if (!(error instanceof AmqpFailure) || error.kind !== 'locked') throw error;
      // Over another connection it is not to be declared again.
      if (!isOurs) this.#known.delete(queue.name);
    }
  }

  /** As it was declared before; one that never was, as Celery creates missing queues. */
  ensure(queue: string): Promise<void> {
    return this.declare(this.declaration(queue));
  }

  async declareExchange(exchange: string, type: ExchangeType, durable: boolean): Promise<void> {
    // Names that belong to the server cannot be declared, and are there.
    if (exchange.startsWith(reserved)) return;
    try {
      await this.run((channel) => channel.declareExchange(exchange, type, { durable, autoDelete: false }));
    } catch (error) {
      this.#tolerate(error, `exchange ${exchange}`);
    }
  }

  async delete(queue: string): Promise<void> {
    this.#known.delete(queue);
    await this.run((channel) => channel.deleteQueue(queue));
  }

  /** null: there is no such queue. */
  async look(queue: string): Promise<QueueState | null> {
    try {
      return await this.run((channel) => channel.checkQueue(queue));
    } catch (error) {
      if (error instanceof AmqpFailure && error.kind === 'not-found') return null;
      throw error;
    }
  }

  async purge(queue: string): Promise<number> {
    try {
      return await this.run((channel) => channel.purgeQueue(queue));
    } catch (error) {
      if (error instanceof AmqpFailure && error.kind === 'not-found') return 0;
      throw error;
    }
  }

  /** One operation, on a channel that nobody else uses meanwhile. Rejects with an AmqpFailure. */
  run<T>(step: Step<T>): Promise<T> {
    const turn = this.#turn.then(async () => step(await this.#open()));
    const answered = (): void => {
      this.#answers += 1;
    };
    this.#turn = turn.then(answered, answered);
    return turn;
  }

  async #open(): Promise<AmqpChannel> {
    if (this.#channel === null || this.#channel.closed) this.#channel = await this.#connection.openChannel();
    return this.#channel;
  }

  async #declareQueue(queue: QueueDeclaration): Promise<void> {
    const { name, durable = true, exclusive = false, autoDelete = false, arguments: args = {} } = queue;
    try {
      await this.run((channel) => channel.declareQueue(name, { durable, exclusive, autoDelete, arguments: args }));
    } catch (error) {
      if (exclusive && error instanceof AmqpFailure && error.kind === 'locked' && (await this.#isOpenToAll(name))) {
        this.#sayOnce('broker.differs', `queue ${name} exists on the server with other properties and is used as it is: ${notExclusive}`);
        return;
      }
      this.#tolerate(error, `queue ${name}`);
      const { argument, current } = differenceIn(error);
      if (argument === 'x-single-active-consumer' && current.includes('true')) this.#singleActive.add(name);
      if (argument === 'x-queue-type' && /'(quorum|stream)'/.test(current)) this.#quorum.add(name);
      if (argument === 'auto_delete' && current.includes('true')) this.#autoDelete.add(name);
      // A user who may not declare may well consume.
      if (error instanceof AmqpFailure && error.kind === 'denied') await this.#mustExist(name, 'the user of the URL may not declare it');
      if (error instanceof AmqpFailure && error.kind === 'reserved')
        await this.#mustExist(name, reservedName, { advice: '. Give the queue another name', cause: error });
    }
  }

  /** RabbitMQ answers 405 to an exclusive declaration of a queue that is not exclusive, and of one that is another connection's. */
  async #isOpenToAll(queue: string): Promise<boolean> {
    try {
      return (await this.look(queue)) !== null;
    } catch (error) {
      if (error instanceof AmqpFailure && error.kind === 'locked') return false;
      throw error;
    }
  }

  async #bind(queue: string, exchange: string, routingKey: string, args: Readonly<Record<string, unknown>> | undefined): Promise<void> {
    try {
      await this.run((channel) => channel.bindQueue(queue, exchange, routingKey, args));
    } catch (error) {
      // Which was not declared.
      if (exchange.startsWith(reserved) && error instanceof AmqpFailure && /no exchange/.test(error.replyText))
        throw new UmbelError(
          'BROKER_REFUSED',
          `exchange ${exchange} of queue ${queue} must exist on the server, because ${reservedName}; there is none. Give the exchange another name (${this.#connection.displayUrl})`,
        );
      this.#tolerate(error, `binding of queue ${queue} to exchange ${exchange}`);
    }
  }

  /** `cause`: what will not pass when somebody makes the queue. */
  async #mustExist(queue: string, why: string, { advice = '', cause }: { advice?: string; cause?: AmqpFailure } = {}): Promise<void> {
    try {
      await this.run((channel) => channel.checkQueue(queue));
    } catch (error) {
      if (!(error instanceof AmqpFailure) || error.kind !== 'not-found') throw error;
      throw new UmbelError(
        'BROKER_REFUSED',
        `queue ${queue} must exist on the server, because ${why}; there is none${advice} (${this.#connection.displayUrl})`,
        { cause: cause ?? error },
      );
    }
  }

  /** What exists in another form, or may not be declared by this user, is used as it is. Anything else is thrown. */
  #tolerate(error: unknown, what: string): void {
    if (error instanceof AmqpFailure && error.kind === 'invalid') {
      const why = `${withoutCode(error.replyText)} (${this.#connection.displayUrl})`;
      throw new UmbelError('BROKER_REFUSED', `${what} cannot be made as the settings want it: ${why}`, { cause: error });
    }
    if (!(error instanceof AmqpFailure) || (error.kind !== 'differs' && error.kind !== 'denied' && error.kind !== 'reserved')) throw error;
    const unmade = `${what} could not be declared and is used if it is there: `;
    if (error.kind === 'differs')
      this.#sayOnce('broker.differs', `${what} exists on the server with other properties and is used as it is: ${difference(error)}`);
    else if (error.kind === 'denied') this.#sayOnce('broker.denied', `${unmade}${error.replyCode} ${error.replyText}`);
    else this.#sayOnce('broker.denied', `${unmade}${reservedName}. Say no_declare = true of one that is there`);
  }

  #sayOnce(event: 'broker.differs' | 'broker.denied', message: string): void {
    if (this.#said.has(message)) return;
    this.#said.add(message);
    if (event === 'broker.differs') this.#log?.error(event, message);
    else this.#log?.warning(event, message);
  }
}

/** Beginning of the server's own names. */
const reserved = 'amq.';
const reservedName = `RabbitMQ keeps names that begin with '${reserved}' for itself and lets nobody declare them`;

/** The one difference that RabbitMQ does not put into words. */
export const notExclusive = "exclusive is 'false' there and 'true' here";

/** RabbitMQ's sentence names the argument and both values; ours puts them in one order. */
function difference(failure: AmqpFailure): string {
  const { argument, received, current } = differenceIn(failure);
  return argument === '' ? failure.replyText : `${argument} is ${current} there and ${received} here`;
}

function differenceIn(error: unknown): { readonly argument: string; readonly received: string; readonly current: string } {
  const text = error instanceof AmqpFailure ? withoutCode(error.replyText) : '';
  const [, argument = '', received = '', current = ''] =
    /inequivalent arg '([^']*)' for .*: received (?:the value )?(.*?),? but current is (?:the value )?(.*)$/s.exec(text) ?? [];
  return { argument, received, current };
}

function withoutCode(replyText: string): string {
  return replyText.replace(/^PRECONDITION_FAILED - /, '');
}
