/**
 * The client: calls tasks by name and waits for their results.
 *
 * Owns turning a call into a message (its id, times and defaults) and the result handles. What connects it is
 * client/connections.ts; the command line and the npm face both use it.
 */

import { hostname } from 'node:os';
import type { ResultBackend } from '../backend/backend.ts';
import type { Broker } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';
import { Producer, type ProducerParams } from '../producer/producer.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { RemoteTaskError } from '../protocol/remote-error.ts';
import { propagateStates, type ResultDocument, readyStates } from '../protocol/result.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { AsyncResult, GetOptions } from '../task/async-result.ts';
import { type Publisher, setPublisher, type TaskCall } from '../task/publisher.ts';
import { routeOfCall } from '../task/task-route.ts';

export interface ClientParams {
  readonly broker: Broker;
  readonly backend: ResultBackend | null;
  readonly routing: RoutingParams;
  readonly taskProtocol: 1 | 2;
}

/** Where what is sent goes: everything a producer takes but the broker. */
export type RoutingParams = Omit<ProducerParams, 'broker'>;

export class Client implements Publisher {
  readonly #params: ClientParams;
  readonly #producer: Producer;
  /** Where results come to; null: they are looked up. Written by start. */
  #replyTo: string | null = null;
  readonly #origin = `gen${process.pid}@${hostname()}`;

  constructor(params: ClientParams) {
    this.#params = params;
    this.#producer = new Producer({ broker: params.broker, ...params.routing });
  }

  /** Connect, and send for `task.delay()` in this process. */
  async start(): Promise<void> {
    const { broker, backend } = this.#params;
    await this.#producer.start();
    await broker.start();
    try {
      await backend?.start();
      this.#replyTo = (await backend?.openReplies?.()) ?? null;
    } catch (error) {
      await broker.stop();
      throw error;
    }
    setPublisher(this);
  }

  async stop(): Promise<void> {
    await this.#params.backend?.stop();
    await this.#params.broker.stop();
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

  /** A handle on the result of any task, by its id. */
  result<R = unknown>(id: string): AsyncResult<R> {
    return new ClientResult<R>(id, this.#params.backend);
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

class ClientResult<R> implements AsyncResult<R> {
  readonly id: string;
  readonly #backend: ResultBackend | null;

  constructor(id: string, backend: ResultBackend | null) {
    this.id = id;
    this.#backend = backend;
  }

  async get(options: GetOptions = {}): Promise<R> {
    const { timeoutMs = null } = options;
    const document = timeoutMs === 0 ? await this.#now() : await this.#required().wait(this.id, { timeoutMs });
    if (!propagateStates.has(document.status)) return document.result as R;
    const error = new RemoteTaskError(document);
    if (options.propagate ?? true) throw error;
    return error as R;
  }

  /** No time to wait is time enough to look: a server cannot answer within none. */
  async #now(): Promise<ResultDocument> {
    const document = await this.#required().get(this.id);
    if (document !== null && readyStates.has(document.status)) return document;
    throw new UmbelError('RESULT_TIMEOUT', `no result of task ${this.id} within 0 s`);
  }

  async state(): Promise<string> {
    return (await this.#required().get(this.id))?.status ?? 'PENDING';
  }

  async forget(): Promise<void> {
    await this.#required().forget(this.id);
  }

  #required(): ResultBackend {
    if (this.#backend === null) throw new UmbelError('BACKEND_DISABLED', 'results are disabled: set result.backend');
    return this.#backend;
  }
}
