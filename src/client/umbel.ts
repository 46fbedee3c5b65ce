/**
 * The public face of the npm package: what `import … from 'umbel'` gives to a program that calls tasks. Inside a worker the same
 * name gives the embedded copy (child/embed-api.ts).
 */
import { ControlClient } from '../control/control-client.ts';
import { createLogger } from '../log/create-logger.ts';
import type { Logger } from '../log/logger.ts';
import { QueueTable } from '../producer/queue-table.ts';
import { loadTaskModules } from '../task/loader.ts';
import { type AppOptions, checkAppOptions, queuesOf, routersOf } from './app-options.ts';
import { Client } from './client.ts';
import { openConnections } from './connections.ts';
import type { EventSource } from './event-receiver.ts';

export type { BroadcastOptions, ControlClient } from '../control/control-client.ts';
export { UmbelError } from '../errors.ts';
export type { ReceivedEvent } from '../event/receiver.ts';
export { State, type StateParams } from '../event/state.ts';
export type { TaskState } from '../event/task-state.ts';
export type { WorkerState } from '../event/worker-state.ts';
export type { TaskQueue } from '../producer/queue-table.ts';
export type { RouteOptions, RouterFunction, TaskToRoute } from '../producer/router.ts';
export type { ControlReply } from '../protocol/control-message.ts';
export type { FailedRequest } from '../protocol/errback.ts';
export { RemoteTaskError } from '../protocol/remote-error.ts';
export type { AnyResult, AsyncResult, GetOptions, GroupResult } from '../task/async-result.ts';
export type { CallOptions } from '../task/call-options.ts';
export { Ignore, MaxRetriesExceededError, Reject, Replaced, Retry } from '../task/control-flow.ts';
export { type ControlCommandOptions, controlCommand, inspectCommand } from '../task/control-module.ts';
export type { ErrorMatcher } from '../task/error-matcher.ts';
export { onWorkerProcessInit, onWorkerProcessShutdown, type ProcessHook, type WorkerProcess } from '../task/process-hooks.ts';
export { type Rdb, rdb } from '../task/rdb.ts';
export { Signature } from '../task/signature.ts';
export { SoftTimeLimitExceeded } from '../task/soft-time-limit.ts';
export { type Task, type TaskHandle, task, taskHandle } from '../task/task.ts';
export { currentTask, type DeliveryInfo, type RetryOptions, TaskContext } from '../task/task-context.ts';
export type { ErrorInfo } from '../task/task-handlers.ts';
export type { ErrbackStyle, RetryKwargs, TaskOptions } from '../task/task-options.ts';
export { chain, chord, chunks, group, signature, xmap, xstarmap } from '../task/workflow.ts';
export type { AppOptions, AppRouter } from './app-options.ts';
export { type EventHandlers, EventReceiver, type EventReceiverOptions } from './event-receiver.ts';

/** A connection to the broker and the results. `start` it before the first call, `stop` it at the end. */
export class App extends Client implements EventSource {
  readonly eventExchange: string;
  readonly controlExchange: string;
  /** Remote control of the workers: `broadcast` waits for replies, `cast` does not. */
  readonly control: ControlClient;
  readonly log: Logger;
  readonly #tasks: readonly string[];
  #loaded: Promise<unknown> | null = null;

  /** Throws TASK_OPTION_INVALID, and what is wrong with a URL. */
  constructor(options: AppOptions = {}) {
    checkAppOptions(options);
    const queues = queuesOf(options);
    const routers = routersOf(options);
    const log = createLogger({ level: 'warning', format: 'text', processName: 'umbel' });
    const connections = openConnections({
      brokerUrl: options.broker ?? null,
      backendUrl: options.backend ?? null,
      env: process.env,
      workdir: process.cwd(),
      synchronous: 'normal',
      busyTimeoutMs: 5000,
      leaseMs: 30_000,
      resultExpiresMs: 86_400_000,
      log,
    });
    super({
      ...connections,
      routing: {
        queues: new QueueTable({
          queues,
          defaultQueue: { name: options.defaultQueue ?? 'celery' },
          createMissing: true,
        }),
        routers,
      },
      taskProtocol: 2,
      sentEvents: options.sendSentEvent === true ? { exchange: options.eventExchange ?? 'celeryev', log } : null,
    });
    this.eventExchange = options.eventExchange ?? 'celeryev';
    this.controlExchange = options.controlExchange ?? 'celery';
    this.control = new ControlClient({ broker: this.broker, namespace: this.controlExchange, log });
    this.log = log;
    this.#tasks = options.tasks ?? [];
  }

  override async stop(): Promise<void> {
    try {
      await this.control.stop();
    } finally {
      await super.stop();
    }
  }

  /** Awaited before the first call of a task without a name of its own: loading its module names it. */
  async loadTasks(): Promise<void> {
    this.#loaded ??= loadTaskModules(this.#tasks, process.cwd());
    await this.#loaded;
  }
}
