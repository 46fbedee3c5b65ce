/**
 * What tasks wait with most, made to end when their soft time limit is over: `fetch` and the `setTimeout` of node:timers/promises.
 *
 * Owns the two replacements, which do as ever outside of tasks and for whoever gives a signal of his own.
 */
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { currentInterruption } from '../task/task-context.ts';

let isDone = false;

/** Once per process or thread, before a task module is loaded. */
export function makeWaitsInterruptible(): void {
  if (isDone) return;
  isDone = true;
  const { setTimeout: sleep } = timers;
  timers.setTimeout = function setTimeout<T>(delay?: number, value?: T, options?: Parameters<typeof sleep>[2]): Promise<T> {
    const run = currentInterruption();
    if (run === undefined || run.error !== null || options?.signal != null) return sleep(delay, value, options) as Promise<T>;
    const at = {};
    Error.captureStackTrace(at, setTimeout);
    return run.wait((signal) => sleep(delay, value, { ...options, signal }) as Promise<T>, at);
  } as typeof sleep;
  syncBuiltinESMExports();

  const { fetch: load } = globalThis;
  globalThis.fetch = function fetch(input: Parameters<typeof load>[0], init?: RequestInit): Promise<Response> {
    const run = currentInterruption();
    if (run === undefined || run.error !== null || init?.signal != null) return load(input, init);
    const at = {};
    Error.captureStackTrace(at, fetch);
    return run.wait(
      (signal) => load(input, { ...init, signal: input instanceof Request ? AbortSignal.any([input.signal, signal]) : signal }),
      at,
    );
  };
}
