/**
 * The consumers of one subscription on the server, one per queue, brought in line with what is wanted.
 *
 * Owns their tags, and one loop (`align`) that begins and ends them, whatever asked for it: a queue added, a pause, a cancellation by the server. Changes
 * take turns. A queue that the server does not let us consume from is left out, because each attempt ends the channel of the others; whether it may be consumed
 * from by now is asked elsewhere.
 */
import type { AmqpConnection } from '../../driver/amqp.ts';
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import { AmqpFailure, type AmqpFailureKind } from '../../driver/amqp-failure.ts';
import type { RawMessage } from '../../driver/amqp-raw.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { backoffDelayMs, exponentialBackoff } from '../../std/backoff.ts';
import type { Clock } from '../../std/clock.ts';
import type { QueueDeclaration } from '../broker.ts';
import type { Topology } from './topology.ts';
import { isLocked } from './unavailable.ts';

export interface Consumer {
  readonly queue: string;
  readonly tag: string;
  /** What still arrives is not for us. */
  ended: boolean;
}

export interface ConsumerSetParams {
  readonly connection: AmqpConnection;
  readonly topology: Topology;
  /** Nothing is acknowledged. */
  readonly noAck: boolean;
  /** On which to consume; null: there is none, or it is being made. */
  channel(): AmqpChannel | null;
  /** Queues to consume from now. */
  wanted(): ReadonlySet<string>;
  /** The queue is consumed from, or will be again after a pause. */
  belongs(queue: string): boolean;
  onMessage(consumer: Consumer, message: RawMessage): void;
  /** `begin` is called when the server has nothing against it any more; false: it has. Costs this channel nothing. Rejects when there is no connection. */
  unlessRefused(queue: QueueDeclaration, failure: unknown, begin: () => Promise<void>): Promise<boolean>;
  /** The queue was declared once more, and may have been made anew by that. Never rejects. */
  onDeclaredAgain(queue: string): Promise<void>;
  /** A queue that was consumed from cannot be any more; true: the refusal is to be said and tried again. */
  onRefused(): boolean;
  readonly log: Logger;
  readonly clock: Clock;
}

const firstRetryMs = 100;
const lastRetryMs = 5000;
/** Of a queue that was refused although the answer had been that it is not. */
const longestRetryMs = 300_000;
/** The server refuses to let this queue be consumed from; the others are well. */
const ofQueue: ReadonlySet<AmqpFailureKind> = new Set(['not-found', 'locked', 'denied', 'in-use', 'unconsumable', 'invalid']);

/** The attempt to get over a refusal. */
interface Attempt {
  readonly failure: unknown;
  /** Before the retry with this number, from 0. */
  delayMs(retry: number): number;
}

export class ConsumerSet {
  readonly #params: ConsumerSetParams;
  readonly #consumers = new Map<string, Consumer>();
  readonly #refused = new Map<string, Attempt>();
  /** It was said that they are not consumed from; when they are, that is said too. */
  readonly #interrupted = new Set<string>();
  /** Queues that were consumed from at some time. */
  readonly #begun = new Set<string>();
  /** How often a queue has cost the others their channel since it was last consumed from. */
  readonly #costs = new Map<string, number>();
  #turn: Promise<void> = Promise.resolve();
  #tagNumber = 0;
  /** Changes when the channel does. */
  #generation = 0;

  constructor(params: ConsumerSetParams) {
    this.#params = params;
  }

