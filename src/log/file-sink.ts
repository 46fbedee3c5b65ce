/**
 * Log text to a file that others may rotate.
 *
 * Owns the descriptor (O_APPEND, so several processes and copytruncate are safe). Notices within a quarter of a second of
 * writing that the file was moved or deleted, and opens the name again; while that fails it keeps writing to the old file.
 */

import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';
import type { LogSink } from './sink.ts';
import { WriteBuffer } from './write-buffer.ts';

const checkMs = 250;

export interface FileSinkParams {
  readonly path: string;
  /** Who asked for the file, for the error: `--logfile`, `worker.logfile (umbel.toml:4)`. */
  readonly where?: string;
  readonly lostNotice: (lines: number, code: string) => string;
  /** Milliseconds that never go back; a test passes its own. */
  readonly monotonic?: () => number;
}

/** Throws FILE_CANNOT_CREATE when the file cannot be opened for appending. */
export function createFileSink(params: FileSinkParams): LogSink {
  // Absolute, because the process may change its folder before the file is rotated.
  const path = resolve(params.path);
  const monotonic = params.monotonic ?? (() => performance.now());
  let fd = open(path, params.where);
  let { dev, ino } = fstatSync(fd);
  let checkedAtMs = monotonic();

  function reopen(): void {
    try {
      const fresh = openSync(path, 'a', 0o644);
      closeSync(fd);
      fd = fresh;
      ({ dev, ino } = fstatSync(fd));
    } catch {
      // The folder is gone or full: the old file is still open and keeps the lines.
    }
  }

  function currentFd(): number {
    const nowMs = monotonic();
    if (nowMs - checkedAtMs >= checkMs) {
      checkedAtMs = nowMs;
      const onDisk = statSync(path, { throwIfNoEntry: false });
      if (onDisk === undefined || onDisk.ino !== ino || onDisk.dev !== dev) reopen();
    }
    return fd;
  }

  const buffer = new WriteBuffer({ fd: currentFd, lostNotice: params.lostNotice });
  const onExit = (): void => buffer.drainSync();
  process.on('exit', onExit);
  let closed = false;
  return {
    isTerminal: false,
    write: (lines) => buffer.write(lines),
    flushSync: () => buffer.drainSync(),
    reopen() {
      buffer.flush();
      if (!closed) reopen();
    },
    close() {
      if (closed) return;
      closed = true;
      process.off('exit', onExit);
      buffer.close();
      closeSync(fd);
    },
  };
}

function open(path: string, where: string | undefined): number {
  try {
    return openSync(path, 'a', 0o644);
  } catch (error) {
    const place = where === undefined ? '' : ` (${where})`;
    throw new UmbelError('FILE_CANNOT_CREATE', `the log file must be writable, got ${path}${place}: ${messageOf(error)}`, { cause: error });
  }
}
