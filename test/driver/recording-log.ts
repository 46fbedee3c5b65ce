/** A logger for tests: keeps what it is told, and lets a test wait for an event. */
import type { LogFields, Logger, LogLevel } from '../../src/log/logger.ts';
import { inGoodTime } from '../in-good-time.ts';

export interface RecordedLine {
  readonly level: LogLevel;
  readonly event: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

export class RecordingLog implements Logger {
  readonly lines: RecordedLine[] = [];
  readonly #waiting: { readonly event: string; resolve(line: RecordedLine): void }[] = [];

  /** The first line with this event name, past or future. */
  event(event: string): Promise<RecordedLine> {
    const line = this.lines.find((candidate) => candidate.event === event);
    if (line !== undefined) return Promise.resolve(line);
    const logged = inGoodTime(
      new Promise<RecordedLine>((resolve) => this.#waiting.push({ event, resolve })),
      () => `${event} must be logged, got ${this.lines.map((one) => one.event).join(', ')}`,
    );
    // A test may look away from one that is not to come.
    logged.catch(() => {});
    return logged;
  }

  enabled(): boolean {
    return true;
  }

  log(level: LogLevel, event: string, message: string, fields?: LogFields): void {
    const line = { level, event, message, fields };
    this.lines.push(line);
    for (const waiting of this.#waiting) if (waiting.event === event) waiting.resolve(line);
  }

  debug(event: string, message: string, fields?: LogFields): void {
    this.log('debug', event, message, fields);
  }

  info(event: string, message: string, fields?: LogFields): void {
    this.log('info', event, message, fields);
  }

  warning(event: string, message: string, fields?: LogFields): void {
    this.log('warning', event, message, fields);
  }

  error(event: string, message: string, fields?: LogFields): void {
    this.log('error', event, message, fields);
  }

  critical(event: string, message: string, fields?: LogFields): void {
    this.log('critical', event, message, fields);
  }
}
