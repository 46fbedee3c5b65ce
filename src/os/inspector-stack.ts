/**
 * The JavaScript stack of another process of ours, even while that process spins in a loop.
 *
 * The process must have been made ready for it: `prepareForStack()` in it, or `--inspect-port=0` on its command line. Sent
 * SIGUSR1, Node opens its inspector from a thread of its own and prints the address on the process's stderr, where whoever
 * captures that stream finds it with `inspectorUrlFromStderrLine`. `takeStack` then pauses the process, reads the frames,
 * closes the inspector again and lets the process go on, unharmed.
 *
 * Never uses Runtime.terminateExecution, which aborts Node 26. Never leaves a port open or the process paused, also when it
 * gives up: the answer that came too late is still used to let the process go on.
 */

import { messageOf } from '../errors.ts';

export interface StackFrame {
  readonly functionName: string;
  readonly url: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export interface TakeStackParams {
  /** As printed by Node: `ws://127.0.0.1:PORT/UUID`. */
  readonly wsUrl: string;
  /** From connecting to the last frame. Rejects with StackTimeout when it is over. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The process cannot be asked now: it is inside one long native call (a regular expression, a synchronous read). */
export class StackTimeout extends Error {
  override readonly name = 'StackTimeout';
}

/**
 * Closes the inspector of the process it runs in. Node queues a start twice, once for running code and once for an idle event
 * loop, so when the loop comes to life it opens again; the immediate runs right after that, the timers are for good measure.
 */
const closeInspector = `(() => {
  const inspector = process.getBuiltinModule('node:inspector');
  const close = () => { try { inspector.close(); } catch {} };
  setImmediate(() => {
    close();
    setTimeout(close, 50).unref();
    setTimeout(close, 500).unref();
  });
  close();
})()`;

/** The same from a clean stack: closing while a message of ours is being handled on top of other code would never return. */
const closeInspectorSoon = `setImmediate(() => ${closeInspector})`;

/**
 * A process that has agreed to pause, has then answered so many questions and has not paused runs no JavaScript: it would have paused before the second,
 * unless it was kept waiting in the instant between two of its steps. It is asked so many times, because Node may forget that it was to pause.
 */
const quietAnswers = 3;
const quietPauses = 3;

/** Times it is asked to pause, in all: Node may go on by itself before it has heard what to do. */
const mostPauses = 20;

/** An idle process has closed its inspector long before; one that was taken for idle and is busy is asked to pause again. */
const idleCloseMs = 250;

/** In the process to be looked at: have SIGUSR1 open the inspector on any free port instead of 9229. */
export function prepareForStack(): void {
  process.debugPort = 0;
}

/** The inspector's address, from a line of the process's stderr; null for any other line. */
export function inspectorUrlFromStderrLine(line: string): string | null {
  return /^Debugger listening on (ws:\/\/127\.0\.0\.1:\d+\/[0-9a-f-]+)\s*$/.exec(line)?.[1] ?? null;
}

/** Lines Node prints around the address, which are no output of a task. */
export function isInspectorNotice(line: string): boolean {
  return /^(Debugger listening on ws:|For help, see: https:\/\/nodejs\.org\/|Debugger attached\.|Debugger ending on ws:|Waiting for the debugger to disconnect|Starting inspector on 127\.0\.0\.1:\d+ failed: address already in use)/.test(
    line,
  );
}

/** Innermost frame first. An idle process has none: it answers with an empty list. */
export function takeStack(params: TakeStackParams): Promise<StackFrame[]> {
  return new Promise((resolve, reject) => new StackSession(params, resolve, reject));
}

/** What `formatStack` says of a process that waits for something to happen. */
export const idleStack = '    (idle: no JavaScript is running)';

/** As below an Error: one line per frame. */
export function formatStack(frames: readonly StackFrame[]): string {
  if (frames.length === 0) return idleStack;
  return frames
    .map(({ functionName, url, line, column }) => `    at ${functionName || '<anonymous>'} (${url}:${line}:${column})`)
    .join('\n');
}

interface InspectorMessage {
  readonly id?: number;
  readonly method?: string;
  readonly error?: unknown;
  readonly params?: {
    readonly scriptId?: string;
    readonly url?: string;
    readonly callFrames?: readonly {
      readonly callFrameId: string;
      readonly functionName: string;
      readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber?: number };
    }[];
  };
}

class StackSession {
  readonly #socket: WebSocket;
  readonly #resolve: (frames: StackFrame[]) => void;
  readonly #reject: (reason: Error) => void;
  readonly #timeout: NodeJS.Timeout;
  readonly #signal: AbortSignal | undefined;
  readonly #urls = new Map<string, string>();
  #lastId = 0;
  #pauses = 0;
  /** Of the request to pause, or of the last question after it. */
  #askedId = 0;
  #answers = 0;
  #closeId = 0;
  #idle: NodeJS.Timeout | undefined;
  /** The answer; the promise settles when the process has let go of the connection. */
  #frames: StackFrame[] | undefined;
  /** The caller has an answer. Written by settle only. */
  #settled = false;

