/**
 * A child that is a process of its own.
 *
 * Owns the process, its pipes and what it writes to its standard output. Pipes: fd 3 parent → child, fd 4 child → parent, fd 5
 * silent: its hang-up tells the kernel to end the child's group. The child writes fd 4 synchronously before it runs a line of task
 * code, so what arrived here before the end of that pipe is exactly what the child had begun. Signals go to the whole process group,
 * so that what a task has spawned goes too.
 */
import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { UmbelError } from '../errors.ts';
import { processStat } from '../os/process-info.ts';
import { giveDataDirectly } from '../std/direct-data.ts';
import type { ChildInspector } from './child-inspector.ts';
import type { ChildKind, ChildLink, LinkEvents, LinkParams } from './child-link.ts';
import type { Job } from './job.ts';
import { OutputLines } from './output-lines.ts';
import { whenOver } from './pipe-end.ts';
import { processInspector } from './process-inspector.ts';
import { spawnChild } from './spawn-child.ts';

/** The command that becomes a pool child. */
export interface ChildCommand {
  readonly execPath: string;
  readonly args: readonly string[];
}

/** A process may be in a system call that cannot be interrupted; it runs no task code there. */
const freezeWithinMs = 100;

/** Each with room for a few tasks (`prefork`) or for many that wait most of the time (`async`). */
export function processChildren(command: ChildCommand, name: 'prefork' | 'async' = 'prefork'): ChildKind {
  const features = { resize: true, terminate: true, memoryLimits: true } as const;
  return { name, features, processes: true, replaceable: true, open: (params) => new ProcessLink(command, params) };
}

class ProcessLink implements ChildLink {
  readonly inspector: ChildInspector;
  readonly #process: ChildProcess;
  readonly #toChild: Writable;
  readonly #fromChild: Readable;
  readonly #lifeline: Readable;
  readonly #output: OutputLines;
  readonly #events: LinkEvents;
  #failure: UmbelError | null = null;
  #resting = false;
  #isGone = false;

  constructor(command: ChildCommand, { index, settings, jobs, log, events }: LinkParams) {
    this.#events = events;
    const spawned = spawnChild({ command, workdir: settings.workdir, nodeName: settings.nodeName, index });
    this.#process = spawned.process;
    this.#toChild = spawned.toChild;
    this.#fromChild = spawned.fromChild;
    this.#lifeline = spawned.lifeline;
    const { redirectStdoutsLevel: level, redirectStdouts: redirect, concurrency: slots } = settings;
    this.#output = new OutputLines({ log, level, redirect, childIndex: index, jobs, slots });
    this.inspector = processInspector(this.#process, this.#output);
    this.#output.attach(this.#process.stdout as Readable, this.#process.stderr as Readable);
    this.#listen();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  write(frames: Buffer): void {
    this.#toChild.write(frames);
  }

  /** It does not wake this process with every short task then, and what it has said by the end is settled in one transaction. */
  rest(forMs: number): void {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null || this.#resting) return;
    this.#resting = true;
    this.#fromChild.pause();
    setTimeout(() => this.#hear(), forMs);
  }

  /** All that has come meanwhile, in one piece: a stream that flows again gives it piece by piece as it came, and each would be followed by another rest. */
  #hear(): void {
    this.#resting = false;
    const { readableLength } = this.#fromChild;
    if (readableLength > 0) this.#fromChild.read(readableLength);
    if (!this.#resting) this.#fromChild.resume();
  }

  async freeze(): Promise<boolean> {
    this.kill('SIGSTOP');
    const giveUpMs = performance.now() + freezeWithinMs;
    // Where there is no /proc it is taken to be stopped.
    const isStopped = (): boolean => ['T', 't', 'Z'].includes(processStat(this.pid)?.state ?? 'T');
    while (!isStopped() && performance.now() < giveUpMs) await new Promise((resolve) => setImmediate(resolve));
    return true;
  }

  thaw(): void {
    this.kill('SIGCONT');
  }

  kill(signal: NodeJS.Signals | number): void {
    if (this.#process.pid === undefined) return;
    try {
      process.kill(-this.#process.pid, signal);
    } catch {
      // The group is gone, or the child has not yet called setsid: the process alone is the best that can be done.
      this.#process.kill(signal);
    }
  }

  jobEnded(job: Job): void {
    this.#output.jobEnded(job);
  }

  #listen(): void {
    const fromChild = this.#fromChild;
    giveDataDirectly(fromChild);
    fromChild.on('data', (chunk: Buffer) => this.#events.onBytes(chunk));
    // Errors of the pipes of a dying child say nothing that its exit does not say.
    fromChild.on('error', () => {});
    this.#toChild.on('error', () => {});
    this.#process.on('error', (error) => {
      this.#failure = new UmbelError('CHILD_CANNOT_START', `a pool child could not be spawned: ${error.message}`, { cause: error });
      if (this.#process.pid === undefined) this.#gone(null, null);
    });
    whenOver(this.#process, fromChild, (exitCode, signal) => this.#gone(exitCode, signal));
  }

  #gone(exitCode: number | null, signal: NodeJS.Signals | null): void {
    if (this.#isGone) return;
    this.#isGone = true;
    // Whatever the child had spawned must not outlive it.
    this.kill('SIGKILL');
    this.#lifeline.destroy();
    this.#output.end();
    this.#events.onGone({ exitCode, signal, failure: this.#failure, lastWords: this.#output.lastWords });
  }
}
