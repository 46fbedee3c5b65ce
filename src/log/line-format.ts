/**
 * One log record as the text of its line: Celery's default format, or one JSON object.
 *
 * Pure, apart from remembering the last second it has written out, because formatting a date is the dearest part of a line.
 */

import { taskLabel } from '../std/task-label.ts';
import type { LogFields, LogLevel } from './logger.ts';

export interface LogRecord {
  readonly unixMs: number;
  readonly level: LogLevel;
  /** `MainProcess`, `PoolChild-1`. */
  readonly processName: string;
  readonly event: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
  /** 'task': written by task code, so its line names the task, where it is one's, as Celery's task logger does. */
  readonly voice: 'worker' | 'task';
}

/** The text of the line, newline included. */
export type LineFormat = (record: LogRecord) => string;

const colours: Readonly<Record<LogLevel, string>> = { debug: '34', info: '', warning: '33', error: '31', critical: '35' };

/** `[2026-11-20 08:25:14,575: INFO/MainProcess] message`; a traceback follows on the next lines. */
export function createTextFormat(colour: boolean): LineFormat {
  const localTime = createLocalTime();
  return (record) => {
    const fields = record.fields;
    let message = record.message;
    // What a module prints while it loads is no task's: such a line is that of the process, as Celery's redirected output is.
    if (record.voice === 'task' && fields?.taskId !== undefined)
      message = `${taskLabel(fields.taskName ?? '???', fields.taskId)}: ${message}`;
    const code = colour ? colours[record.level] : '';
    if (code !== '') message = `\x1b[1;${code}m${message}\x1b[0m`;
    const line = `[${localTime(record.unixMs)}: ${record.level.toUpperCase()}/${record.processName}] ${message}\n`;
    const traceback = fields?.traceback;
    return traceback === undefined || traceback === '' ? line : `${line}${traceback.trimEnd()}\n`;
  };
}

/** Members a record always has; a field of the same name is written with an underscore in front. */
const ownMembers: ReadonlySet<string> = new Set(['ts', 'level', 'process', 'event', 'message']);

/** One JSON object per line: ts, level, process, event, message, then the fields. */
export function createJsonFormat(): LineFormat {
  return (record) => {
    const line: Record<string, unknown> = {
      ts: new Date(record.unixMs).toISOString(),
      level: record.level,
      process: record.processName,
      event: record.event,
      message: record.message,
    };
    const fields = record.fields;
    if (fields !== undefined) {
      for (const key of Object.keys(fields)) {
        const value = fields[key];
        line[ownMembers.has(key) ? `_${key}` : key] = value instanceof Error ? (value.stack ?? String(value)) : value;
      }
    }
    return `${toJson(line)}\n`;
  };
}

/** JSON of anything: what JSON has no form for is written as text, so that no field can cost the line. */
function toJson(line: Record<string, unknown>): string {
  try {
    return JSON.stringify(line);
  } catch {
    return toJsonAtAnyCost(line);
  }
}

function toJsonAtAnyCost(line: Record<string, unknown>): string {
  const open: unknown[] = [];
  try {
    return JSON.stringify(line, function (this: unknown, key: string, value: unknown) {
      if (typeof value === 'bigint') return value.toString();
      if (value instanceof Error) return value.stack ?? String(value);
      if (typeof value === 'function' || typeof value === 'symbol') return String(value);
      if (typeof value !== 'object' || value === null) return value;
      // `this` holds the key: whatever is above it in the stack is the path to here.
      while (open.length > 0 && key !== '' && open.at(-1) !== this) open.pop();
      if (open.includes(value)) return '[circular]';
      open.push(value);
      return value;
    });
  } catch (error) {
    const { ts, level, process, event, message } = line;
    return JSON.stringify({ ts, level, process, event, message, unwritable: String(error) });
  }
}

/** Celery's asctime in local time: `2026-11-20 08:25:14,575`. */
function createLocalTime(): (unixMs: number) => string {
  let lastSecond = Number.NaN;
  let lastText = '';
  return (unixMs) => {
    const second = Math.floor(unixMs / 1000);
    if (second !== lastSecond) {
      const date = new Date(second * 1000);
      lastSecond = second;
      lastText =
        `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ` +
        `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
    }
    return `${lastText},${String(Math.floor(unixMs) - second * 1000).padStart(3, '0')}`;
  };
}

function pad(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
