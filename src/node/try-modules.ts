/** Before a restart in place: do the new settings go together, and does a child with them load its task modules, and those of the routers? */
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import type { RootLogger } from '../log/create-logger.ts';
import { PreforkPool, stopGraceMs } from '../pool/prefork-pool.ts';
import { processChildren } from '../pool/process-link.ts';
import { childCommand } from './pool-shape.ts';
import { routerModules } from './routing-params.ts';
import { checkTransportOptions } from './transport-options.ts';
import { childSettings, workerNames } from './worker-params.ts';

/** Starts one child and lets it go again. Rejects with what kept it from starting. */
export async function tryModules(config: Config, env: NodeJS.ProcessEnv, log: RootLogger): Promise<void> {
  checkTransportOptions(config);
  const names = workerNames(config);
  const trial = new PreforkPool({
    concurrency: 1,
    // Whatever the pool: what a module does when it loads must not be done to a worker that may carry on.
    kind: processChildren(childCommand()),
    settingsFor: (index) => ({ ...childSettings(config, names, index, env), logFile: null, routerModules: routerModules(config.settings) }),
    childConcurrency: 1,
    fair: true,
    heldUntilMs: () => Number.POSITIVE_INFINITY,
    startTimeoutMs: config.settings.worker_proc_alive_timeout * 1000,
    stopGraceMs: stopGraceMs + config.settings.worker_process_shutdown_timeout * 1000,
    maxStartFailures: 1,
    log,
    childLog: () => log.as({ processName: 'PoolChild-trial', voice: 'task' }),
    publish: () => Promise.reject(new UmbelError('NOT_SUPPORTED', 'a module that is being tried cannot call tasks')),
    storeState: () => Promise.resolve(),
    onFatal: () => {},
  });
  try {
    await trial.start();
  } finally {
    await trial.stop();
  }
}
