/**
 * A child in a thread of this process.
 *
 * Owns the thread and the port to it. What a thread has posted is here when it has ended, however it ended. It can be ended from outside
 * where its JavaScript stands, loops included, but not inside a native call; what it has spawned stays.
 */
import type { Readable } from 'node:stream';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker, type WorkerOptions } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { type ThreadStart, threadRole } from '../ipc/thread-start.ts';
import { namedSignal } from '../os/signal-name.ts';
import { noInspector } from './child-inspector.ts';
import type { ChildKind, ChildLink, LinkEvents, LinkParams } from './child-link.ts';
import type { Job } from './job.ts';
import { OutputLines } from './output-lines.ts';
import { childEnvironment } from './spawn-child.ts';

/** The program that becomes a pool child when its first argument is `threadRole`: its file, or its text. */
export type ThreadProgram = { readonly file: string } | { readonly source: string };

export function threadChildren(program: ThreadProgram): ChildKind {
  const features = { resize: true, terminate: true, memoryLimits: false } as const;
  return { name: 'threads', features, processes: false, replaceable: true, open: (params) => new ThreadLink(program, params) };
}

class ThreadLink implements ChildLink {
  readonly inspector = noInspector('no stack: a thread cannot be looked at while its JavaScript is busy');
  readonly pid = process.pid;
  readonly #thread: Worker;
  readonly #port: MessagePort;
  readonly #output: OutputLines;
  readonly #events: LinkEvents;
  #killedBy: NodeJS.Signals | null = null;

  constructor(program: ThreadProgram, { index, settings, jobs, log, events }: LinkParams) {
    this.#events = events;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const start: ThreadStart = { port: port2 };
    const options: WorkerOptions = {
      argv: [threadRole],
      workerData: start,
      transferList: [port2],
      stdout: true,
      stderr: true,
      env: childEnvironment(),
      name: `PoolChild-${index}`,
    };
    this.#thread = 'file' in program ? new Worker(program.file, options) : new Worker(program.source, { ...options, eval: true });
    const { redirectStdoutsLevel: level, redirectStdouts: redirect, concurrency: slots } = settings;
    this.#output = new OutputLines({ log, level, redirect, childIndex: index, jobs, slots });
    this.#output.attach(this.#thread.stdout as Readable, this.#thread.stderr as Readable);
    port1.on('message', (bytes: Uint8Array) => this.#hear(bytes));
    // Of its memory, say: code of its own that could have told about it no longer runs.
    this.#thread.on('error', (error) =>
      log.critical('child.uncaught', `uncaught error, this child ends: ${messageOf(error)}`, { child: index }),
    );
    this.#thread.once('exit', (exitCode) => this.#onExit(exitCode));
  }

  write(frames: Buffer): void {
    const own = new Uint8Array(frames);
    this.#port.postMessage(own, [own.buffer]);
  }

  /** Being woken by a thread costs little. */
  rest(): void {}

  async freeze(): Promise<boolean> {
    return false;
  }

  thaw(): void {}

  kill(signal: NodeJS.Signals | number): void {
    this.#killedBy ??= typeof signal === 'number' ? (namedSignal(signal).name as NodeJS.Signals) : signal;
    void this.#thread.terminate();
  }

  /** Node's inspector can pause a thread from here, but crashes the process now and then when it lets go of it (docs/decisions.md). */
  jobEnded(job: Job): void {
    this.#output.jobEnded(job);
  }

  #hear(bytes: Uint8Array): void {
    this.#events.onBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  #onExit(exitCode: number): void {
    for (let last = receiveMessageOnPort(this.#port); last !== undefined; last = receiveMessageOnPort(this.#port)) this.#hear(last.message);
    this.#port.close();
    this.#output.end();
    const signal = this.#killedBy;
    this.#events.onGone({ exitCode: signal === null ? exitCode : null, signal, failure: null });
  }
}
