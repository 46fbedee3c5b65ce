/**
 * The client: calls tasks by name and waits for their results.
 *
 * Owns turning a call into a message (its id, times and defaults) and the result handles. What connects it is
 * client/connections.ts; the command line and the npm face both use it.
 */

import { hostname } from 'node:os';
import type { ResultBackend } from '../backend/backend.ts';
import { chordsAllowed, startChords } from '../backend/start-chords.ts';
import type { Broker } from '../broker/broker.ts';
import { Application } from '../canvas/application.ts';
import { UmbelError } from '../errors.ts';
import { EventDispatcher } from '../event/dispatcher.ts';
import type { Logger } from '../log/logger.ts';
import { Producer, type ProducerParams } from '../producer/producer.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { LamportClock } from '../std/lamport-clock.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { AnyResult, AsyncResult, GroupResult } from '../task/async-result.ts';
import { type Publisher, type SignatureCall, setPublisher, type TaskCall } from '../task/publisher.ts';
import { signatureOptions } from '../task/signature-options.ts';
import { routeOfCall } from '../task/task-route.ts';
import { resultOfTuple, StoredResult } from './async-result.ts';
import { messageOfTask } from './task-of-signature.ts';

export interface ClientParams {
  readonly broker: Broker;
  readonly backend: ResultBackend | null;
  readonly routing: RoutingParams;
  readonly taskProtocol: 1 | 2;
  /** Send an event for each task that is sent. null: none. Default: null. */
  readonly sentEvents?: SentEventsParams | null;
}

export interface SentEventsParams {
  /** The setting `event_exchange`. */
  readonly exchange: string;
  readonly log: Logger;
}

/** Where what is sent goes: everything a producer takes but the broker. */
export type RoutingParams = Omit<ProducerParams, 'broker'>;

export class Client implements Publisher {
  readonly #params: ClientParams;
  readonly #producer: Producer;
  readonly #dispatcher: EventDispatcher | null;
  /** Where results come to; null: they are looked up. Written by start. */
  #replyTo: string | null = null;
  #stopped = false;
  readonly #origin = `gen${process.pid}@${hostname()}`;

  constructor(params: ClientParams) {
    this.#params = params;
    this.#producer = new Producer({ broker: params.broker, ...params.routing });
    const events = params.sentEvents ?? null;
    const origin = { hostname: this.#origin, pid: process.pid };
    const dispatcher =
      events === null ? null : new EventDispatcher({ broker: params.broker, origin, logicalClock: new LamportClock(), ...events });
    if (dispatcher !== null) this.#producer.onSent((sent) => dispatcher.sent(sent));
    this.#dispatcher = dispatcher;
  }

  /**
   * Connect, and send for `task.delay()` in this process. Nothing else connects: no call has a say in it. A broker that is not there is tried again as a message
   * is sent again whose call says nothing of that. May be called again after it has failed.
   */
  async start(): Promise<void> {
    const { broker, backend } = this.#params;
    this.#stopped = false;
    await this.#producer.start();
    await broker
      .start()
      .catch((failure: unknown) => this.#producer.tryAgain(() => (this.#stopped ? Promise.reject(failure) : broker.start()), failure));
    try {
      await backend?.start();
      this.#replyTo = (await backend?.openReplies?.()) ?? null;
    } catch (error) {
      await broker.stop();
      throw error;
    }
    this.#dispatcher?.start();
    setPublisher(this);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#dispatcher?.stop();
    await this.#params.backend?.stop();
    await this.#params.broker.stop();
  }

  get broker(): Broker {
    return this.#params.broker;
  }

  /** null: results are disabled. */
  get backend(): ResultBackend | null {
    return this.#params.backend;
  }

  /** false: nobody can wait for a result. */
  get storesResults(): boolean {
    return this.#params.backend !== null;
  }

  /** Only results of tasks that this client has sent itself can be read. */
  get resultsAreReplies(): boolean {
    return this.#params.backend?.openReplies !== undefined;
  }

  async call<R>(call: TaskCall): Promise<AsyncResult<R>> {
    const { options } = call;
    if (options.link !== undefined || options.linkError !== undefined || options.stamps !== undefined) return this.#callAsSignature(call);
    const id = options.taskId ?? newUuid();
    const dueAtMs = dueTime(call);
    const message = encodeTask({
      task: call.task,
      id,
      args: call.args,
      kwargs: call.kwargs,
      origin: this.#origin,
      etaMs: dueAtMs,
      expiresMs: typeof options.expires === 'number' ? Date.now() + options.expires * 1000 : (options.expires?.getTime() ?? null),
      retries: options.retries ?? 0,
      hardTimeLimitSeconds: options.timeLimit ?? null,
      softTimeLimitSeconds: options.softTimeLimit ?? null,
      shadow: options.shadow ?? null,
      ignoreResult: options.ignoreResult ?? null,
      priority: options.priority ?? null,
      headers: options.headers ?? null,
      replyTo: this.#replyTo,
      protocol: this.#params.taskProtocol,
    });
    await this.#producer.publish(message, { taskName: call.task, taskId: id, route: routeOfCall(options), dueAtMs });
    return this.result<R>(id);
  }

  async #callAsSignature<R>({ task, args, kwargs, options }: TaskCall): Promise<AsyncResult<R>> {
    const signature = { task, args, kwargs, options: signatureOptions(options), subtask_type: null, immutable: false };
    return (await this.apply({ signature, args: [], kwargs: {}, options: {} })) as AsyncResult<R>;
  }

  /** A handle on the result of any task, by its id. */
  result<R = unknown>(id: string): AsyncResult<R> {
    return new StoredResult<R>(id, this.#params.backend);
  }

  /** A group that was saved. null: it never was, or has expired. */
  async restoreGroup<R = unknown>(id: string): Promise<GroupResult<R> | null> {
    const { backend } = this.#params;
    const tuple = await chordsAllowed(backend).restoreGroup(id);
    if (tuple === null) return null;
    const [[groupId, parent], members] = tuple;
    return resultOfTuple([[groupId, parent], members ?? []], backend) as GroupResult<R>;
  }

  async apply({ signature, args, kwargs, options }: SignatureCall): Promise<AnyResult> {
    const { backend, taskProtocol } = this.#params;
    const context = { origin: this.#origin, nowMs: Date.now(), stampedHeaders: [], stamps: {}, replyTo: this.#replyTo };
    const application = new Application(context, newUuid);
    const { result } = application.send(signature, { args, kwargs, options }, `signature of ${signature.task}`);
    if (application.hasChords) chordsAllowed(backend);
    // All of it is written before any of it is sent: half a workflow would be worse than none.
    const messages = application.publish.map((task) => messageOfTask(task, taskProtocol));
    const chords = application.publish.flatMap((task) => task.chords ?? []);
    if (chords.length > 0) await startChords(backend, chords);
    await Promise.all(messages.map(({ message, request }) => this.#producer.publish(message, request)));
    return resultOfTuple(result, backend);
  }
}

function dueTime(call: TaskCall): number | null {
  const { eta, countdown } = call.options;
  if (countdown !== undefined) return Date.now() + countdown * 1000;
  if (eta === undefined) return null;
  const ms = eta instanceof Date ? eta.getTime() : parseIsoTime(eta);
  if (ms === null) throw new UmbelError('USAGE', `eta must be an ISO 8601 time, got ${JSON.stringify(eta)}`);
  return ms;
}
