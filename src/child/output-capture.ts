/**
 * What task code prints: every line of stdout and stderr becomes a log line with the name and id of the task that wrote it.
 *
 * Owns the two `write` functions of the process (or thread) while it is installed, and the unfinished line of each task: tasks that
 * run at the same time in one child keep their lines apart. Output that does not go through them (native code, grandchildren) reaches
 * the parent by the ordinary pipes, where there are some.
 */

import { TaskOutput } from '../log/task-output.ts';
import type { LogLevel } from '../std/log-level.ts';
import { currentTask, type TaskContext } from '../task/task-context.ts';

export type OutputLine = (level: LogLevel, line: string, task: TaskContext | undefined, stream: 'stdout' | 'stderr') => void;

export interface OutputCaptureParams {
  readonly level: LogLevel;
  /** Leave alone what is written outside of tasks: it is not task code that writes there. */
  readonly tasksOnly: boolean;
  readonly onLine: OutputLine;
}

export class OutputCapture {
  readonly #params: OutputCaptureParams;
  /** By stream: the unfinished lines by the id of the task; '' for output outside of tasks. */
  readonly #outputs: Map<string, TaskOutput>[] = [];
  readonly #restore: (() => void)[] = [];

  constructor(params: OutputCaptureParams) {
    this.#params = params;
    this.#redirect(process.stdout, 'stdout');
    this.#redirect(process.stderr, 'stderr');
  }

  /** The task has ended: give out the lines it has not finished. */
  flush(taskId: string): void {
    for (const outputs of this.#outputs) {
      outputs.get(taskId)?.flush();
      outputs.delete(taskId);
    }
  }

  /** The child ends: give out what is left, and take no more. */
  close(): void {
    for (const outputs of this.#outputs) for (const output of outputs.values()) output.flush();
    for (const restore of this.#restore.splice(0)) restore();
  }

  #redirect(stream: NodeJS.WriteStream, name: 'stdout' | 'stderr'): void {
    const { level, tasksOnly, onLine } = this.#params;
    const outputs = new Map<string, TaskOutput>();
    this.#outputs.push(outputs);
    const write = stream.write;
    this.#restore.push(() => {
      stream.write = write;
    });
    stream.write = (
      chunk: string | Uint8Array,
      encoding?: BufferEncoding | ((error?: Error | null) => void),
      done?: (error?: Error | null) => void,
    ): boolean => {
      const task = currentTask();
      if (task === undefined && tasksOnly) return Reflect.apply(write, stream, [chunk, encoding, done]) as boolean;
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
