/**
 * What one run may ask of its child: its signal, log lines, states of its own; and how its soft time limit gets to it.
 *
 * Owns the signal, which is made when it is asked for: most tasks never do.
 */
import { type SoftLimitMeta, stoppingReason } from '../ipc/exchange.ts';
import { encodeJson } from '../protocol/json.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { systemClock, type Timer } from '../std/clock.ts';
import type { Retry } from '../task/control-flow.ts';
import { Interruption } from '../task/interruption.ts';
import type { SoftTimeLimitExceeded } from '../task/soft-time-limit.ts';
import type { ContextHost, TaskLogLevel } from '../task/task-context.ts';
import { interruptNextAwait, letAwaitsBe } from './next-await.ts';
import type { PreparedTask } from './run-task.ts';

/** What the runtime does for the runs in it. */
export interface HostRuntime {
  taskLine(level: TaskLogLevel, text: string, taskName: string, taskId: string): void;
  storeState(id: number, task: PreparedTask, state: string, metaJson: string): Promise<void>;
  addToChord(groupId: string): Promise<void>;
  sendEvent(type: string, fields: Readonly<Record<string, unknown>>): Promise<void>;
  sendRetry(task: PreparedTask, retry: Retry): Promise<void>;
  /** The task cannot be told that its time is over, and nothing else would end it. */
  giveUp(id: number, error: SoftTimeLimitExceeded): void;
}

/** How long a task that cannot be told of its soft time limit is waited for when it has no hard one. */
const giveUpAfterMs = 1000;

export class JobHost implements ContextHost {
  readonly #runtime: HostRuntime;
  /** The job's. */
  readonly #id: number;
  readonly #task: PreparedTask;
  /** Made when the task first asks for its signal: most never do. */
  #controller: AbortController | null = null;
  #abortReason: string | null = null;
  #interruption: Interruption | null = null;
  #givingUp: Timer | undefined;

  constructor(runtime: HostRuntime, id: number, task: PreparedTask) {
    this.#runtime = runtime;
    this.#id = id;
    this.#task = task;
  }

  get signal(): AbortSignal {
    if (this.#controller !== null) return this.#controller.signal;
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    const soft = this.#interruption?.error ?? null;
    if (soft !== null) this.#interruption?.tellOnLook(signal);
    if (soft !== null || this.#abortReason !== null) this.#controller.abort(soft ?? new Error(this.#abortReason ?? ''));
    return signal;
  }

  get interruption(): Interruption {
    this.#interruption ??= new Interruption();
    return this.#interruption;
  }

  softLimit({ limitSeconds, alone }: SoftLimitMeta): void {
    const run = this.interruption;
    run.interrupt(limitSeconds, this.#controller);
    if (run.isDue) interruptNextAwait(run);
    if (!alone) return;
    const giveUp = (): void => {
      if (run.isDue && run.error !== null) this.#runtime.giveUp(this.#id, run.error);
    };
    this.#givingUp = systemClock.setTimer(giveUp, giveUpAfterMs, { ref: false });
  }

  tellAgain(): void {
    this.interruption.told = false;
    interruptNextAwait(this.interruption);
  }

  /** The run has ended. */
  over(): void {
    if (this.#interruption !== null) letAwaitsBe(this.#interruption);
    systemClock.clearTimer(this.#givingUp);
  }

  get interrupted(): boolean {
    return this.#abortReason === stoppingReason;
  }

  abort(reason: string): void {
    this.#abortReason = reason;
    this.#controller?.abort(new Error(reason));
  }

  log(level: TaskLogLevel, text: string): void {
    this.#runtime.taskLine(level, text, this.#task.header.task, this.#task.header.id);
  }

  async updateState(state: string, meta: unknown): Promise<void> {
    await this.#runtime.storeState(this.#id, this.#task, state, encodeJson(meta));
  }

  sendRetry(retry: Retry): Promise<void> {
    return this.#runtime.sendRetry(this.#task, retry);
  }

  addToChord(groupId: string): Promise<void> {
    return this.#runtime.addToChord(groupId);
  }

  sendEvent(type: string, fields: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#runtime.sendEvent(type, fields);
  }

  addTrail(result: ResultTuple): void {
    this.#task.trail ??= [];
    this.#task.trail.push(result);
  }
}
