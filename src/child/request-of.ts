/** From a message to the request that task code sees as its context. What most tasks never ask for is made when it is asked for. */
import type { ChildSettings } from '../ipc/exchange.ts';
import type { TaskRequest } from '../task/task-context.ts';
import { customHeaders, retryUntilHeader } from './custom-headers.ts';
import type { PreparedTask } from './run-task.ts';

export function requestOf(task: PreparedTask, settings: ChildSettings): TaskRequest {
  return new MessageRequest(task, settings);
}

class MessageRequest implements TaskRequest {
  readonly #task: PreparedTask;
  readonly #settings: ChildSettings;

  constructor(task: PreparedTask, settings: ChildSettings) {
    this.#task = task;
    this.#settings = settings;
  }

  get id(): string {
    return this.#task.header.id;
  }
  get name(): string {
    return this.#task.header.task;
  }
  get args(): TaskRequest['args'] {
    return this.#task.content.args;
  }
  get kwargs(): TaskRequest['kwargs'] {
    return this.#task.content.kwargs;
  }
  get retries(): number {
    return this.#task.header.retries;
  }
  get hostname(): string {
    return this.#settings.nodeName;
  }
  get deliveryInfo(): TaskRequest['deliveryInfo'] {
    const { exchange, routing_key: routingKey, priority, redelivered } = this.#task.meta.deliveryInfo;
    return { exchange, routingKey, priority, redelivered };
  }
  get rootId(): string {
    return this.#task.header.rootId;
  }
  get parentId(): string | null {
    return this.#task.header.parentId;
  }
  get group(): string | null {
    return this.#task.header.group;
  }
  get groupIndex(): number | null {
    return this.#task.header.groupIndex;
  }
  get correlationId(): string | null {
    return this.#task.meta.properties.correlationId ?? null;
  }
  get replyTo(): string | null {
    return this.#task.meta.properties.replyTo ?? null;
  }
  get retryUntilMs(): number | null {
    const until = this.#task.meta.headers?.[retryUntilHeader];
    return typeof until === 'number' ? until : null;
  }
  get eta(): string | null {
    return textOf(this.#task.meta.headers?.eta);
  }
  get expires(): string | null {
    return textOf(this.#task.meta.headers?.expires);
  }
  get timelimit(): TaskRequest['timelimit'] {
    const { hardTimeLimitSeconds, softTimeLimitSeconds } = this.#task.header;
    return [hardTimeLimitSeconds, softTimeLimitSeconds];
  }
  get origin(): string | null {
    return this.#task.header.origin;
  }
  get shadow(): string | null {
    return this.#task.header.shadow;
  }
  get headers(): TaskRequest['headers'] {
    return customHeaders(this.#task.meta.headers);
  }
  get ignoreResult(): boolean {
    const { header, definition } = this.#task;
    return header.ignoreResult === true || (definition.options.ignoreResult ?? this.#settings.taskDefaults.ignoreResult);
  }
  get callbacks(): TaskRequest['callbacks'] {
    return this.#task.content.callbacks;
  }
  get errbacks(): TaskRequest['errbacks'] {
    return this.#task.content.errbacks;
  }
  get chain(): TaskRequest['chain'] {
    return this.#task.content.chain;
  }
  get chord(): unknown {
    return this.#task.content.chord;
  }
  get stampedHeaders(): TaskRequest['stampedHeaders'] {
    return this.#task.header.stampedHeaders;
  }
  get stamps(): TaskRequest['stamps'] {
    return this.#task.header.stamps;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
