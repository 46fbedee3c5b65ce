/**
 * What task modules want done once in each process that runs tasks: after all modules are loaded and before the first task, and at the end.
 *
 * Named after Celery's signals worker_process_init and worker_process_shutdown. Owns the hooks that were given; when they run, and for how
 * long they may, is the child's business. In a program that only calls tasks nobody runs them.
 */
import { UmbelError } from '../errors.ts';

/** The process that runs tasks. */
export interface WorkerProcess {
  /** 1 to the number of children; a replacement has that of the child it replaces. */
  readonly index: number;
  /** The worker's node name. */
  readonly hostname: string;
}

export type ProcessHook = (worker: WorkerProcess) => unknown;

interface Hooks {
  readonly init: ProcessHook[];
  readonly shutdown: ProcessHook[];
}

/** A registered symbol, so that two copies of the library share them. */
const hooksKey = Symbol.for('umbel.processHooks');
const slots = globalThis as { [hooksKey]?: Hooks };
slots[hooksKey] ??= { init: [], shutdown: [] };
const hooks = slots[hooksKey];

/** Awaited before the first task, in the order given. A process in which one fails is not used. */
export function onWorkerProcessInit(hook: ProcessHook): void {
  hooks.init.push(checked('onWorkerProcessInit', hook));
}

/** Awaited when the process ends in peace, the last one given first. */
export function onWorkerProcessShutdown(hook: ProcessHook): void {
  hooks.shutdown.push(checked('onWorkerProcessShutdown', hook));
}

export function hasHooks(which: keyof Hooks): boolean {
  return hooks[which].length > 0;
}

/** Rejects with what the first one that fails throws. */
export async function runInitHooks(worker: WorkerProcess): Promise<void> {
  for (const hook of hooks.init) await hook(worker);
}

/** One that fails does not keep the others from running. */
export async function runShutdownHooks(worker: WorkerProcess, onError: (error: unknown) => void): Promise<void> {
  for (const hook of hooks.shutdown.toReversed()) {
    try {
      await hook(worker);
    } catch (error) {
      onError(error);
    }
  }
}

function checked(name: string, hook: ProcessHook): ProcessHook {
  if (typeof hook === 'function') return hook;
  throw new UmbelError('TASK_OPTION_INVALID', `${name}() takes a function, got ${String(hook)}`);
}
