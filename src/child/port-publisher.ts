/**
 * `task.delay()` inside a task: the message is made here and handed to the parent, which has the broker.
 *
 * Owns the requests that wait for the parent's answer. A child has no connection of its own.
 */

import { UmbelError } from '../errors.ts';
import { type ChildSettings, type PublishMeta, type PublishReply, toParent } from '../ipc/exchange.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { encodeJson } from '../protocol/json.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { AsyncResult } from '../task/async-result.ts';
import type { Publisher, TaskCall } from '../task/publisher.ts';
import { currentTask } from '../task/task-context.ts';
import { routeOfCall } from '../task/task-route.ts';
import type { ChildPort } from './child-port.ts';
import { origin } from './origin.ts';

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

export class PortPublisher implements Publisher {
  readonly #port: ChildPort;
  readonly #settings: ChildSettings;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;

  constructor(port: ChildPort, settings: ChildSettings) {
    this.#port = port;
    this.#settings = settings;
  }

  async call<R>(call: TaskCall): Promise<AsyncResult<R>> {
    const { options } = call;
    const caller = currentTask();
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
    await this.ask((request) => this.#port.send(toParent.publish, request, 0, encodeJson(meta), message.body));
    return new ChildResult<R>(id);
  }

  /** Send a frame that the parent answers with `published`; resolves when it says that it is done. */
  ask(send: (request: number) => void): Promise<void> {
    // As much as a frame can carry: a child may live for billions of calls.
    this.#requests = (this.#requests + 1) >>> 0;
    const request = this.#requests;
    return new Promise<void>((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      send(request);
    });
  }

  onReply(request: number, reply: PublishReply): void {
    const waiting = this.#waiting.get(request);
    this.#waiting.delete(request);
    if (reply.error === null) waiting?.resolve();
    else waiting?.reject(new UmbelError(reply.code ?? 'BROKER_UNAVAILABLE', reply.error));
  }
}

function dueTime(call: TaskCall): number | null {
  const { eta, countdown } = call.options;
  if (countdown !== undefined) return Date.now() + countdown * 1000;
  if (eta === undefined) return null;
  return eta instanceof Date ? eta.getTime() : parseIsoTime(eta);
}

/** What a task gets for a task it has called: its id. Waiting for another task inside one invites deadlock, as in Celery. */
class ChildResult<R> implements AsyncResult<R> {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  get(): Promise<R> {
    return Promise.reject(new UmbelError('RESULT_WITHIN_TASK', 'Never call result.get() within a task!'));
  }

  state(): Promise<string> {
    return Promise.reject(new UmbelError('RESULT_WITHIN_TASK', 'the state of another task cannot be asked for within a task'));
  }

  forget(): Promise<void> {
    return Promise.reject(new UmbelError('RESULT_WITHIN_TASK', 'the result of another task cannot be deleted within a task'));
  }
}
