/**
 * Log text to standard error.
 *
 * A reader that stalls must not stop the worker, so the descriptor is made non-blocking: a pipe or terminal by opening it
 * once more (the one we inherited is shared with others), a socket, which cannot be opened again, in place.
 */

import { constants, fstatSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { LogSink } from './sink.ts';
import { WriteBuffer } from './write-buffer.ts';

const stderrFd = 2;

export function createStderrSink(lostNotice: (lines: number, code: string) => string): LogSink {
  const fd = nonBlockingStderr();
  const buffer = new WriteBuffer({ fd: () => fd, lostNotice });
  if (open.size === 0) process.on('exit', drainAll);
  open.add(buffer);
  return {
    isTerminal: isatty(stderrFd),
    write: (lines) => buffer.write(lines),
    flushSync: () => buffer.drainSync(),
    reopen() {},
    close() {
      open.delete(buffer);
      if (open.size === 0) process.off('exit', drainAll);
      buffer.close();
    },
  };
}

/** Of every logger not closed yet: a program may make many clients. */
const open = new Set<WriteBuffer>();

function drainAll(): void {
  for (const buffer of open) buffer.drainSync();
}

/** The same stream through a descriptor of ours; kept for the life of the process. */
let ownFd: number | undefined;

function nonBlockingStderr(): number {
  if (ownFd !== undefined) return ownFd;
  ownFd = stderrFd;
  try {
    const kind = fstatSync(stderrFd);
    if (kind.isFIFO() || isatty(stderrFd)) {
      ownFd = openSync(`/proc/self/fd/${stderrFd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } else if (kind.isSocket()) {
      void process.stderr; // Node makes a socket non-blocking when it builds this stream.
    }
  } catch {
    // Closed, or not to be opened again (a pipe of another user): Node's stream makes a pipe non-blocking in place.
    void process.stderr;
  }
  return ownFd;
}
