/**
 * The child's end of the way to its parent: frames collect here and go out together.
 *
 * Owns the frames not yet given out. How bytes travel is the carrier's business: by pipe (child/pipe.ts), from thread to thread
 * (child/thread-home.ts), or within the worker itself (child/solo-home.ts).
 */
import { FrameWriter } from '../ipc/frame.ts';
import { systemClock } from '../std/clock.ts';

/** Unflushed bytes above which a frame is not left waiting for others. */
const flushAboveBytes = 256 * 1024;

export interface Carrier {
  /**
   * All the bytes are out of the reach of task code when this returns; they are the caller's again. What begins at `lastAt` is left out,
   * and the answer is false, when it could not be handed over before `beforeMs` (Clock.monotonic).
   */
  write(bytes: Buffer, lastAt: number, beforeMs: number): boolean;
  /** Whether waiting for the parent keeps this child alive. */
  hold(hold: boolean): void;
  /** Hear and say no more. */
  close(): void;
}

export class ChildPort {
  readonly #carrier: Carrier;
  readonly #writer = new FrameWriter();
  #flushScheduled = false;
  #gathering = false;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
  }

  /** Add a frame; it goes out with the next `flush`, at the latest at the end of this turn. */
  send(type: number, id: number, number: number, meta: string, payload: string | Uint8Array | null): void {
    this.#writer.add(type, id, number, meta, payload);
    if (this.#writer.pendingBytes > flushAboveBytes) this.flush();
    else if (!this.#flushScheduled && !this.#gathering) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.flush();
      });
    }
  }

  /** What is said meanwhile needs no turn of its own: everything is out when this returns, or throws what `work` has thrown. */
  gather(work: () => void): void {
    this.#gathering = true;
    try {
      work();
    } finally {
      this.flush();
    }
  }

  /** Everything added is out when this returns. */
  flush(): void {
    this.#gathering = false;
    this.#writer.drainSync((bytes) => {
      this.#carrier.write(bytes, bytes.length, Number.POSITIVE_INFINITY);
    });
  }

  /** A frame without meta, and all before it, is out when this returns true; false: not before then, so it was not sent. */
  sendBefore(type: number, id: number, number: number, beforeMs: number): boolean {
    if (systemClock.monotonic() >= beforeMs) return false;
    const frameAt = this.#writer.pendingBytes;
    this.#writer.add(type, id, number, '', null);
    let sent = true;
    this.#writer.drainSync((bytes) => {
      sent = this.#carrier.write(bytes, frameAt, beforeMs);
    });
    return sent;
  }

  /** Whether waiting for the parent keeps this child alive. */
  hold(hold: boolean): void {
    this.#carrier.hold(hold);
  }

  /** Say what is left, then hear and say no more. */
  close(): void {
    this.flush();
    this.#carrier.close();
  }
}
