/**
 * The hooks of task modules at the beginning and at the end of a child, and how long they may take. Which there are is task/process-hooks.ts.
 */
import { UmbelError } from '../errors.ts';
import type { ChildSettings } from '../ipc/exchange.ts';
import { systemClock, type Timer } from '../std/clock.ts';
import { hasHooks, runInitHooks, runShutdownHooks } from '../task/process-hooks.ts';
import { tracebackOf } from './traceback.ts';

/** After the modules are loaded. Rejects with CHILD_CANNOT_START. */
export async function startProcess(settings: ChildSettings): Promise<void> {
  if (!hasHooks('init')) return;
  const { loadTimeoutMs } = settings;
  let why: string | null;
  try {
    const done = runInitHooks(processOf(settings));
    why = (await within(done, loadTimeoutMs)) ? null : `it did not end within ${loadTimeoutMs / 1000} s`;
  } catch (error) {
    why = tracebackOf(error).trimEnd();
  }
  if (why !== null) throw new UmbelError('CHILD_CANNOT_START', `a hook of onWorkerProcessInit failed: ${why}`);
}

/** When nothing runs any more. Never rejects. */
export async function endProcess(settings: ChildSettings, complain: (text: string) => void): Promise<void> {
  const { shutdownHooksMs } = settings;
  const done = runShutdownHooks(processOf(settings), (error) =>
    complain(`a hook of onWorkerProcessShutdown failed: ${tracebackOf(error).trimEnd()}`),
  );
  if (await within(done, shutdownHooksMs)) return;
  complain(`the hooks of onWorkerProcessShutdown did not end within ${shutdownHooksMs / 1000} s (worker.process_shutdown_timeout)`);
}

function processOf({ index, nodeName }: ChildSettings): { readonly index: number; readonly hostname: string } {
  return { index, hostname: nodeName };
}

/** false: out of time. */
async function within(work: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: Timer | undefined;
  const late = new Promise<false>((resolve) => {
    timer = systemClock.setTimer(() => resolve(false), timeoutMs);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    systemClock.clearTimer(timer);
  }
}
