/**
 * The child's end of the two pipes to its parent.
 *
 * fd 3 is read asynchronously, frame by frame; its end means that the parent is gone. fd 4 is written synchronously, so that
 * what has been said is in the kernel before task code can crash or block the process. Frames collect until `flush`.
 *
 * A parent that stands still does not read, and a write then waits for it. `sendBefore` is for what must not be said after that.
 */
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { type FrameHandler, FrameReader, FrameWriter } from '../ipc/frame.ts';
import { systemClock } from '../std/clock.ts';

const readFd = 3;
const writeFd = 4;
/** Nothing is ever written on it; its hang-up is the parent's death. */
export const lifelineFd = 5;
/** Unflushed bytes above which a frame is not left waiting for others. */
const flushAboveBytes = 256 * 1024;

export class ChildPipe {
  readonly #writer = new FrameWriter();
  readonly #input: Socket;
  /** Only there to make the descriptor non-blocking: a write that waits inside the kernel could not be given up. */
  readonly #output: Socket;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  #flushScheduled = false;

  constructor(params: { onFrame: FrameHandler; onEnd(): void }) {
    const reader = new FrameReader(params.onFrame);
    this.#input = new Socket({ fd: readFd, readable: true, writable: false });
    this.#output = new Socket({ fd: writeFd, readable: false, writable: true });
    this.#output.unref();
    this.#output.on('error', () => {});
    this.#input.on('data', (chunk: Buffer) => reader.push(chunk));
    this.#input.once('end', () => params.onEnd());
    this.#input.once('error', () => params.onEnd());
  }

  /** Add a frame; it goes out with the next `flush`, at the latest at the end of this turn. */
  send(type: number, id: number, number: number, meta: string, payload: string | Uint8Array | null): void {
    this.#writer.add(type, id, number, meta, payload);
    if (this.#writer.pendingBytes > flushAboveBytes) this.flush();
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.flush();
      });
    }
  }

  /** Everything added is with the kernel when this returns. */
  flush(): void {
    this.#writer.drainSync((bytes) => this.#writeAll(bytes));
  }

  /** A frame without meta, and all before it, is with the kernel when this returns true; false: not before then, so it was not sent. */
  sendBefore(type: number, id: number, number: number, beforeMs: number): boolean {
    if (systemClock.monotonic() >= beforeMs) return false;
    const frameAt = this.#writer.pendingBytes;
    this.#writer.add(type, id, number, '', null);
    let sent = true;
    this.#writer.drainSync((bytes) => {
      sent = this.#writeAll(bytes, frameAt, beforeMs);
    });
    return sent;
  }

  /** Whether the pipe alone keeps this process alive. */
  hold(hold: boolean): void {
    if (hold) this.#input.ref();
    else this.#input.unref();
  }

  /** Stop reading, so that the process can end by itself. */
  close(): void {
    this.flush();
    this.#input.destroy();
  }

  /** Having waited until `beforeMs`, what begins at `lastAt` is left out. */
  #writeAll(bytes: Buffer, lastAt = bytes.length, beforeMs = Number.POSITIVE_INFINITY): boolean {
    let written = 0;
    let endAt = bytes.length;
    while (written < endAt) {
      try {
        written += writeSync(writeFd, bytes, written, endAt - written);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EPIPE' || code === 'EBADF') process.exit(1);
        if (code !== 'EAGAIN') throw error;
        // The parent is busy: wait for it, there is nothing better to do. Anything else means that it is gone.
        Atomics.wait(this.#pause, 0, 0, 1);
        if (written <= lastAt && systemClock.monotonic() >= beforeMs) endAt = lastAt;
      }
    }
    return endAt === bytes.length;
  }
}
