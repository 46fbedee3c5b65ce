/**
 * Result documents: what is stored for a task, and how its text is put together.
 *
 * The return value arrives here already encoded by the child (`resultJson`); the parent joins texts and never parses it.
 * Source: protocol notes, results.md §1-§3. Exceptions have their own file, exception.ts.
 */
import { messageOf, UmbelError } from '../errors.ts';
import { formatIsoTime } from './iso-time.ts';
import { parseJsonContent } from './type-envelope.ts';

export const readyStates: ReadonlySet<string> = new Set(['SUCCESS', 'FAILURE', 'REVOKED']);
/** States whose `get()` raises. */
export const propagateStates: ReadonlySet<string> = new Set(['FAILURE', 'REVOKED']);

/** One state of one task, ready to be written. */
export interface ResultRecord {
  readonly taskId: string;
  /** PENDING … SUCCESS, or a custom state. */
  readonly status: string;
  /** JSON text of the value, exception document or meta. */
  readonly resultJson: string;
  readonly traceback: string | null;
  /** JSON text of the children's tuples; 'null' when there was no request. */
  readonly childrenJson: string;
  /** Unix ms; null unless the state is ready. */
  readonly dateDoneMs: number | null;
  readonly groupId: string | null;
  readonly parentId: string | null;
  /** Where the sender of the task waits for it; used by rpc:// alone. */
  readonly replyTo?: string;
  /** With result_extended only. */
  readonly extended?: {
    readonly name: string | null;
    readonly argsJson: string;
    readonly kwargsJson: string;
    readonly worker: string | null;
    readonly retries: number | null;
    readonly queue: string | null;
  };
}

/** A document as read back; unknown keys are kept. */
export interface ResultDocument {
  readonly status: string;
  readonly result: unknown;
  readonly traceback: string | null;
  readonly children: unknown;
  readonly date_done: string | null;
  readonly task_id: string;
  readonly [key: string]: unknown;
}

/** The text to store, in Celery's key order. */
export function encodeResultDocument(record: ResultRecord): string {
  const { extended } = record;
  let middle = '';
  if (record.groupId !== null) middle += `,"group_id":${JSON.stringify(record.groupId)}`;
  if (record.parentId !== null) middle += `,"parent_id":${JSON.stringify(record.parentId)}`;
  if (extended !== undefined) {
    middle +=
      `,"name":${JSON.stringify(extended.name)},"args":${extended.argsJson},"kwargs":${extended.kwargsJson}` +
      `,"worker":${JSON.stringify(extended.worker)},"retries":${extended.retries},"queue":${JSON.stringify(extended.queue)}`;
  }
  return (
    `{"status":${JSON.stringify(record.status)},"result":${record.resultJson}` +
    `,"traceback":${record.traceback === null ? 'null' : JSON.stringify(record.traceback)}` +
    `,"children":${record.childrenJson}` +
    `,"date_done":${record.dateDoneMs === null ? 'null' : `"${formatIsoTime(record.dateDoneMs)}"`}` +
    `${middle},"task_id":${JSON.stringify(record.taskId)}}`
  );
}

/** The shorter text that rpc:// sends. Source: results.md §5. */
export function encodeRpcResult(record: ResultRecord): string {
  return (
    `{"task_id":${JSON.stringify(record.taskId)},"status":${JSON.stringify(record.status)},"result":${record.resultJson}` +
    `,"traceback":${record.traceback === null ? 'null' : JSON.stringify(record.traceback)},"children":${record.childrenJson}}`
  );
}

/** A stored document. Absent keys become null, `status` and `task_id` must be there. Throws MESSAGE_UNDECODABLE. */
export function decodeResultDocument(text: string): ResultDocument {
  let document: unknown;
  try {
    document = parseJsonContent(text);
  } catch (error) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a result document must be JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a result document must be an object, got ${text.slice(0, 100)}`);
  }
  const fields = document as Record<string, unknown>;
  const { status, task_id } = fields;
  if (typeof status !== 'string' || typeof task_id !== 'string') {
    throw new UmbelError('MESSAGE_UNDECODABLE', `a result document must have status and task_id, got ${text.slice(0, 100)}`);
  }
  return {
    ...fields,
    status,
    task_id,
    result: fields.result ?? null,
    traceback: typeof fields.traceback === 'string' ? fields.traceback : null,
    children: fields.children ?? null,
    date_done: typeof fields.date_done === 'string' ? fields.date_done : null,
  };
}
