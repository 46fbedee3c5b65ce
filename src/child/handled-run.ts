/**
 * A run of a task that has handlers: Celery's order, with what each is told.
 *
 * beforeStart → the function → onSuccess, onFailure or onRetry → afterReturn (not after a retry). What beforeStart throws is what the task throws;
 * the others come when the end is settled, and what they throw is logged and changes nothing. The end leaves this process after them.
 */
import { Retry } from '../task/control-flow.ts';
import type { TaskContext } from '../task/task-context.ts';
import type { ErrorInfo, TaskHandlers } from '../task/task-handlers.ts';
import type { TaskEnd } from './run-task.ts';
import { tracebackOf } from './traceback.ts';

export interface HandledRun {
  readonly handlers: TaskHandlers;
  readonly context: TaskContext;
  /** Run the function. */
  call(): Promise<unknown>;
  /** What counts as thrown by the function that threw this. */
  thrown(thrown: unknown): unknown;
  succeed(value: unknown): TaskEnd;
  fail(thrown: unknown): TaskEnd;
}

/** Never rejects. */
export async function runHandled(run: HandledRun): Promise<TaskEnd> {
  const { handlers, context } = run;
  const { id, args, kwargs } = context;
  const guarded = async (name: keyof TaskHandlers, handler: () => unknown): Promise<void> => {
    try {
      await handler();
    } catch (error) {
      context.log.error(`its handler ${name} failed, which changes nothing of how it ended: ${tracebackOf(error).trimEnd()}`);
    }
  };
  const { end, value, exception } = await endOf(run);
  if (end.kind === 'succeeded') {
    await guarded('onSuccess', () => handlers.onSuccess?.(value, id, args, kwargs));
    await guarded('afterReturn', () => handlers.afterReturn?.('SUCCESS', value, id, args, kwargs, null));
  } else if (end.meta.kind === 'retried') {
    const cause = exception instanceof Retry ? (exception.exc ?? null) : exception;
    await guarded('onRetry', () => handlers.onRetry?.(cause, id, args, kwargs, infoOf(cause ?? exception)));
  } else if (end.meta.kind === 'failed') {
    const info = infoOf(exception);
    await guarded('onFailure', () => handlers.onFailure?.(exception, id, args, kwargs, info));
    await guarded('afterReturn', () => handlers.afterReturn?.('FAILURE', exception, id, args, kwargs, info));
  }
  return end;
}

interface Ended {
  readonly end: TaskEnd;
  readonly value: unknown;
  readonly exception: unknown;
}

async function endOf(run: HandledRun): Promise<Ended> {
  const { id, args, kwargs } = run.context;
  try {
    await run.handlers.beforeStart?.(id, args, kwargs);
  } catch (exception) {
    return { end: run.fail(exception), value: null, exception };
  }
  try {
    const value = (await run.call()) ?? null;
    const end = run.succeed(value);
    // It was no result, or nothing could follow from it: the error has become text by now.
    return { end, value, exception: end.kind === 'succeeded' ? null : new Error(end.meta.text) };
  } catch (error) {
    const exception = run.thrown(error);
    return { end: run.fail(exception), value: null, exception };
  }
}

function infoOf(exception: unknown): ErrorInfo {
  return { exception, traceback: tracebackOf(exception) };
}
