/**
 * Result documents: what is stored for a task, and how its text is put together.
 *
 * The return value arrives here already encoded by the child (`resultJson`); the parent joins texts and never parses it.
 * Source: protocol notes, results.md §1-§3.
 */

export const readyStates: ReadonlySet<string> = new Set(['SUCCESS', 'FAILURE', 'REVOKED']);
/** States whose `get()` raises. */
export const propagateStates: ReadonlySet<string> = new Set(['FAILURE', 'REVOKED']);

/** Exception as JSON (results.md §3). */
export interface ExceptionDocument {
  readonly exc_type: string;
  readonly exc_message: readonly unknown[];
  readonly exc_module: string;
}

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
