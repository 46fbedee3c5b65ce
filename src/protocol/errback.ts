/**
 * Error callbacks in the new style: called with the request that failed, its exception and its traceback, instead of its id.
 *
 * Celery calls the function of such a one where the task failed. Here it is sent like the others, with what JSON can carry of the three; owns
 * how they look on the way. The old style stays what it is for tasks that nobody has declared.
 */
import { isRecord } from '../std/is-record.ts';
import type { ExceptionDocument } from './exception.ts';
import { RemoteTaskError } from './remote-error.ts';
import type { TaskContent, TaskHeader } from './task-message.ts';

/** The task that failed. Names are those of the context. */
export interface FailedRequest {
  readonly id: string;
  readonly name: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  /** Retries it had had. */
  readonly retries: number;
  /** The node where it failed. */
  readonly hostname: string;
  readonly rootId: string;
  readonly parentId: string | null;
  readonly group: string | null;
  readonly groupIndex: number | null;
  readonly shadow: string | null;
  readonly origin: string | null;
  readonly stamps: Readonly<Record<string, unknown>>;
}

/** Which error callbacks are called so, and with what. */
export interface ErrbackCall {
  takesError(taskName: string): boolean;
  /** Their first arguments. Asked only when there is one. */
  args(): readonly unknown[];
}

export function errbackArgs(
  header: TaskHeader,
  content: TaskContent,
  failure: { readonly hostname: string; readonly exception: ExceptionDocument; readonly traceback: string | null },
): readonly unknown[] {
  const { id, task: name, retries, rootId, parentId, group, groupIndex, shadow, origin, stamps } = header;
  const { args, kwargs } = content;
  const { hostname, exception, traceback } = failure;
  const place = { rootId, parentId, group, groupIndex, shadow, origin, stamps };
  const request: FailedRequest = { id, name, args, kwargs, retries, hostname, ...place };
  return [request, exception, traceback];
}

/**
 * The arguments of a message as a new-style callback gets them. Called with an id alone, as everybody does who does not know it, it gets
 * a request that has nothing else, and no error.
 */
export function readErrbackArgs(args: readonly unknown[]): readonly unknown[] {
  const [request, exception, traceback, ...more] = args;
  if (typeof request === 'string') return [{ id: request }, null, null, ...args.slice(1)];
  if (!isRecord(request) || !isRecord(exception) || typeof exception.exc_type !== 'string') return args;
  const text = typeof traceback === 'string' ? traceback : null;
  const error = new RemoteTaskError({
    task_id: String(request.id),
    status: 'FAILURE',
    result: exception,
    traceback: text,
    children: [],
    date_done: null,
  });
  return [request, error, text, ...more];
}
