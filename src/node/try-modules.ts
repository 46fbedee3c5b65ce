/**
 * Do the settings go together, and does a child with them load its task modules, and those of the worker itself (routers, remote commands, the
 * autoscaler)? Asked before a restart in place and by `umbel check`.
 *
 * Owns that a module that keeps the child busy is found in the act: the stack of the child says where.
 */
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import type { RootLogger } from '../log/create-logger.ts';
import { ChildPool, stopGraceMs } from '../pool/child-pool.ts';
import { processChildren } from '../pool/process-link.ts';
import { displayPath } from '../task/module-files.ts';
import { childCommand } from './pool-shape.ts';
import { routerModules } from './routing-params.ts';
import { checkTransportOptions } from './transport-options.ts';
import { childSettings, workerNames } from './worker-params.ts';

/** A child that waits says so itself soon after its time. */
const patienceMs = 1500;
/** For a look at the stack of one that does not, before it is killed. */
const lookMs = 5000;

/** Starts one child and lets it go again: the tasks it offers. Rejects with what kept it from starting. */
export async function tryModules(config: Config, env: NodeJS.ProcessEnv, log: RootLogger): Promise<ReadonlyMap<string, TaskOffer>> {
  checkTransportOptions(config);
  const names = workerNames(config);
  const { settings } = config;
  const startTimeoutMs = settings.worker_proc_alive_timeout * 1000;
  const modules = { routers: routerModules(settings), control: settings.worker_control_modules, autoscaler: settings.worker_autoscaler };
  const trial = new ChildPool({
    concurrency: 1,
    // Whatever the pool: what a module does when it loads must not be done to a worker that may carry on.
    kind: processChildren(childCommand()),
    settingsFor: (index) => ({ ...childSettings(config, names, index, env), logFile: null, trial: modules }),
    childConcurrency: 1,
    fair: true,
    heldUntilMs: () => Number.POSITIVE_INFINITY,
    startTimeoutMs: startTimeoutMs + patienceMs + lookMs,
    stopGraceMs: stopGraceMs + settings.worker_process_shutdown_timeout * 1000,
    maxStartFailures: 1,
    log,
    childLog: () => log.as({ processName: 'PoolChild-trial', voice: 'task' }),
    publish: () => Promise.reject(new UmbelError('NOT_SUPPORTED', 'a module that is being tried cannot call tasks')),
    storeState: () => Promise.resolve(),
    onFatal: () => {},
  });
  let busyAt: readonly string[] | null = null;
  const look = async (): Promise<void> => {
    const [child] = await trial.report();
    if (child?.state !== 'starting') return;
    busyAt = child.stack ?? [];
    process.kill(child.pid, 'SIGKILL');
  };
  // It may have ended meanwhile; then its own end says why.
  const timer = setTimeout(() => void look().catch(() => {}), startTimeoutMs + patienceMs);
  const startedAtMs = performance.now();
  try {
    await trial.start();
    const tookMs = performance.now() - startedAtMs;
    if (tookMs <= startTimeoutMs) return trial.tasks;
    const rule = `a child must be ready within worker.proc_alive_timeout, ${startTimeoutMs / 1000} s`;
    throw new UmbelError('TASK_MODULE_BROKEN', `${rule}, got ${(tookMs / 1000).toFixed(1)} s`);
  } catch (error) {
    throw busyAt === null ? error : stillBusy(busyAt, startTimeoutMs);
  } finally {
    clearTimeout(timer);
    await trial.stop();
  }
}

/** `stack` as os/inspector-stack.ts writes it: the innermost frame in a file is where the module stands. */
function stillBusy(stack: readonly string[], timeoutMs: number): UmbelError {
  const frame = stack.map((line) => /\((file:.*?)(:\d+:\d+)\)$/.exec(line)).find((match) => match !== null);
  const file = frame?.[1];
  const doing =
    file === undefined
      ? (stack[0]?.trim() ?? 'it is waiting')
      : `it is busy at ${displayPath(fileURLToPath(file), process.cwd())}${frame?.[2]}`;
  return new UmbelError('TASK_MODULE_BROKEN', `a module did not load within ${timeoutMs / 1000} s: ${doing}`);
}
