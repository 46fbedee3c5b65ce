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
import { ownInspectorNotice } from '../std/open-inspector.ts';
import type { Job } from './job.ts';

export interface OutputLinesParams {
  readonly log: Logger;
  readonly level: LogLevel;
  /** false: pass the bytes through to our own stdout and stderr. */
  readonly redirect: boolean;
  readonly childIndex: number;
  /** Jobs the child holds, in the order sent. */
  readonly jobs: ReadonlyMap<number, Job>;
  /** How many it runs at a time. */
  readonly slots: number;
}

/** How long a stack nobody waits for any more may take: it is only asked for so that the inspector is closed again. */
const unaskedStackMs = 5000;

/** Lines of its standard error that are remembered, and characters of each. */
const keptLines = 40;
const keptLength = 400;

type TaskName = Pick<Job, 'taskId' | 'taskName'>;

export class OutputLines {
  readonly #params: OutputLinesParams;
  readonly #outputs: TaskOutput[] = [];
  #inspectorWaiters: ((url: string | null) => void)[] = [];
  #last: TaskName | undefined;
  /** Where a debugger may attach; null: nowhere. Written by process-inspector.ts as well. Node says `Debugger ending` of each client that goes, which is not the end of it. */
  debuggerUrl: string | null = null;
  /** A task has said that it opens the inspector itself. */
  #ownInspector = false;
  /** Of its standard error, the newest at the end. */
  #lines: string[] = [];

  constructor(params: OutputLinesParams) {
    this.#params = params;
  }

  /** The end of what it wrote to its standard error; null: nothing. */
  get lastWords(): string | null {
    return this.#lines.length === 0 ? null : this.#lines.slice(-keptLines).join('\n');
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

  /** It wrote to other pipes than the one that told of its end: its last lines may still be on their way. */
  jobEnded({ taskId, taskName }: Job): void {
    this.#last = { taskId, taskName };
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
        this.#onInspector(url);
        return;
      }
      if (isInspectorNotice(line)) return;
      if (line === ownInspectorNotice) this.#ownInspector = true;
      if (this.#lines.push(line.slice(0, keptLength)) > keptLines * 2) this.#lines = this.#lines.slice(-keptLines);
    }
    if (!this.#params.redirect) {
      to.write(`${line}\n`);
      return;
    }
    const task = this.#author();
    const fields = task === undefined ? {} : { taskId: task.taskId, taskName: task.taskName };
    this.#params.log.log(this.#params.level, 'task.output', line, { ...fields, stream, child: this.#params.childIndex });
  }

  #onInspector(url: string): void {
    if (this.#ownInspector) {
      this.#ownInspector = false;
      this.debuggerUrl = url;
      return;
    }
    // An inspector that opens after the wait is over must not stay open.
    if (this.#inspectorWaiters.length === 0) takeStack({ wsUrl: url, timeoutMs: unaskedStackMs }).catch(() => {});
    for (const waiter of this.#inspectorWaiters) waiter(url);
  }

  /** The task a line can be ascribed to, when there is exactly one. */
  #author(): TaskName | undefined {
    let only: Job | undefined;
    for (const job of this.#params.jobs.values()) {
      if (!job.started) break;
      if (only !== undefined) return undefined;
      only = job;
    }
    return only ?? (this.#params.slots === 1 ? this.#last : undefined);
  }
}

function ignore(): void {}
