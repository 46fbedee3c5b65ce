/**
 * Frames on the pipes between the parent and a pool child.
 *
 * Owns the byte layout, batching of writes and reassembly of reads. Knows nothing of what a frame means (ipc/exchange.ts does).
 *
 * Layout, little endian:
 *   u32 length of what follows · u8 type · u32 id · f64 number · u32 length of meta · meta (UTF-8 text) · payload (bytes)
 * The fixed part carries what every task needs (its job id and one time), so the hot frames have no JSON in them at all.
 */

const lengthBytes = 4;
const fixedBytes = 1 + 4 + 8 + 4;
const headBytes = lengthBytes + fixedBytes;
const initialCapacityBytes = 64 * 1024;
/** A frame larger than this is a defect or garbage on the pipe; task bodies are far below it. */
export const maxFrameBytes = 1024 * 1024 * 1024;

/** Collects frames into one buffer; the owner writes it out once per turn. */
export class FrameWriter {
  #buffer = Buffer.allocUnsafeSlow(initialCapacityBytes);
  #used = 0;

  get pendingBytes(): number {
    return this.#used;
  }

  /** Append one frame. `payload` may be text (written as UTF-8) or bytes. */
  add(type: number, id: number, number: number, meta: string, payload: string | Uint8Array | null): void {
    const payloadBound = payload === null ? 0 : typeof payload === 'string' ? payload.length * 3 : payload.length;
    this.#reserve(headBytes + meta.length * 3 + payloadBound);
    const buffer = this.#buffer;
    const start = this.#used;
    let at = start + headBytes;
    const metaLength = meta.length === 0 ? 0 : buffer.write(meta, at, 'utf8');
    at += metaLength;
    if (typeof payload === 'string') at += buffer.write(payload, at, 'utf8');
    else if (payload !== null) {
      buffer.set(payload, at);
      at += payload.length;
    }
    buffer.writeUInt32LE(at - start - lengthBytes, start);
    buffer[start + 4] = type;
    buffer.writeUInt32LE(id, start + 5);
    buffer.writeDoubleLE(number, start + 9);
    buffer.writeUInt32LE(metaLength, start + 17);
    this.#used = at;
  }

  /** Everything collected, to be written now. The buffer is the caller's; the writer starts a new one when it was large. */
  take(): Buffer {
    const taken = Buffer.from(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
    this.#shrink();
    return taken;
  }

  /** Write everything collected through `write` without a copy; `write` must be done with the bytes when it returns. */
  drainSync(write: (bytes: Buffer) => void): void {
    if (this.#used === 0) return;
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    write(bytes);
    this.#shrink();
  }

  /** A large frame must not cost its memory for ever. */
  #shrink(): void {
    // What is written may have made its writer add more.
    if (this.#used === 0 && this.#buffer.length > initialCapacityBytes * 16) this.#buffer = Buffer.allocUnsafeSlow(initialCapacityBytes);
  }

  #reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#buffer.length) return;
    let capacity = this.#buffer.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(grown, 0, 0, this.#used);
    this.#buffer = grown;
  }
}

/** `payload` is a view into the read chunk: copy it if it must outlive other memory. */
export type FrameHandler = (type: number, id: number, number: number, meta: string, payload: Buffer) => void;

/** Cuts a byte stream into frames. */
export class FrameReader {
  /** Chunks of an incomplete frame; joined once when enough has come (joining per chunk would be quadratic for large bodies). */
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** Bytes needed before it is worth joining. */
  #neededBytes = lengthBytes;
  readonly #onFrame: FrameHandler;
  readonly #isType: (type: number) => boolean;

  /** `isType`: the frame types that may come. Garbage is then noticed by its head; it may claim a body that would never be complete. */
  constructor(onFrame: FrameHandler, isType: (type: number) => boolean = () => true) {
    this.#onFrame = onFrame;
    this.#isType = isType;
  }

  /** Feed the next chunk; calls the handler for every frame that is complete. Throws RangeError on a length that cannot be. */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.#partsBytes > 0) {
      this.#parts.push(chunk);
      this.#partsBytes += chunk.length;
      if (this.#partsBytes < this.#neededBytes) return;
      bytes = Buffer.concat(this.#parts, this.#partsBytes);
    }
    const end = this.#readFrames(bytes);
    this.#parts = end === bytes.length ? [] : [bytes.subarray(end)];
    this.#partsBytes = bytes.length - end;
  }

  /** Handle every complete frame; returns where the first incomplete one starts and notes how much that one needs. */
  #readFrames(bytes: Buffer): number {
    let at = 0;
    this.#neededBytes = lengthBytes;
    while (bytes.length - at >= lengthBytes) {
      const length = bytes.readUInt32LE(at);
      if (length < fixedBytes || length > maxFrameBytes) {
        throw new RangeError(`frame length must be ${fixedBytes}…${maxFrameBytes}, got ${length}`);
      }
      const end = at + lengthBytes + length;
      if (end > bytes.length) {
        if (bytes.length - at >= headBytes) {
          this.#checkHead(bytes, at, length);
          this.#neededBytes = lengthBytes + length;
        } else this.#neededBytes = headBytes;
        break;
      }
      const metaEnd = at + headBytes + bytes.readUInt32LE(at + 17);
      if (metaEnd > end) throw new RangeError(`frame meta must end within its frame of ${length} bytes, got ${metaEnd - at - headBytes}`);
      const meta = metaEnd === at + headBytes ? '' : bytes.toString('utf8', at + headBytes, metaEnd);
      const type = bytes[at + 4] as number;
      const id = bytes.readUInt32LE(at + 5);
      const number = bytes.readDoubleLE(at + 9);
      at = end;
      this.#onFrame(type, id, number, meta, bytes.subarray(metaEnd, end));
    }
    return at;
  }

  /** Before waiting for the rest of a frame: can this be one? */
  #checkHead(bytes: Buffer, at: number, length: number): void {
    const type = bytes[at + 4] as number;
    if (!this.#isType(type)) throw new RangeError(`frame type must be one of those the other end sends, got ${type}`);
    const metaBytes = bytes.readUInt32LE(at + 17);
    if (metaBytes > length - fixedBytes) throw new RangeError(`frame meta must end within its frame of ${length} bytes, got ${metaBytes}`);
  }

  /** True between two frames: nothing half-read. A stream that ends elsewhere was cut. */
  get atBoundary(): boolean {
    return this.#partsBytes === 0;
  }
}
