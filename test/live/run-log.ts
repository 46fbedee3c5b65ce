/**
 * The file in which tasks, on umbel and on Python workers alike, say when they start and end and who holds them; and the eye on it.
 *
 * Owns the file watch. One line: `received|start|end <task id> umbel|python <worker pid> <child pid> 0|1 <monotonic ns> [<ns>]`, written with
 * a single O_APPEND write. `received` is written by Python workers only, which judge nobody's age but by when they took the message. The
 * last is when an umbel child looked at the clock whether it may still start the task.
 */
import { closeSync, type FSWatcher, fstatSync, openSync, readSync, watch } from 'node:fs';

export interface RunLine {
  readonly what: 'received' | 'start' | 'end';
  readonly taskId: string;
  readonly kind: 'umbel' | 'python';
  readonly worker: number;
  readonly child: number;
  readonly redelivered: boolean;
  /** Monotonic, the same clock in every process. */
  readonly atMs: number;
  /** The child's look at the clock before a start, on the same clock; null: it says nothing of that. */
  readonly lookedAtMs: number | null;
}

interface Waiter {
  readonly timer: NodeJS.Timeout;
  reached(): boolean;
  resolve(): void;
}

export class RunLog {
  readonly lines: RunLine[] = [];
  /** Lines that say start. */
  starts = 0;
  /** Tasks that have ended at least once. */
  readonly ended = new Set<string>();
  readonly #hangsAfterMs: number;
  readonly #fd: number;
  readonly #watcher: FSWatcher;
  #closed = false;
  #readBytes = 0;
  #rest = '';
  readonly #waiters = new Set<Waiter>();

  /** While something is waited for, no more than `hangsAfterMs` may pass without a line: how long all takes together is up to the machine. */
  constructor(path: string, hangsAfterMs: number) {
    this.#hangsAfterMs = hangsAfterMs;
    this.#fd = openSync(path, 'a+');
    this.#watcher = watch(path, () => this.#read());
  }

  /** When so many executions have begun. */
  started(count: number): Promise<void> {
    return this.#until(
      () => this.starts >= count,
      () => `there must be ${count} starts, got ${this.starts}`,
    );
  }

  /** When workers of both kinds have begun a task whose id begins so. */
  startedByBothKinds(prefix: string): Promise<void> {
    const kinds = (): Set<string> =>
      new Set(this.lines.filter(({ what, taskId }) => what === 'start' && taskId.startsWith(prefix)).map(({ kind }) => kind));
    return this.#until(
      () => kinds().size === 2,
      () => `both kinds of worker must have started a task ${prefix}…, got ${[...kinds()].join() || 'none'}`,
    );
  }

  /** When each of these workers has begun a task. */
  startedByAll(workers: readonly number[]): Promise<void> {
    const idle = (): number[] => workers.filter((pid) => !this.lines.some(({ what, worker }) => what === 'start' && worker === pid));
    return this.#until(
      () => idle().length === 0,
      () => `every worker must have started a task, but not ${idle().join()}`,
    );
  }

  /** When so many different tasks have ended. */
  allEnded(count: number): Promise<void> {
    return this.#until(
      () => this.ended.size >= count,
      () => `${count} tasks must have ended, got ${this.ended.size}`,
    );
  }

  /** When this task has ended in this child. */
  finished(child: number, taskId: string): Promise<void> {
    return this.#until(
      () => this.lines.some((line) => line.what === 'end' && line.child === child && line.taskId === taskId),
      () => `${taskId} must have ended in ${child}`,
    );
  }

  /** Everything written up to now, read to the end. */
  end(): readonly RunLine[] {
    this.#read();
    if (this.#rest !== '') throw new Error(`the log of runs must end with a whole line, got ${JSON.stringify(this.#rest)}`);
    return this.lines;
  }

  close(): void {
    this.#closed = true;
    this.#watcher.close();
    closeSync(this.#fd);
  }

  /** Rejects when nothing has happened for so long that something must hang or be lost. */
  #until(reached: () => boolean, problem: () => string): Promise<void> {
    if (reached()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`${problem()}, and nothing more for ${this.#hangsAfterMs / 1000}s`));
      }, this.#hangsAfterMs);
      const waiter: Waiter = {
        timer,
        reached,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiters.add(waiter);
    });
  }

  #read(): void {
    if (this.#closed) return;
    const size = fstatSync(this.#fd).size;
    if (size === this.#readBytes) return;
    const bytes = Buffer.allocUnsafe(size - this.#readBytes);
    const read = readSync(this.#fd, bytes, 0, bytes.length, this.#readBytes);
    this.#readBytes += read;
    const texts = (this.#rest + bytes.toString('latin1', 0, read)).split('\n');
    this.#rest = texts.pop() ?? '';
    for (const text of texts) this.#add(parseLine(text));
    for (const waiter of this.#waiters) {
      if (!waiter.reached()) {
        waiter.timer.refresh();
        continue;
      }
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #add(line: RunLine): void {
    this.lines.push(line);
    if (line.what === 'start') this.starts += 1;
    if (line.what === 'end') this.ended.add(line.taskId);
  }
}

const lineForm = /^(received|start|end) (\S+) (umbel|python) (\d+) (\d+) ([01]) (\d+)(?: (\d+))?$/;

function parseLine(text: string): RunLine {
  const match = lineForm.exec(text);
  if (match === null) throw new Error(`a line of the log of runs must be like ${lineForm.source}, got ${JSON.stringify(text)}`);
  const [, what, taskId, kind, worker, child, redelivered, ns, lookedNs] = match as unknown as [
    string,
    RunLine['what'],
    string,
    RunLine['kind'],
    ...string[],
  ];
  return {
    what,
    taskId,
    kind,
    worker: Number(worker),
    child: Number(child),
    redelivered: redelivered === '1',
    atMs: Number(BigInt(ns ?? 0) / 1000n) / 1000,
    lookedAtMs: lookedNs === undefined ? null : Number(BigInt(lookedNs) / 1000n) / 1000,
  };
}

/** Now, on the clock of the log. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
