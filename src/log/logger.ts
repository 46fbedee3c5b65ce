/**
 * The logging contract every component takes. One call is one line and one typed trace event.
 *
 * `event` is a stable dotted name ('task.succeeded', 'worker.ready'): it is the `event` member of a JSON log line, and what
 * tests and operators wait for. `message` is for people. Levels are Celery's.
 */

import { type LogLevel, levelRank } from '../std/log-level.ts';

export { type LogLevel, levelRank };

/** Data of one line. `taskId` and `taskName` go on every line about a task; `traceback` is printed below the line. */
export interface LogFields {
  readonly taskId?: string;
  readonly taskName?: string;
  readonly traceback?: string;
  readonly [key: string]: unknown;
}

export interface Logger {
  /** Is a line of this level written anywhere? Lets callers skip building expensive text. */
  enabled(level: LogLevel): boolean;
  log(level: LogLevel, event: string, message: string, fields?: LogFields): void;
  debug(event: string, message: string, fields?: LogFields): void;
  info(event: string, message: string, fields?: LogFields): void;
  warning(event: string, message: string, fields?: LogFields): void;
  error(event: string, message: string, fields?: LogFields): void;
  critical(event: string, message: string, fields?: LogFields): void;
}
