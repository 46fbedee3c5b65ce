/**
 * The file to which every execution of a chaos task appends one line, and the eye on it.
 *
 * Owns the file watch. A line is written with a single O_APPEND write before the task does anything else, so the file is the
 * true order of executions, whoever is killed afterwards.
 */
import { closeSync, type FSWatcher, fstatSync, openSync, readSync, watch } from 'node:fs';

/** One execution of one task. */
export interface Execution {
  readonly taskId: string;
  readonly pid: number;
  readonly redelivered: boolean;
}

/** Between two kills there are seconds at most. */
const hangsAfterMs = 60_000;

export class ExecutionLog {
  readonly executions: Execution[] = [];
  readonly #fd: number;
  readonly #watcher: FSWatcher;
  #closed = false;
  #readBytes = 0;
  #rest = '';
  #waiters: { readonly count: number; resolve(): void }[] = [];

  constructor(path: string) {
    this.#fd = openSync(path, 'a+');
    this.#watcher = watch(path, () => this.#read());
  }

  /** Resolves when at least so many executions have begun; rejects when that takes so long that something must hang. */
  reached(count: number): Promise<void> {
    if (this.executions.length >= count) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`there must be ${count} executions, got ${this.executions.length} and none for too long`)),
        hangsAfterMs,
      );
      const reached = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#waiters.push({ count, resolve: reached });
    });
  }

  /** Everything written up to now, read to the end. */
  end(): readonly Execution[] {
    this.#read();
    if (this.#rest !== '') throw new Error(`the execution log must end with a whole line, got ${JSON.stringify(this.#rest)}`);
    return this.executions;
  }

  close(): void {
    this.#closed = true;
    this.#watcher.close();
    closeSync(this.#fd);
  }

  #read(): void {
    if (this.#closed) return;
    const size = fstatSync(this.#fd).size;
    if (size === this.#readBytes) return;
    const bytes = Buffer.allocUnsafe(size - this.#readBytes);
    const read = readSync(this.#fd, bytes, 0, bytes.length, this.#readBytes);
    this.#readBytes += read;
    const lines = (this.#rest + bytes.toString('latin1', 0, read)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.executions.push(parseLine(line));
    const { length } = this.executions;
    const ready = this.#waiters.filter(({ count }) => count <= length);
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ count }) => count > length);
    for (const { resolve } of ready) resolve();
  }
}

function parseLine(line: string): Execution {
  const [taskId, pid, redelivered, ...more] = line.split(' ');
  if (taskId === undefined || !Number.isInteger(Number(pid)) || (redelivered !== '0' && redelivered !== '1') || more.length > 0)
    throw new Error(`a line of the execution log must be 'id pid 0|1', got ${JSON.stringify(line)}`);
  return { taskId, pid: Number(pid), redelivered: redelivered === '1' };
}
