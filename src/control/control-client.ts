/**
 * The caller's side of remote control: sends a request to all nodes or some, and gathers their replies.
 *
 * Owns one listener for replies, made with the first request that wants any. Replies to an earlier request are not mixed into a later one.
 * Source: protocol notes, amqp.md §5 and control.md §6.
 */
import type { Broker, Listener } from '../broker/broker.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import {
  type ControlReply,
  encodeRequest,
  type Matcher,
  readReplies,
  replyExchange,
  replyQueue,
  requestExchange,
} from '../protocol/control-message.ts';
import type { Message } from '../protocol/message.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { LamportClock } from '../std/lamport-clock.ts';
import { newUuid } from '../std/new-uuid.ts';

export interface ControlClientParams {
  readonly broker: Broker;
  /** The setting `control_exchange`. Default: 'celery'. */
  readonly namespace?: string;
  readonly acceptContent?: readonly string[];
  /** Default: one of its own. */
  readonly logicalClock?: LamportClock;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface BroadcastOptions {
  readonly arguments?: Readonly<Record<string, unknown>>;
  /** Node names. Absent or empty: all. */
  readonly destination?: readonly string[];
  readonly pattern?: string;
  readonly matcher?: Matcher;
  /** How long to wait for replies. Default: 1000. */
  readonly timeoutMs?: number;
  /** Wait no longer than for so many. Default: as many as there are destinations. */
  readonly limit?: number;
  /** Where no node listens, wait for none. One that has just gone may still count as listening. */
  readonly ifHeard?: boolean;
  /** Each reply as it comes. */
  onReply?(reply: ControlReply): void;
}

const listenerQueue = { expiresMs: 10_000, messageTtlMs: 300_000, onShared: () => {} };

interface Waiting {
  readonly replies: ControlReply[];
  onReply(reply: ControlReply): void;
}

export class ControlClient {
  readonly #params: ControlClientParams;
  readonly #namespace: string;
  readonly #clock: Clock;
  readonly #lamport: LamportClock;
  readonly #oid = newUuid();
  /** By ticket. */
  readonly #waiting = new Map<string, Waiting>();
  #listener: Promise<Listener> | null = null;
  #declared = false;

  /** The broker must be started; it stays its owner's. */
  constructor(params: ControlClientParams) {
    this.#params = params;
    this.#lamport = params.logicalClock ?? new LamportClock();
    this.#namespace = params.namespace ?? 'celery';
    this.#clock = params.clock ?? systemClock;
  }

  /** Sent, and nobody is to reply. */
  async cast(method: string, options: BroadcastOptions = {}): Promise<void> {
    await this.#send(method, options, null, 0);
  }

  /** The replies that came in time, in their order. */
  async broadcast(method: string, options: BroadcastOptions = {}): Promise<ControlReply[]> {
    const { destination = [], timeoutMs = 1000, limit = destination.length > 0 ? destination.length : Number.POSITIVE_INFINITY } = options;
    await this.#listen();
    const ticket = newUuid();
    const replies: ControlReply[] = [];
    const enough = Promise.withResolvers<void>();
    this.#waiting.set(ticket, {
      replies,
      onReply: (reply) => {
        options.onReply?.(reply);
        if (replies.length >= limit) enough.resolve();
      },
    });
    const timer = this.#clock.setTimer(enough.resolve, timeoutMs);
    try {
      const sending = this.#send(method, options, ticket, (this.#clock.now() + timeoutMs) / 1000);
      // A broker that is short of memory takes it when that is over, and nobody waits for replies by then.
      const isHeard = await Promise.race([sending, enough.promise.then(() => null)]);
      if (isHeard === null) {
        sending.catch(() => {});
        if (replies.length === 0)
          throw new UmbelError('BROKER_UNAVAILABLE', `the broker has not taken the request within ${timeoutMs / 1000} s`);
      } else if (isHeard) await enough.promise;
    } finally {
      this.#clock.clearTimer(timer);
      this.#waiting.delete(ticket);
    }
    return replies;
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    await (await listener?.catch(() => null))?.stop();
  }

  /** false: `ifHeard`, and nobody listens. */
  async #send(method: string, options: BroadcastOptions, ticket: string | null, expiresAtSeconds: number): Promise<boolean> {
    const { destination = [], pattern = null, matcher = null, ifHeard = false } = options;
    const request = {
      method,
      arguments: options.arguments ?? {},
      destination: destination.length > 0 ? destination : null,
      pattern,
      matcher,
      ticket,
      replyTo: ticket === null ? null : { exchange: replyExchange(this.#namespace), routingKey: this.#oid },
    };
    const exchange = requestExchange(this.#namespace);
    // Nobody may have listened there yet.
    if (!this.#declared) await this.#params.broker.declareExchange(exchange, 'fanout', false);
    this.#declared = true;
    const message = encodeRequest(request, this.#lamport.forward(), expiresAtSeconds);
    try {
      await this.#params.broker.publish(message, { exchange, routingKey: '', mandatory: ifHeard });
    } catch (error) {
      if (ifHeard && error instanceof UmbelError && error.code === 'BROKER_REFUSED') return false;
      throw error;
    }
    return true;
  }

  /** Before the first request that wants a reply, so that none is missed. */
  async #listen(): Promise<void> {
    this.#listener ??= this.#params.broker.listen({
      exchange: replyExchange(this.#namespace),
      exchangeType: 'direct',
      routingKey: this.#oid,
      queue: { name: replyQueue(this.#oid, this.#namespace), ...listenerQueue },
      onMessage: (message) => this.#onReply(message),
    });
    try {
      await this.#listener;
    } catch (error) {
      this.#listener = null;
      throw error;
    }
  }

  #onReply(message: Message): void {
    const { acceptContent = ['json'], log } = this.#params;
    let replies: readonly ControlReply[];
    try {
      replies = readReplies(message, acceptContent);
    } catch (error) {
      log.error('control.undecodable', `Cannot decode message: ${messageOf(error)}`);
      return;
    }
    for (const reply of replies) {
      this.#lamport.adjust(reply.clock);
      const waiting = reply.ticket === null ? undefined : this.#waiting.get(reply.ticket);
      if (waiting === undefined) continue;
      waiting.replies.push(reply);
      waiting.onReply(reply);
    }
  }
}
