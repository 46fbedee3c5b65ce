/**
 * Captured stdout and stderr of a pool child, cut into lines.
 *
 * Owns the bytes of a line not yet finished. Works on bytes until a line is whole, so a character split between two chunks
 * survives. A line longer than the cap comes out in pieces, each but the last ending in a mark; nothing is dropped.
 */

const newline = 0x0a;
const carriageReturn = 0x0d;

export interface TaskOutputParams {
  /** One line without its line end. */
  readonly onLine: (line: string) => void;
  /** Longest line in bytes. Default 64 KiB. */
  readonly capBytes?: number;
}

/** Ends a piece of a line that goes on in the next one. */
export const continuationMark = ' …';

export class TaskOutput {
  readonly #onLine: (line: string) => void;
  readonly #capBytes: number;
  #pieces: Buffer[] = [];
  #length = 0;

  constructor(params: TaskOutputParams) {
    this.#onLine = params.onLine;
    this.#capBytes = Math.max(8, params.capBytes ?? 64 * 1024);
  }

  /** No unfinished line waits. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#add(chunk.subarray(start, end));
      this.#emit();
      start = end + 1;
    }
    if (start < chunk.length) this.#add(chunk.subarray(start));
  }

  /** Give out an unfinished line: when its task or its child has ended, nothing more will come. */
  flush(): void {
    if (this.#length > 0) this.#emit();
  }

  #add(part: Buffer): void {
    let rest = part;
    while (this.#length + rest.length > this.#capBytes) {
      // Joined first, so that a character is never cut at the border of two chunks.
      const joined = this.#length === 0 ? rest : Buffer.concat([...this.#pieces, rest]);
      const cut = characterBoundary(joined, this.#capBytes);
      this.#onLine(joined.toString('utf8', 0, cut) + continuationMark);
      this.#pieces = [];
      this.#length = 0;
      rest = joined.subarray(cut);
    }
    if (rest.length === 0) return;
    this.#pieces.push(rest);
    this.#length += rest.length;
  }

  #emit(): void {
    const first = this.#pieces[0];
    const line = first === undefined ? Buffer.alloc(0) : this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    const end = line.at(-1) === carriageReturn ? line.length - 1 : line.length;
    this.#onLine(line.toString('utf8', 0, end));
  }
}

/** The last place at or before `at` that is not inside a UTF-8 character; `at` itself when the bytes are not UTF-8. */
function characterBoundary(bytes: Buffer, at: number): number {
  for (let cut = at; cut > at - 4 && cut > 0; cut--) {
    if (((bytes[cut] ?? 0) & 0xc0) !== 0x80) return cut;
  }
  return at;
}