  get queues(): string[] {
    return [...this.#consumers.keys()];
  }

  /** Its consumption was refused, and it is not asked for. */
  isRefused(queue: string): boolean {
    return this.#refused.has(queue);
  }

  /** The channel is no more, and they with it. */
  clear(): void {
    this.#generation += 1;
    this.#consumers.clear();
  }

  /** Those refused may be tried again: there is another connection. With a queue: the server has nothing against that one any more. */
  forgive(queue?: string): void {
    if (queue !== undefined) {
      this.#refused.delete(queue);
      return;
    }
    this.#refused.clear();
    this.#interrupted.clear();
    this.#costs.clear();
  }

  /** The queue cannot be consumed from: that is said, it is left out, and tried again. */
  leaveOut(queue: string, failure: unknown, delayMs?: (retry: number) => number): void {
    const { clock, log } = this.#params;
    const advice = isLocked(failure)
      ? '. It is free when that one has ended (rabbitmqctl list_queues name owner_pid says which it is): end it, or leave the queue out here'
      : '';
    log.error('broker.consume-failed', `Queue ${queue} cannot be consumed from: ${messageOf(failure)}${advice}. Trying again`);
    const retries = Math.max(0, (this.#costs.get(queue) ?? 0) - 1);
    const always = exponentialBackoff({ factor: lastRetryMs, retries, maximum: longestRetryMs });
    const attempt = { failure, delayMs: delayMs ?? (() => always) };
    this.#refused.set(queue, attempt);
    this.#interrupted.add(queue);
    clock.setTimer(() => void this.#tryAgain(queue, attempt, 0), attempt.delayMs(0), { ref: false });
  }

  /** What still arrives from this queue (of all without one) is not wanted. */
  end(queue?: string): void {
    for (const consumer of this.#consumers.values()) if (queue === undefined || consumer.queue === queue) consumer.ended = true;
  }

  /** The queue is there, as far as it can be; one that is refused is left out, said and tried again. Rejects when the connection is no more. */
  async ensure(queue: string): Promise<void> {
    const { topology, connection } = this.#params;
    const { epoch } = connection;
    try {
      await topology.ensure(queue);
    } catch (error) {
      if (connection.epoch !== epoch || connection.state !== 'connected' || isLoss(error) || !this.#refusedBy(queue, error)) throw error;
    }
  }

  /** Brings the consumers in line with what is wanted. Never rejects: a failure ends the channel, which tells. */
  align(): Promise<void> {
    return this.#inTurn(async (channel) => this.#alignOn(channel));
  }

  /** As `align`, on a channel that is being made. Rejects with an AmqpFailure. */
  async begin(channel: AmqpChannel): Promise<void> {
    await this.#alignOn(channel);
    if (channel.closed) throw new AmqpFailure('channel', 'the channel ended while consuming was begun');
  }

  /**
   * Others in the place of all there are; `before` is done before they begin. What the old ones had under way still arrives. Each begins before the old one
   * ends: with its last consumer the server would delete a queue declared with auto_delete, and all that waits in it. `endFirst`: all end before `before`.
   */
  renew(before: (channel: AmqpChannel) => Promise<void> = async () => {}, endFirst = false): Promise<void> {
    return this.#inTurn(async (channel) => {
      for (const consumer of endFirst ? [...this.#consumers.values()] : []) {
        this.#consumers.delete(consumer.queue);
        await channel.cancel(consumer.tag);
      }
      await before(channel);
      for (const consumer of [...this.#consumers.values()]) {
        if (!this.#params.wanted().has(consumer.queue) || this.#params.channel() !== channel) continue;
        if (consumer.ended) this.#consumers.delete(consumer.queue);
        else await this.#consume(channel, consumer.queue);
        await channel.cancel(consumer.tag);
      }
      await this.#alignOn(channel);
    });
  }

  #inTurn(step: (channel: AmqpChannel) => Promise<void>): Promise<void> {
    const turn = this.#turn.then(async () => {
      const channel = this.#params.channel();
      if (channel !== null) await step(channel);
    });
    this.#turn = turn.catch(() => {});
    return this.#turn;
  }

  async #alignOn(channel: AmqpChannel): Promise<void> {
    const generation = this.#generation;
    for (const consumer of [...this.#consumers.values()]) {
      // One that was ended and whose queue is wanted again gives everything back that it gets.
      if ((this.#params.wanted().has(consumer.queue) && !consumer.ended) || this.#generation !== generation) continue;
      this.#consumers.delete(consumer.queue);
      await channel.cancel(consumer.tag);
    }
    for (const queue of [...this.#params.wanted()]) {
      if (this.#consumers.has(queue) || this.#refused.has(queue)) continue;
      if (this.#generation === generation && this.#params.wanted().has(queue)) await this.#consume(channel, queue);
    }
  }

  async #consume(channel: AmqpChannel, queue: string): Promise<void> {
    // A step that was under way as it ended must not leave one behind that the next channel would take for its own.
    if (channel.closed) throw new AmqpFailure('channel', `the channel ended before queue ${queue} was consumed from`);
    const consumer: Consumer = { queue, tag: `umbel-${++this.#tagNumber}`, ended: false };
    this.#consumers.set(queue, consumer);
    const { consumerArguments = {} } = this.#params.topology.declaration(queue);
    const options = { consumerTag: consumer.tag, noAck: this.#params.noAck, exclusive: false, arguments: consumerArguments };
    try {
      await channel.consume(queue, options, (message) => {
        if (message === null) this.#cancelledByServer(consumer);
        else this.#params.onMessage(consumer, message);
      });
    } catch (error) {
      const failure = this.#explained(error, queue);
      if (this.#consumers.get(queue) === consumer) this.#consumers.delete(queue);
      if (failure instanceof AmqpFailure && ofQueue.has(failure.kind)) {
        this.#costs.set(queue, (this.#costs.get(queue) ?? 0) + 1);
        this.#refusedBy(queue, failure);
      }
      throw failure;
    }
    this.#costs.delete(queue);
    const again = this.#begun.has(queue) ? ' again' : '';
    this.#begun.add(queue);
    if (this.#interrupted.delete(queue)) this.#params.log.info('broker.consuming', `Consuming${again} from ${queue}`);
  }

  /** RabbitMQ speaks of an argument of the queue, which is well. */
  #explained(error: unknown, queue: string): unknown {
    if (!(error instanceof AmqpFailure) || error.kind !== 'invalid' || error.replyCode === null) return error;
    const { replyCode, replyText } = error;
    const text = `RabbitMQ does not take the consumer_arguments of queue ${queue}: ${replyCode} ${replyText} (${this.#params.connection.displayUrl})`;
    return new AmqpFailure('invalid', text, { cause: error, replyCode, replyText });
  }

  /** false: that is for somebody else to say. */
  #refusedBy(queue: string, failure: unknown): boolean {
    if (!this.#params.onRefused()) return false;
    this.leaveOut(queue, failure);
    return true;
  }

  async #tryAgain(queue: string, attempt: Attempt, retry: number): Promise<void> {
    const { topology, clock, belongs, unlessRefused, onDeclaredAgain } = this.#params;
    const isOver = (): boolean => !belongs(queue) || this.#refused.get(queue) !== attempt;
    if (isOver()) return;
    const begin = async (): Promise<void> => {
      await onDeclaredAgain(queue);
      if (isOver()) return;
      this.#refused.delete(queue);
      await this.align();
    };
    const hasBegun = await topology
      .ensure(queue)
      .then(() => unlessRefused(topology.declaration(queue), attempt.failure, begin))
      .catch(() => false);
    if (hasBegun || isOver()) return;
    clock.setTimer(() => void this.#tryAgain(queue, attempt, retry + 1), attempt.delayMs(retry + 1), { ref: false });
  }

  #cancelledByServer(consumer: Consumer): void {
    if (this.#consumers.get(consumer.queue) !== consumer) return;
    this.#consumers.delete(consumer.queue);
    if (consumer.ended) return;
    this.#interrupted.add(consumer.queue);
    this.#params.log.warning(
      'broker.consumer-cancelled',
      `RabbitMQ ended the consumption from queue ${consumer.queue} (it was deleted, or moved). Consuming anew`,
    );
    void this.#consumeAnew(consumer.queue);
  }

  /** The queue may be on its way from one node to another: that takes a moment. */
  async #consumeAnew(queue: string): Promise<void> {
    const { topology, connection, onDeclaredAgain } = this.#params;
    const generation = this.#generation;
    const isUnwanted = (): boolean => this.#generation !== generation || !this.#params.belongs(queue);
    try {
      await topology.ensure(queue);
      await onDeclaredAgain(queue);
      if (!isUnwanted()) await this.align();
    } catch (error) {
      if (isUnwanted() || connection.state !== 'connected') return;
      this.leaveOut(queue, error, (attempt) => backoffDelayMs({ attempt, baseMs: firstRetryMs, maxMs: lastRetryMs }));
    }
  }
}

/** Of the connection, or of the channel on which queues are declared: no queue can be blamed for it. */
function isLoss(error: unknown): boolean {
  return error instanceof AmqpFailure && (error.kind === 'lost' || error.kind === 'stopped' || error.kind === 'channel');
}