  constructor(params: TakeStackParams, resolve: (frames: StackFrame[]) => void, reject: (reason: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = params.signal;
    this.#socket = new WebSocket(params.wsUrl);
    this.#timeout = setTimeout(() => this.#onTimeout(params.timeoutMs), params.timeoutMs);
    this.#socket.addEventListener('open', () => this.#onOpen());
    this.#socket.addEventListener('message', (event) => this.#onMessage(JSON.parse(String(event.data))));
    this.#socket.addEventListener('close', () => this.#onClose());
    params.signal?.addEventListener('abort', this.#onAbort);
    if (params.signal?.aborted === true) this.#onAbort();
  }

  #onOpen(): void {
    this.#send('Debugger.enable');
    this.#pause();
  }

  #pause(): void {
    if (this.#pauses === mostPauses) return;
    this.#pauses += 1;
    this.#answers = 0;
    this.#askedId = this.#send('Debugger.pause');
  }

  #onAnswer(): void {
    this.#answers += 1;
    // Any question will do that runs no JavaScript.
    if (this.#answers <= quietAnswers) this.#askedId = this.#send('Runtime.getIsolateId');
    else if (this.#pauses < quietPauses) this.#pause();
    else this.#onIdle();
  }

  #onIdle(): void {
    this.#frames ??= [];
    this.#send('Debugger.disable');
    this.#send('Runtime.evaluate', { expression: closeInspectorSoon, silent: true });
    this.#idle = setTimeout(() => {
      this.#send('Debugger.enable');
      this.#pause();
    }, idleCloseMs);
  }

  #onMessage(message: InspectorMessage): void {
    const { id, method, params, error } = message;
    if (id !== undefined && id === this.#askedId) this.#onAnswer();
    if (id !== undefined && id === this.#closeId && error !== undefined) this.#pause();
    if (method === 'Debugger.scriptParsed' && params?.scriptId !== undefined) {
      this.#urls.set(params.scriptId, params.url ?? '');
      return;
    }
    if (method !== 'Debugger.paused' || params?.callFrames === undefined) return;
    this.#askedId = 0;
    this.#frames ??= this.#readFrames(params.callFrames);
    // Asked for on the paused frame, so it runs before anything of the process does.
    this.#closeId = this.#send('Debugger.evaluateOnCallFrame', {
      callFrameId: params.callFrames[0]?.callFrameId,
      expression: closeInspector,
      silent: true,
    });
    this.#send('Debugger.resume');
  }

  /** None when Node's own are the only ones: then no code of a task is running. */
  #readFrames(callFrames: NonNullable<NonNullable<InspectorMessage['params']>['callFrames']>): StackFrame[] {
    const frames: StackFrame[] = [];
    let busy = false;
    for (const { functionName, location } of callFrames) {
      const url = this.#urls.get(location.scriptId) || '<eval>';
      if (!url.startsWith('node:')) busy = true;
      frames.push({ functionName, url, line: location.lineNumber + 1, column: (location.columnNumber ?? 0) + 1 });
    }
    return busy ? frames : [];
  }

  #send(method: string, params?: Readonly<Record<string, unknown>>): number {
    const id = ++this.#lastId;
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ id, method, params }));
    return id;
  }

  #onClose(): void {
    clearTimeout(this.#idle);
    const frames = this.#frames;
    if (frames === undefined) this.#settle(() => this.#reject(new Error('the process closed its inspector before it answered')));
    else this.#settle(() => this.#resolve(frames));
  }

  #onTimeout(timeoutMs: number): void {
    const frames = this.#frames;
    if (frames !== undefined) this.#settle(() => this.#resolve(frames));
    else this.#settle(() => this.#reject(new StackTimeout(`no answer within ${timeoutMs} ms: the process is inside a native call`)));
  }

  readonly #onAbort = (): void => {
    this.#settle(() => this.#reject(new Error(`taking the stack was cancelled: ${messageOf(this.#signal?.reason)}`)));
  };

  /**
   * The caller has its answer. The connection stays until the process has paused, closed its inspector and gone on, however long
   * that takes: leaving earlier would make it pause for nobody, or wait for us in the middle of closing.
   */
  #settle(settle: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timeout);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    settle();
  }
}
