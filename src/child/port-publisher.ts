/**
 * `task.delay()` inside a task: the message is made here and handed to the parent, which has the broker.
 *
 * Owns the requests that wait for the parent's answer. A child has no connection of its own.
 */

import { encodeFollowUps } from '../canvas/follow-up-message.ts';
import { UmbelError } from '../errors.ts';
import { type BackendAsk, type ChildSettings, type EventAsk, type PublishMeta, type PublishReply, toParent } from '../ipc/exchange.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { encodeJson } from '../protocol/json.ts';
import { ownHeaders } from '../protocol/named-headers.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { ChurnMap } from '../std/churn-map.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { AnyResult, AsyncResult } from '../task/async-result.ts';
import type { Publisher, SignatureCall, TaskCall } from '../task/publisher.ts';
import type { TaskRegistry } from '../task/registry.ts';
import { signatureOptions } from '../task/signature-options.ts';
import { currentTask, type TaskContext } from '../task/task-context.ts';
import { routeOfCall } from '../task/task-route.ts';
import { applyInTask } from './calling-task.ts';
import type { ChildPort } from './child-port.ts';
import { childResult } from './child-result.ts';
import { followUpRoute } from './follow-up-route.ts';
import { origin } from './origin.ts';

interface Waiting {
  resolve(reply: PublishReply): void;
  reject(error: Error): void;
}

export class PortPublisher implements Publisher {
  readonly #port: ChildPort;
  readonly #settings: ChildSettings;
  readonly #waiting = new ChurnMap<number, Waiting>();
  #requests = 0;

  readonly #registry: () => TaskRegistry;

  constructor(port: ChildPort, settings: ChildSettings, registry: () => TaskRegistry) {
    this.#port = port;
    this.#settings = settings;
    this.#registry = registry;
  }

  async call<R>(call: TaskCall): Promise<AsyncResult<R>> {
    const { options } = call;
    const caller = currentTask();
    if (options.link !== undefined || options.linkError !== undefined || options.stamps !== undefined || caller?.stampedHeaders?.length)
      return this.#callAsSignature(call);
    const id = options.taskId ?? newUuid();
    const etaMs = dueTime(call);
    const inherited = this.#settings.inheritParentPriority ? (caller?.deliveryInfo.priority ?? undefined) : undefined;
    const message = encodeTask({
      task: call.task,
      id,
      args: call.args,
      kwargs: call.kwargs,
      origin,
      etaMs,
      expiresMs: typeof options.expires === 'number' ? Date.now() + options.expires * 1000 : (options.expires?.getTime() ?? null),
      retries: options.retries ?? 0,
      hardTimeLimitSeconds: options.timeLimit ?? null,
      softTimeLimitSeconds: options.softTimeLimit ?? null,
      rootId: caller?.rootId ?? null,
      parentId: caller?.id ?? null,
      shadow: options.shadow ?? null,
      ignoreResult: options.ignoreResult ?? null,
      priority: options.priority ?? null,
      headers: options.headers ?? null,
      protocol: this.#settings.taskProtocol,
    });
    const meta: PublishMeta = {
      taskName: call.task,
      taskId: id,
      headers: message.headers,
      properties: message.properties,
      route: { ...routeOfCall(options), inheritedPriority: inherited },
      dueAtMs: etaMs,
    };
    await this.publish(meta, message.body);
    return this.#called<R>([[id, null], null], caller);
  }

  async apply({ signature, args, kwargs, options, once }: SignatureCall): Promise<AnyResult> {
    const caller = currentTask();
    const { application, applied } = applyInTask(signature, { args, kwargs, options }, caller, this.#settings.inheritParentPriority);
    const sent = { publish: application.publish, unsupported: [], children: [], failedSteps: [], chords: [] };
    const { messages } = encodeFollowUps(sent, this.#settings.taskProtocol, followUpRoute(this.#registry()));
    const chords = messages.flatMap(({ meta }) => meta.chords ?? []);
    if (chords.length > 0) await this.askBackend({ ask: 'start-chords', chords });
    const mark = once === undefined ? null : { [ownHeaders.once]: once };
    await Promise.all(
      messages.map(({ meta: { chords: _, chord: __, ...meta }, body }) =>
        this.publish(mark === null ? meta : { ...meta, headers: { ...meta.headers, ...mark } }, body),
      ),
    );
    caller?.addTrail(applied.trail);
    return childResult(applied.result, this.askBackend);
  }

  /** Resolves to the answer. */
  readonly askBackend = async (ask: BackendAsk | EventAsk): Promise<unknown> => {
    const reply = await this.ask((request) => {
      this.#port.send(toParent.publish, request, 0, encodeJson(ask), null);
      this.#port.flush();
    });
    return reply.value;
  };

  async #callAsSignature<R>({ task, args, kwargs, options }: TaskCall): Promise<AsyncResult<R>> {
    const signature = { task, args, kwargs, options: signatureOptions(options), subtask_type: null, immutable: false };
    return (await this.apply({ signature, args: [], kwargs: {}, options: {} })) as AsyncResult<R>;
  }

  /** A message that is made already. */
  publish(meta: PublishMeta, body: Buffer): Promise<unknown> {
    return this.ask((request) => this.#port.send(toParent.publish, request, 0, encodeJson(meta), body));
  }

  #called<R>(result: ResultTuple, caller: TaskContext | undefined): AsyncResult<R> {
    caller?.addTrail(result);
    return childResult(result, this.askBackend) as AsyncResult<R>;
  }

  /** Send a frame that the parent answers with `published`; resolves when it says that it is done. */
  ask(send: (request: number) => void): Promise<PublishReply> {
    // As much as a frame can carry: a child may live for billions of calls.
    this.#requests = (this.#requests + 1) >>> 0;
    const request = this.#requests;
    return new Promise<PublishReply>((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      send(request);
    });
  }

  onReply(request: number, reply: PublishReply): void {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    if (reply.error === null) waiting?.resolve(reply);
    else waiting?.reject(new UmbelError(reply.code ?? 'BROKER_UNAVAILABLE', reply.error));
  }
}

function dueTime(call: TaskCall): number | null {
  const { eta, countdown } = call.options;
  if (countdown !== undefined) return Date.now() + countdown * 1000;
  if (eta === undefined) return null;
  return eta instanceof Date ? eta.getTime() : parseIsoTime(eta);
}
