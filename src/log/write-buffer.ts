/**
 * Lines on their way to a file descriptor: the first of an event-loop turn is written at once, the others together when the
 * turn ends, so a quiet worker logs without delay and a busy one with one system call per turn.
 *
 * Owns the waiting text and the timer that retries. When the descriptor takes nothing (full disk, stalled reader, closed
 * pipe) text waits up to a bound; beyond it whole lines are dropped and counted. Never throws, never blocks on a non-blocking
 * descriptor, never writes half a line and forgets the rest.
 */

import { writeSync } from 'node:fs';

/** Text of a turn beyond this is written before the turn ends. */
const turnBytes = 64 * 1024;
/** What may wait for a descriptor that takes nothing. */
const waitingCharacters = 4 * 1024 * 1024;
const retryMs = 50;
/** How long `drainSync` waits for a slow reader when the process ends. */
const drainMs = 250;

export interface WriteBufferParams {
  /** Called before each write; the place to notice that a file was rotated. */
  readonly fd: () => number;
  /** The line that reports lost lines, newline included. */
  readonly lostNotice: (lines: number, code: string) => string;
}

export class WriteBuffer {
  readonly #params: WriteBufferParams;
  #waiting: string[] = [];
  #waitingLength = 0;
  /** The rest of a batch that was written in part; goes first. */
  #rest: Buffer | undefined;
  #lost = 0;
  #lostCode = '';
  /** A turn is open: its first line is out, the others wait for its end. */
  #turn: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(params: WriteBufferParams) {
    this.#params = params;
  }

  write(lines: string): void {
    if (this.#closed) return;
    if (this.#retry !== undefined && this.#waitingLength + lines.length > waitingCharacters) {
      this.#lost += countLines(lines);
      return;
    }
    this.#waiting.push(lines);
    this.#waitingLength += lines.length;
    if (this.#retry !== undefined) return;
    if (this.#turn === undefined) {
      this.#turn = setImmediate(this.#endTurn);
      this.#turn.unref();
      this.flush();
    } else if (this.#waitingLength > turnBytes) {
      this.flush();
    }
  }

  readonly #endTurn = (): void => {
    this.#turn = undefined;
    this.flush();
  };

  /** Hand over what is waiting. true when nothing is left. */
  flush(): boolean {
    if (this.#rest === undefined && this.#waitingLength === 0 && this.#lost === 0) return true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    try {
      if (this.#rest !== undefined && !this.#put(this.#rest)) return false;
      if (this.#lost > 0 && this.#waitingLength === 0) {
        const notice = Buffer.from(this.#params.lostNotice(this.#lost, this.#lostCode));
        this.#lost = 0;
        if (!this.#put(notice)) return false;
      }
      while (this.#waitingLength > 0) {
        const batch = this.#waiting.length === 1 ? (this.#waiting[0] ?? '') : this.#waiting.join('');
        this.#waiting = [];
        this.#waitingLength = 0;
        const notice = this.#lost > 0 ? this.#params.lostNotice(this.#lost, this.#lostCode) : '';
        this.#lost = 0;
        if (!this.#put(Buffer.from(batch + notice))) return false;
      }
      return true;
    } catch (error) {
      this.#failed(codeOf(error));
      return false;
    }
  }

  /** Flush with a little patience for a slow reader; for the end of the process. */
  drainSync(): void {
    const deadlineMs = performance.now() + drainMs;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (!this.flush() && this.#rest !== undefined && performance.now() < deadlineMs) Atomics.wait(pause, 0, 0, 5);
  }

  close(): void {
    if (this.#closed) return;
    this.drainSync();
    this.#closed = true;
    clearImmediate(this.#turn);
    clearTimeout(this.#retry);
  }

  /** Write all of it, keeping the rest when the descriptor is full. Throws for every other problem, with the rest kept. */
  #put(bytes: Buffer): boolean {
    this.#rest = bytes;
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#params.fd(), bytes, done);
      } catch (error) {
        const code = codeOf(error);
        this.#rest = bytes.subarray(done);
        if (code !== 'EAGAIN' && code !== 'EINTR') throw error;
        this.#retryLater(code);
        return false;
      }
    }
    this.#rest = undefined;
    return true;
  }

  /** The destination refuses. A reader that has gone will not come back, so nothing is kept for it. */
  #failed(code: string): void {
    this.#retryLater(code);
    if (code !== 'EPIPE' && code !== 'EBADF' && code !== 'EIO') return;
    this.#rest = undefined;
    this.#waiting = [];
    this.#waitingLength = 0;
  }

  #retryLater(code: string): void {
    this.#lostCode = code;
    if (this.#closed || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.flush();
    }, retryMs);
    this.#retry.unref();
  }
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}
