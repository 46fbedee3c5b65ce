/** The handlers a task may have beside its function. Names, arguments and their order are Celery's. */
import type { Kwargs } from './call-options.ts';

/** How a run ended that did not succeed. */
export interface ErrorInfo {
  readonly exception: unknown;
  readonly traceback: string;
}

type Args = readonly unknown[];

/** They may be async: the task ends after them. What they return is not looked at. */
export interface TaskHandlers {
  /** Before the function. What it throws is what the task throws. */
  readonly beforeStart?: ((taskId: string, args: Args, kwargs: Kwargs) => unknown) | undefined;
  readonly onSuccess?: ((result: unknown, taskId: string, args: Args, kwargs: Kwargs) => unknown) | undefined;
  readonly onFailure?: ((exc: unknown, taskId: string, args: Args, kwargs: Kwargs, info: ErrorInfo) => unknown) | undefined;
  readonly onRetry?: ((exc: unknown, taskId: string, args: Args, kwargs: Kwargs, info: ErrorInfo) => unknown) | undefined;
  /** After onSuccess or onFailure; not after a retry. */
  readonly afterReturn?:
    | ((state: 'SUCCESS' | 'FAILURE', value: unknown, taskId: string, args: Args, kwargs: Kwargs, info: ErrorInfo | null) => unknown)
    | undefined;
}

export const handlerNames = ['beforeStart', 'onSuccess', 'onFailure', 'onRetry', 'afterReturn'] as const;
