/**
 * How the soft time limit of one run gets to the code of its task: by one way, once.
 *
 *   1. It waits with its signal: the signal aborts.
 *   2. It waits for something that is made interruptible (child/interruptible-waits.ts): that rejects.
 *   3. Otherwise its next await rejects (child/next-await.ts), or the next look at its signal tells it.
 *
 * After that its awaits work as ever, so that it can clean up. Owns what is known of that: whether the limit is over, and whether
 * the task has been told. Code that waits for anything else at that moment cannot be told before that has ended: JavaScript has no way to do it.
 */
import { getEventListeners } from 'node:events';
import { SoftTimeLimitExceeded } from './soft-time-limit.ts';

export class Interruption {
  /** null: the limit is not over. */
  error: SoftTimeLimitExceeded | null = null;
  /** The task has been told, or is being told. */
  told = false;
  /** Of waits that are interrupted; made when there is one. */
  #controller: AbortController | null = null;
  #waiting = 0;

  /** Its next await is to reject. */
  get isDue(): boolean {
    return this.error !== null && !this.told;
  }

  /** `taskController`: of the signal the task has, if it has asked for it. */
  interrupt(limitSeconds: number, taskController: AbortController | null): void {
    if (this.error !== null) return;
    const error = new SoftTimeLimitExceeded(limitSeconds);
    this.error = error;
    this.told = this.#waiting > 0 || (taskController !== null && isHeard(taskController.signal));
    if (taskController !== null && !this.told) this.tellOnLook(taskController.signal);
    taskController?.abort(error);
    this.#controller?.abort(error);
  }

  /** Where the task has its answer from. */
  tell(at: { readonly stack?: string }): SoftTimeLimitExceeded {
    const error = this.error ?? new SoftTimeLimitExceeded();
    this.told = true;
    const frames = at.stack?.slice(at.stack.indexOf('\n')) ?? '';
    error.stack = `${error.name}${frames.startsWith('\n') ? frames : ''}`;
    return error;
  }

  /** `start` gets a signal that aborts when the limit is over, and must reject then. */
  async wait<T>(start: (signal: AbortSignal) => Promise<T>, at: { readonly stack?: string }): Promise<T> {
    this.#controller ??= new AbortController();
    this.#waiting += 1;
    try {
      return await start(this.#controller.signal);
    } catch (thrown) {
      throw this.error !== null && this.#controller.signal.aborted ? this.tell(at) : thrown;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Who looks at the signal from now on knows. */
  tellOnLook(signal: AbortSignal): void {
    const { told } = this;
    if (told) return;
    const look = (): boolean => {
      this.told = true;
      return signalIsAborted(signal);
    };
    Object.defineProperty(signal, 'aborted', { configurable: true, get: look });
    Object.defineProperty(signal, 'throwIfAborted', {
      configurable: true,
      value: () => {
        if (look()) throw signal.reason;
      },
    });
  }
}

/** Somebody will act on it: a listener, or a signal that was made of it. */
function isHeard(signal: AbortSignal): boolean {
  // Aborted before, for another reason: whoever listened has heard of that.
  if (signal.aborted) return false;
  if (signal.onabort !== null || getEventListeners(signal, 'abort').length > 0) return true;
  return Object.getOwnPropertySymbols(signal).some((key) => {
    const dependants: unknown = Reflect.get(signal, key);
    return dependants instanceof Set && dependants.size > 0;
  });
}

const aborted = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get;

function signalIsAborted(signal: AbortSignal): boolean {
  return aborted?.call(signal) === true;
}
