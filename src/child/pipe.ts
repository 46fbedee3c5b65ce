/**
 * The child's end of the two pipes to its parent, when it is a process of its own.
 *
 * fd 3 is read asynchronously; its end means that the parent is gone. fd 4 is written synchronously, so that what has been said is in
 * the kernel before task code can crash or block the process.
 *
 * A parent that stands still does not read, and a write then waits for it, unless that may be given up.
 */
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { systemClock } from '../std/clock.ts';
import { giveDataDirectly } from '../std/direct-data.ts';
import type { Carrier } from './child-port.ts';

const readFd = 3;
const writeFd = 4;
/** Nothing is ever written on it; its hang-up is the parent's death. */
export const lifelineFd = 5;
export class PipeCarrier implements Carrier {
  readonly #input: Socket;
  /** Only there to make the descriptor non-blocking: a write that waits inside the kernel could not be given up. */
  readonly #output: Socket;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));

  constructor(params: { onBytes(bytes: Buffer): void; onEnd(): void }) {
    this.#input = new Socket({ fd: readFd, readable: true, writable: false });
    this.#output = new Socket({ fd: writeFd, readable: false, writable: true });
    this.#output.unref();
    this.#output.on('error', () => {});
    giveDataDirectly(this.#input);
    this.#input.on('data', (chunk: Buffer) => params.onBytes(chunk));
    this.#input.once('end', () => params.onEnd());
    this.#input.once('error', () => params.onEnd());
  }

  hold(hold: boolean): void {
    if (hold) this.#input.ref();
    else this.#input.unref();
  }

  /** Stop reading, so that the process can end by itself. */
  close(): void {
    this.#input.destroy();
  }

  write(bytes: Buffer, lastAt: number, beforeMs: number): boolean {
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
