/**
 * The Logger every component gets: filters by level, gives each record its process name, formats it once and hands the line
 * to the sink.
 *
 * Owns the level and the destination of one process. Never decides about files, rotation or the end of the process: that is
 * the sink's.
 */

import { createFileSink } from './file-sink.ts';
import { createJsonFormat, createTextFormat, type LineFormat, type LogRecord } from './line-format.ts';
import { type LogFields, type Logger, type LogLevel, levelRank } from './logger.ts';
import type { LogSink } from './sink.ts';
import { createStderrSink } from './stderr-sink.ts';

export interface CreateLoggerParams {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Wish for colours; they are used on a terminal, in text, when NO_COLOR is not set. Default true. */
  readonly color?: boolean;
  /** `MainProcess`, `PoolChild-1`. */
  readonly processName: string;
  /** 'stderr' (default), a file to append to, or a destination of one's own. */
  readonly sink?: 'stderr' | { readonly path: string; readonly where?: string } | LogSink;
  /** Sees every record, written or not: for tests and for tracing. It makes `enabled` true for every level. */
  readonly trace?: (record: LogRecord) => void;
  readonly now?: () => number;
}

export interface VoiceParams {
  readonly processName?: string;
  /** 'task' for lines written by task code: `name[id]: message`. */
  readonly voice?: LogRecord['voice'];
}

/** A process's logger, with what its owner may do to it. */
export interface RootLogger extends Logger {
  /** The same destination and level under another process name, or in the voice of a task. */
  as(params: VoiceParams): Logger;
  readonly level: LogLevel;
  /** Takes effect for every logger made from this one. */
  setLevel(level: LogLevel): void;
  /** Open the file again, after it was moved away. */
  reopen(): void;
  flushSync(): void;
  close(): void;
}

/** Throws FILE_CANNOT_CREATE when the sink is a file that cannot be opened. */
export function createLogger(params: CreateLoggerParams): RootLogger {
  const now = params.now ?? Date.now;
  const lost: { format?: LineFormat } = {};
  const lostNotice = (lines: number, code: string): string =>
    lost.format?.({
      unixMs: now(),
      level: 'warning',
      processName: params.processName,
      event: 'log.lost',
      message: `${lines} log lines were lost because they could not be written (${code})`,
      fields: { lines, code },
      voice: 'worker',
    }) ?? '';
  const sink = openSink(params.sink ?? 'stderr', lostNotice);
  const colour = params.color !== false && sink.isTerminal && !process.env.NO_COLOR;
  const format = params.format === 'json' ? createJsonFormat() : createTextFormat(colour);
  lost.format = format;
  return new LevelLogger(new Outlet(params, sink, format, now), { processName: params.processName });
}

function openSink(sink: NonNullable<CreateLoggerParams['sink']>, lostNotice: (lines: number, code: string) => string): LogSink {
  if (sink === 'stderr') return createStderrSink(lostNotice);
  return 'path' in sink ? createFileSink({ ...sink, lostNotice }) : sink;
}

/** What all loggers of a process share. */
class Outlet {
  level: LogLevel;
  minimum: number;
  readonly sink: LogSink;
  readonly format: LineFormat;
  readonly trace: ((record: LogRecord) => void) | undefined;
  readonly now: () => number;

  constructor(params: CreateLoggerParams, sink: LogSink, format: LineFormat, now: () => number) {
    this.level = params.level;
    this.minimum = levelRank[params.level];
    this.sink = sink;
    this.format = format;
    this.trace = params.trace;
    this.now = now;
  }
}

class LevelLogger implements RootLogger {
  readonly #outlet: Outlet;
  readonly #processName: string;
  readonly #voice: LogRecord['voice'];

  constructor(outlet: Outlet, params: VoiceParams & { readonly processName: string }) {
    this.#outlet = outlet;
    this.#processName = params.processName;
    this.#voice = params.voice ?? 'worker';
  }

  enabled(level: LogLevel): boolean {
    return levelRank[level] >= this.#outlet.minimum || this.#outlet.trace !== undefined;
  }

  log(level: LogLevel, event: string, message: string, fields?: LogFields): void {
    const { minimum, trace, format, sink, now } = this.#outlet;
    const written = levelRank[level] >= minimum;
    if (!written && trace === undefined) return;
    const record: LogRecord = { unixMs: now(), level, processName: this.#processName, event, message, fields, voice: this.#voice };
    if (written) sink.write(format(record));
    trace?.(record);
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

  as(params: VoiceParams): Logger {
    return new LevelLogger(this.#outlet, { processName: this.#processName, voice: this.#voice, ...params });
  }

  get level(): LogLevel {
    return this.#outlet.level;
  }

  setLevel(level: LogLevel): void {
    this.#outlet.level = level;
    this.#outlet.minimum = levelRank[level];
  }

  reopen(): void {
    this.#outlet.sink.reopen();
  }

  flushSync(): void {
    this.#outlet.sink.flushSync();
  }

  close(): void {
    this.#outlet.sink.close();
  }
}
