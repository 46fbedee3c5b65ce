/** Frames on their way to one child: one write per turn of the event loop, however many jobs it carries, unless the child waits for it. */
import { FrameWriter } from '../ipc/frame.ts';

export class ChildOutbox {
  readonly #write: (frames: Buffer) => unknown;
  readonly #writer = new FrameWriter();
  #scheduled = false;

  constructor(write: (frames: Buffer) => unknown) {
    this.#write = write;
  }

  /** It goes out at the end of this turn, or now, with all before it, when the child `waits` for it. */
  add(type: number, id: number, number: number, meta: string, payload: Uint8Array | string | null, waits = false): void {
    this.#writer.add(type, id, number, meta, payload);
    if (waits) this.#flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    if (this.#writer.pendingBytes > 0) this.#write(this.#writer.take());
  }
}
