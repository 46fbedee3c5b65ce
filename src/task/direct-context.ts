/**
 * The context of a bound task that is called as a plain function: in a unit test, a script, or from another task.
 *
 * There is no message and no worker: lines go to the console, states have no task id to be stored under and go nowhere, and
 * `retry()` throws its cause, as in Celery. Called inside a running task, it shares that task's abort signal.
 */
import { type ContextHost, TaskContext, type TaskLogLevel, type TaskRequest } from './task-context.ts';

class DirectContext extends TaskContext {
  override get calledDirectly(): boolean {
    return true;
  }
}

class ConsoleHost implements ContextHost {
  readonly #taskName: string;
  readonly #outer: TaskContext | undefined;

  constructor(taskName: string, outer: TaskContext | undefined) {
    this.#taskName = taskName;
    this.#outer = outer;
  }

  get signal(): AbortSignal {
    return this.#outer?.signal ?? neverAborted;
  }

  get interrupted(): boolean {
    return this.#outer?.interrupted ?? false;
  }

  log(level: TaskLogLevel, text: string): void {
    const write = { debug: console.debug, info: console.info, warning: console.warn, error: console.error }[level];
    write(`${this.#taskName}[???]: ${text}`);
  }

  async updateState(): Promise<void> {}

  async sendRetry(): Promise<void> {}

  async addToChord(): Promise<void> {}

  async sendEvent(): Promise<void> {}

  addTrail(): void {}
}

const neverAborted = new AbortController().signal;

export function directContext(taskName: string, args: readonly unknown[], outer: TaskContext | undefined): TaskContext {
  const request: TaskRequest = {
    id: '',
    name: taskName,
    args,
    kwargs: {},
    retries: 0,
    hostname: '',
    deliveryInfo: { exchange: '', routingKey: '', priority: null, redelivered: null },
    rootId: '',
    parentId: null,
    group: null,
    groupIndex: null,
    correlationId: null,
    replyTo: null,
    retryUntilMs: null,
    eta: null,
    expires: null,
    timelimit: [null, null],
    origin: null,
    shadow: null,
    headers: {},
    ignoreResult: false,
    callbacks: null,
    errbacks: null,
    chain: null,
    chord: null,
    stampedHeaders: null,
    stamps: {},
  };
  return new DirectContext(request, { maxRetries: null, defaultRetryDelay: 0, retryFor: null }, new ConsoleHost(taskName, outer));
}
