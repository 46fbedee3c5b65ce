/**
 * What task code prints: every line of stdout and stderr becomes a log line with the name and id of the task that wrote it.
 *
 * Owns the two `write` functions of the process while it is installed, and the unfinished line of each task: tasks that run at
 * the same time in one child keep their lines apart. Output that does not go through them (native code, grandchildren) reaches
 * the parent by the ordinary pipes.
 */

import { TaskOutput } from '../log/task-output.ts';
import type { LogLevel } from '../std/log-level.ts';
import { currentTask, type TaskContext } from '../task/task-context.ts';

export type OutputLine = (level: LogLevel, line: string, task: TaskContext | undefined, stream: 'stdout' | 'stderr') => void;

export class OutputCapture {
  /** By stream: the unfinished lines by the id of the task; '' for output outside of tasks. */
  readonly #outputs: Map<string, TaskOutput>[] = [];

  constructor(level: LogLevel, onLine: OutputLine) {
    this.#redirect(process.stdout, 'stdout', level, onLine);
    this.#redirect(process.stderr, 'stderr', level, onLine);
  }

  /** The task has ended: give out the lines it has not finished. */
  flush(taskId: string): void {
    for (const outputs of this.#outputs) {
      outputs.get(taskId)?.flush();
      outputs.delete(taskId);
    }
  }

  /** The process ends. */
  flushAll(): void {
    for (const outputs of this.#outputs) for (const output of outputs.values()) output.flush();
  }

  #redirect(stream: NodeJS.WriteStream, name: 'stdout' | 'stderr', level: LogLevel, onLine: OutputLine): void {
    const outputs = new Map<string, TaskOutput>();
    this.#outputs.push(outputs);
    stream.write = (
      chunk: string | Uint8Array,
      encoding?: BufferEncoding | ((error?: Error | null) => void),
      done?: (error?: Error | null) => void,
    ): boolean => {
      const task = currentTask();
      const id = task?.id ?? '';
      let output = outputs.get(id);
      if (output === undefined) {
        output = new TaskOutput({ onLine: (line) => onLine(level, line, task, name) });
        outputs.set(id, output);
      }
      output.push(typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8') : Buffer.from(chunk));
      if (output.isEmpty) outputs.delete(id);
      const callback = typeof encoding === 'function' ? encoding : done;
      if (callback !== undefined) queueMicrotask(() => callback());
      return true;
    };
  }
}
