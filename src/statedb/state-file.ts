/**
 * The state file on the disk.
 *
 * Owns the descriptor and how it is written: changes are added to the end, in one write each, which a kill of the process does not undo; the
 * whole is written aside and renamed into place, so that there is a whole file at every moment. What is written is handed to the
 * disk soon after, off this thread. Knows nothing of what the text says (statedb/state-record.ts).
 */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

export class StateFile {
  readonly path: string;
  /** Open for appending; null before the first `replace`. */
  #fd: number | null = null;
  #syncing = false;
  #syncAgain = false;
  #bytes = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Length of what was written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What is there, at most so many bytes of it; null: nothing is. Throws when it is no file. */
  read(maxBytes = Number.POSITIVE_INFINITY): Buffer | null {
    const there = statSync(this.path, { throwIfNoEntry: false });
    if (there === undefined) return null;
    if (!there.isFile()) throw new Error('it is not a file');
    if (there.size > maxBytes) throw new Error(`it is larger than a state file ever is (${there.size} bytes)`);
    return readFileSync(this.path);
  }

  /** Keep what is there under another name as well. */
  keepAs(otherPath: string): void {
    try {
      linkSync(this.path, otherPath);
    } catch {
      // No links on this file system.
      renameSync(this.path, otherPath);
    }
  }

  /** This text and nothing else. Throws, and then the file is as it was. */
  replace(text: string): void {
    const asidePath = `${this.path}.new`;
    const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND, O_NOFOLLOW } = constants;
    const fd = openSync(asidePath, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0o644);
    try {
      writeAll(fd, text);
      fsyncSync(fd);
      renameSync(asidePath, this.path);
    } catch (error) {
      closeSync(fd);
      removeIfThere(asidePath);
      throw error;
    }
    syncFolder(this.path);
    this.#drop();
    this.#fd = fd;
    this.#bytes = fstatSync(fd).size;
  }

  /** Behind what is there. Throws, and then nobody knows how much of it is there: the next must be `replace`. */
  append(text: string): void {
    if (this.#fd === null) throw new Error('there is no file to add to');
    this.#bytes += writeAll(this.#fd, text);
    this.#sync(this.#fd);
  }

  close(): void {
    if (this.#fd === null) return;
    try {
      fsyncSync(this.#fd);
    } finally {
      this.#drop();
    }
  }

  /** A descriptor that is being synchronised is closed when that is done. */
  #drop(): void {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null && !this.#syncing) closeSync(fd);
  }

  #sync(fd: number): void {
    if (this.#syncing) {
      this.#syncAgain = true;
      return;
    }
    this.#syncing = true;
    // A disk that refuses says so when something is written; what a kill leaves does not depend on it.
    fdatasync(fd, () => {
      this.#syncing = false;
      if (fd !== this.#fd) closeSync(fd);
      else if (this.#syncAgain) {
        this.#syncAgain = false;
        this.#sync(fd);
      }
    });
  }
}

function writeAll(fd: number, text: string): number {
  const bytes = Buffer.from(text);
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
  return written;
}

/** So that the new name survives a loss of power. */
function syncFolder(path: string): void {
  try {
    const fd = openSync(dirname(path), constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Folders cannot be synchronised there.
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made.
  }
}
