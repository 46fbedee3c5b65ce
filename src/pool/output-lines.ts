/**
 * What a child writes to its stdout and stderr outside of its own logging: native code, grandchildren, the runtime itself.
 *
 * Owns turning it into log lines (or passing it through) and noticing the inspector's address among it.
 */
import type { Readable } from 'node:stream';
import type { Logger } from '../log/logger.ts';
import { TaskOutput } from '../log/task-output.ts';
import { inspectorUrlFromStderrLine, isInspectorNotice, takeStack } from '../os/inspector-stack.ts';
import type { LogLevel } from '../std/log-level.ts';
import type { Job } from './job.ts';

export interface OutputLinesParams {
  readonly log: Logger;
  readonly level: LogLevel;
  /** false: pass the bytes through to our own stdout and stderr. */
  readonly redirect: boolean;
  readonly childIndex: number;
  /** The task to ascribe a line to, when there is exactly one. */
  currentJob(): Job | undefined;
}

/** How long a stack nobody waits for any more may take: it is only asked for so that the inspector is closed again. */
const unaskedStackMs = 5000;

export class OutputLines {
  readonly #params: OutputLinesParams;
  readonly #outputs: TaskOutput[] = [];
  #inspectorWaiters: ((url: string | null) => void)[] = [];

  constructor(params: OutputLinesParams) {
    this.#params = params;
  }

  attach(stdout: Readable, stderr: Readable): void {
    this.#capture(stdout, process.stdout, 'stdout');
    this.#capture(stderr, process.stderr, 'stderr');
  }

  /** Resolves with the address of the next inspector the child reports, or null after the time. */
  nextInspectorUrl(timeoutMs: number, trigger: () => void): Promise<string | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(null), timeoutMs);
      const settle = (url: string | null): void => {
        clearTimeout(timer);
        this.#inspectorWaiters = this.#inspectorWaiters.filter((waiter) => waiter !== settle);
        resolve(url);
      };
      this.#inspectorWaiters.push(settle);
      trigger();
    });
  }

  /** The child is gone: write out unfinished lines. */
  end(): void {
    for (const output of this.#outputs) output.flush();
    for (const waiter of this.#inspectorWaiters) waiter(null);
  }

  #capture(from: Readable, to: NodeJS.WriteStream, stream: 'stdout' | 'stderr'): void {
    // Whoever read our own output may have gone; without a listener that would be the end of the worker.
    if (!to.listeners('error').includes(ignore)) to.on('error', ignore);
    const output = new TaskOutput({ onLine: (line) => this.#onLine(line, to, stream) });
    this.#outputs.push(output);
    from.on('data', (chunk: Buffer) => output.push(chunk));
    // May come after the end of the process: what it wrote last is still on its way.
    from.once('end', () => output.flush());
    from.on('error', () => {});
  }

  #onLine(line: string, to: NodeJS.WriteStream, stream: 'stdout' | 'stderr'): void {
    if (stream === 'stderr') {
      const url = inspectorUrlFromStderrLine(line);
      if (url !== null) {
        // An inspector that opens after the wait is over must not stay open.
        if (this.#inspectorWaiters.length === 0) takeStack({ wsUrl: url, timeoutMs: unaskedStackMs }).catch(() => {});
        for (const waiter of this.#inspectorWaiters) waiter(url);
        return;
      }
      if (isInspectorNotice(line)) return;
    }
    if (!this.#params.redirect) {
      to.write(`${line}\n`);
      return;
    }
    const job = this.#params.currentJob();
    const fields = job === undefined ? {} : { taskId: job.taskId, taskName: job.taskName };
    this.#params.log.log(this.#params.level, 'task.output', line, { ...fields, stream, child: this.#params.childIndex });
  }
}

function ignore(): void {}
