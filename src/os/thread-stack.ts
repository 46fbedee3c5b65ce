/**
 * The JavaScript stack of a thread of this process, even while that thread spins in a loop.
 *
 * Owns a session with the inspector of this process, which reaches its threads without a port. The thread is paused, its frames are
 * read, and it goes on unharmed. Never leaves it paused, also when it gives up: a session that ends with a pause under way would, so it
 * stays until the thread has paused and gone on.
 */
import type { Session } from 'node:inspector';
import { messageOf } from '../errors.ts';
import { framesOf, type InspectorMessage, idleMs, type StackFrame, StackTimeout } from './inspector-stack.ts';

export interface TakeThreadStackParams {
  readonly threadId: number;
  /** Rejects with StackTimeout when it is over. */
  readonly timeoutMs: number;
}

/** Innermost frame first; none when the thread runs no JavaScript. */
export async function takeThreadStack({ threadId, timeoutMs }: TakeThreadStackParams): Promise<StackFrame[]> {
  const inspector = await import('node:inspector');
  return new Promise((resolve, reject) => {
    const pause = new ThreadPause(new inspector.Session(), threadId, resolve, reject);
    const giveUp = (): void => pause.fail(new StackTimeout(`no answer within ${timeoutMs} ms: the thread is inside a native call`));
    pause.timer = setTimeout(giveUp, timeoutMs);
  });
}

/** What Node's inspector says of threads; its types do not have it whole. */
interface AttachedThread {
  readonly params: { readonly sessionId: string; readonly workerInfo: { readonly title: string } };
}
interface ThreadMessage {
  readonly params: { readonly sessionId: string; readonly message: string };
}

class ThreadPause {
  timer: NodeJS.Timeout | undefined;
  readonly #session: Session;
  readonly #resolve: (frames: StackFrame[]) => void;
  readonly #reject: (reason: Error) => void;
  readonly #urls = new Map<string, string>();
  /** Of the thread we are after; the others are let be. */
  #threadSession: string | null = null;
  #lastId = 0;
  #pauseId = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(session: Session, threadId: number, resolve: (frames: StackFrame[]) => void, reject: (reason: Error) => void) {
    this.#session = session;
    this.#resolve = resolve;
    this.#reject = reject;
    session.connect();
    session.on('NodeWorker.attachedToWorker', ({ params }: AttachedThread) => {
      // The only place where it says which thread this is.
      if (!params.workerInfo.title.startsWith(`[worker ${threadId}]`)) return;
      this.#threadSession = params.sessionId;
      this.#send('Debugger.enable');
      this.#pauseId = this.#send('Debugger.pause');
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }: ThreadMessage) => {
      if (params.sessionId === this.#threadSession) this.#onMessage(JSON.parse(params.message) as InspectorMessage);
    });
    session.on('NodeWorker.detachedFromWorker', ({ params }: { params: { sessionId: string } }) => {
      if (params.sessionId === this.#threadSession) this.#end(() => this.#reject(new Error('the thread ended before it answered')));
    });
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, (error) => {
      if (error !== null) this.#end(() => this.#reject(new Error(`the inspector refused: ${messageOf(error)}`)));
      else if (this.#threadSession === null) this.#end(() => this.#reject(new Error(`there is no thread ${threadId}`)));
    });
  }

  /** The caller has its answer. */
  fail(error: Error): void {
    this.#reject(error);
  }

  #onMessage({ id, method, params }: InspectorMessage): void {
    if (id !== undefined && id === this.#pauseId) this.#idle = setTimeout(() => this.#onIdle(), idleMs);
    if (method === 'Debugger.scriptParsed' && params?.scriptId !== undefined) this.#urls.set(params.scriptId, params.url ?? '');
    if (method !== 'Debugger.paused' || params?.callFrames === undefined) return;
    this.#send('Debugger.resume');
    const frames = framesOf(params.callFrames, this.#urls);
    this.#end(() => this.#resolve(frames));
  }

  /** It runs nothing that could be paused, and must not pause when it does. */
  #onIdle(): void {
    this.#send('Debugger.disable');
    this.#end(() => this.#resolve([]));
  }

  #end(settle: () => void): void {
    clearTimeout(this.timer);
    clearTimeout(this.#idle);
    this.#session.disconnect();
    settle();
  }

  #send(method: string): number {
    const id = ++this.#lastId;
    const message = JSON.stringify({ id, method });
    this.#session.post('NodeWorker.sendMessageToWorker', { sessionId: this.#threadSession ?? '', message });
    return id;
  }
}
