/**
 * One `umbel worker` (or a peer) as a child process of the demo or the benchmark: start, wait until it says it is ready, ask /proc
 * about it, stop.
 *
 * Owns the process it starts and ends it by its pid only; if the program using it ends, so does the worker. Never reads the
 * worker's files.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface WorkerProcessParams {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Is it ready when it has written this line? Null: nobody waits for that. */
  readonly isReady: ((line: string) => boolean) | null;
  /** Every line it writes, to stdout or stderr. */
  readonly onLine?: (line: string) => void;
}

export interface WorkerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Last lines kept to explain an early death. */
const keptLines = 20;

export class WorkerProcess {
  readonly #params: WorkerProcessParams;
  readonly #process: ChildProcess;
  readonly #lastLines: string[] = [];
  readonly #endWithUs = (): void => {
    this.#process.kill('SIGTERM');
  };
  /** performance.now() when it was started. */
  readonly startedAtMs = performance.now();
  readonly exited: Promise<WorkerExit>;
  /** Resolves with the milliseconds from exec to its ready line; rejects when it ends before. */
  readonly ready: Promise<number>;

  constructor(params: WorkerProcessParams) {
    this.#params = params;
    const ready = Promise.withResolvers<number>();
    this.ready = ready.promise;
    this.#process = spawn(params.command, params.args, {
      cwd: params.cwd,
      env: { ...process.env, ...params.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    process.once('exit', this.#endWithUs);
    const onLine = (line: string): void => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > keptLines) this.#lastLines.shift();
      if (params.isReady?.(line) === true) ready.resolve(performance.now() - this.startedAtMs);
      params.onLine?.(line);
    };
    for (const stream of [this.#process.stdout, this.#process.stderr])
      if (stream !== null) createInterface({ input: stream }).on('line', onLine);
    this.exited = new Promise((resolve) => {
      this.#process.on('error', (error) => {
        ready.reject(error);
        resolve({ code: null, signal: null });
      });
      this.#process.on('close', (code, signal) => {
        process.off('exit', this.#endWithUs);
        ready.reject(new Error(`${params.command} must become ready, but ended with ${signal ?? code}:\n${this.#lastLines.join('\n')}`));
        resolve({ code, signal });
      });
    });
    // Whoever does not wait for it must not crash on it.
    this.ready.catch(() => {});
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(`${this.#params.command} could not be started`);
    return this.#process.pid;
  }

  /** Pids of its child processes, oldest first. */
  children(): number[] {
    return readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid !== '')
      .map(Number);
  }

  /** TERM: warm. Resolves when it has ended. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<WorkerExit> {
    this.#process.kill(signal);
    return this.exited;
  }
}

/** Proportional set size of one process in megabytes: its own memory and its share of what it shares. */
export function pssMegabytes(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) / 1024;
}
