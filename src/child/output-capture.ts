/**
 * What task code prints: every line of stdout and stderr becomes a log line with the name and id of the task that wrote it.
 *
 * Owns the two `write` functions of the process while it is installed. Output that does not go through them (native code,
 * grandchildren) reaches the parent by the ordinary pipes.
 */

import { TaskOutput } from '../log/task-output.ts';
import type { LogLevel } from '../std/log-level.ts';
import { currentTask, type TaskContext } from '../task/task-context.ts';

export type OutputLine = (level: LogLevel, line: string, task: TaskContext | undefined, stream: 'stdout' | 'stderr') => void;

export class OutputCapture {
  readonly #outputs: TaskOutput[] = [];

  constructor(level: LogLevel, onLine: OutputLine) {
    this.#redirect(process.stdout, 'stdout', level, onLine);
    this.#redirect(process.stderr, 'stderr', level, onLine);
  }

  /** Give out lines that were not finished: the task that wrote them has ended. */
  flush(): void {
    for (const output of this.#outputs) output.flush();
  }

  #redirect(stream: NodeJS.WriteStream, name: 'stdout' | 'stderr', level: LogLevel, onLine: OutputLine): void {
    const output = new TaskOutput({ onLine: (line) => onLine(level, line, currentTask(), name) });
    this.#outputs.push(output);
    stream.write = (
      chunk: string | Uint8Array,
      encoding?: BufferEncoding | ((error?: Error | null) => void),
      done?: (error?: Error | null) => void,
    ): boolean => {
      output.push(typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : Buffer.from(chunk));
      const callback = typeof encoding === 'function' ? encoding : done;
      if (callback !== undefined) queueMicrotask(() => callback());
      return true;
    };
  }
}
