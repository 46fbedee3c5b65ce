/**
 * Results as replies: `rpc://`. A worker sends each state of a task to the queue its sender named; nothing is kept anywhere else.
 *
 * Owns the reply queue of this process and the last state of each task that has come. Only who sent a task can know its result, and
 * only as long as it runs. Chords are refused: nobody could count their parts.
 * Source: protocol notes, amqp.md §8 and results.md §5.
 */
import type { Broker, Delivery, Subscription } from '../broker/broker.ts';
import { isBrokerAway, messageOf, UmbelError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Message } from '../protocol/message.ts';
import { decodeResultDocument, encodeRpcResult, type ResultDocument, type ResultRecord, readyStates } from '../protocol/result.ts';
import { ChurnMap } from '../std/churn-map.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { ResultBackend } from './backend.ts';
import { ResultWaiters } from './result-waiters.ts';

export interface RpcBackendParams {
  readonly broker: Broker;
  /** How long a reply queue is kept that nobody uses, and a state here that nobody asks for; null: for ever. */
  readonly resultExpiresMs: number | null;
  /** Replies survive a restart of the broker, if their queue does. */
  readonly persistent: boolean;
  readonly log: Logger;
  readonly clock?: Clock;
}

interface Known {
  readonly document: ResultDocument;
  readonly expiresAtMs: number;
}

/** States kept for tasks nobody has asked about yet; the oldest go first. */
const mostKnown = 100_000;
/** States the worker tells. One of the task's own has the task wait. */
const workersOwn: ReadonlySet<string> = new Set([...readyStates, 'STARTED', 'RETRY']);
const publishRetries = 20;
const retryDelayMs = 1000;

export class RpcBackend implements ResultBackend {
  readonly displayUrl = 'rpc://';
  readonly groups = null;
  readonly #params: RpcBackendParams;
  readonly #clock: Clock;
  readonly #waiters: ResultWaiters;
  readonly #known = new ChurnMap<string, Known>();
  /** Name of the reply queue. */
  readonly #oid = newUuid();
  #subscription: Subscription | null = null;
  #opening: Promise<string> | null = null;
  #stopped = false;
  readonly #pauses = new Map<Timer, () => void>();

  constructor(params: RpcBackendParams) {
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#waiters = new ResultWaiters(this.#clock);
  }

  async start(): Promise<void> {
    this.#stopped = false;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const [timer, wake] of this.#pauses) {
      this.#clock.clearTimer(timer);
      wake();
    }
    this.#pauses.clear();
    await this.#opening?.catch(() => {});
    const subscription = this.#subscription;
    this.#subscription = null;
    this.#opening = null;
    this.#waiters.rejectAll(new UmbelError('BACKEND_UNAVAILABLE', 'the result backend rpc:// is stopped'));
    if (subscription === null) return;
    const { broker } = this.#params;
    if (broker.state !== 'connected') {
      subscription.release().catch(() => {});
      return;
    }
    await subscription.release();
    await broker.deleteQueue(this.#oid).catch(() => {});
  }

  /** A reply and an acknowledgement are two messages. */
  commitsWith(_broker: Broker): boolean {
    return false;
  }

  /** Sends nothing when the task came without an address. Waits while there is no connection; a broker that is there is tried for 20 s. */
  async store(record: ResultRecord): Promise<void> {
    const { replyTo } = record;
    if (replyTo === undefined || replyTo === '') return;
    const { broker, persistent } = this.#params;
    const message: Message = {
      properties: {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        correlationId: record.taskId,
        deliveryMode: persistent ? 2 : 1,
        priority: 0,
      },
      headers: {},
      body: Buffer.from(encodeRpcResult(record)),
    };
    // All go the same way, so that those of one task stay in order.
    const confirm = persistent ? null : ({ confirm: workersOwn.has(record.status) ? 'later' : 'soon' } as const);
    for (let failures = 0; ; ) {
      try {
        return await broker.publish(message, { exchange: '', routingKey: replyTo, ...confirm });
      } catch (error) {
        if (!isBrokerAway(error) || this.#stopped || broker.state === 'stopped') throw error;
        const isLost = broker.state === 'lost';
        if (!isLost) failures += 1;
        if (failures > publishRetries) throw error;
        await this.#pause(!isLost && failures === 1 ? 0 : retryDelayMs);
      }
    }
  }

  async storeAndSettle(records: readonly ResultRecord[], settle: () => Promise<unknown>): Promise<unknown> {
    for (const record of records) await this.store(record);
    return settle();
  }

  openReplies(): Promise<string> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<string> {
    const { broker, resultExpiresMs } = this.#params;
    await broker.declareQueue({
      name: this.#oid,
      exchange: '',
      durable: false,
      autoDelete: true,
      ...(resultExpiresMs === null ? {} : { arguments: { 'x-expires': Math.round(resultExpiresMs) } }),
    });
    this.#subscription = await broker.consume({
      queues: [this.#oid],
      prefetch: 0,
      noAck: true,
      onDelivery: (delivery) => this.#onReply(delivery),
      onLost: () => {},
      onHeld: () => {},
    });
    return this.#oid;
  }

  async get(taskId: string): Promise<ResultDocument | null> {
    this.#mustBeOpen();
    return this.#current(taskId);
  }

  async wait(taskId: string, options: { readonly timeoutMs: number | null; readonly signal?: AbortSignal }): Promise<ResultDocument> {
    this.#mustBeOpen();
    const known = this.#current(taskId);
    if (known !== null && readyStates.has(known.status)) return known;
    return this.#waiters.wait(taskId, options);
  }

  async forget(taskId: string): Promise<void> {
    this.#known.delete(taskId);
  }

  async cleanup(): Promise<number> {
    const nowMs = this.#clock.now();
    let deleted = 0;
    for (const [taskId, { expiresAtMs }] of this.#known) {
      if (expiresAtMs > nowMs) break;
      this.#known.delete(taskId);
      deleted++;
    }
    return deleted;
  }

  #mustBeOpen(): void {
    if (this.#subscription === null)
      throw new UmbelError('NOT_SUPPORTED', 'with rpc:// a result can be read by the program that sent the task only, while it runs');
  }

  #onReply(delivery: Delivery): void {
    let document: ResultDocument;
    try {
      document = decodeResultDocument(delivery.body.toString('utf8'));
    } catch (error) {
      this.#params.log.warning('result.undecodable', `A reply was dropped: ${messageOf(error)}`);
      return;
    }
    const { task_id: taskId } = document;
    // Two runs of one task may tell different ends; the good one stays, as in every other backend. And the news of a retry may be overtaken by its end.
    const known = this.#current(taskId)?.status;
    if (known === 'SUCCESS' || (known !== undefined && readyStates.has(known) && !readyStates.has(document.status))) return;
    const expiresMs = this.#params.resultExpiresMs ?? Number.POSITIVE_INFINITY;
    // Deleted first, so that the order of the map is the order of expiry.
    this.#known.delete(taskId);
    this.#known.set(taskId, { document, expiresAtMs: this.#clock.now() + expiresMs });
    if (this.#known.size > mostKnown) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    if (readyStates.has(document.status)) this.#waiters.resolve(taskId, document);
  }

  #current(taskId: string): ResultDocument | null {
    const known = this.#known.get(taskId);
    return known === undefined || known.expiresAtMs <= this.#clock.now() ? null : known.document;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(() => {
        this.#pauses.delete(timer);
        resolve();
      }, delayMs);
      this.#pauses.set(timer, resolve);
    });
  }
}
