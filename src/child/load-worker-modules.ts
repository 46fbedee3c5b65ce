/** Loads, in a child that is thrown away, the modules that a worker would load into itself, so that what is wrong with them is known before. */
import type { TrialModules } from '../ipc/exchange.ts';
import { loadAutoscalerModule } from '../task/autoscaler-module.ts';
import { loadControlModule } from '../task/load-control-module.ts';
import { loadRouterModule } from '../task/router-module.ts';

/** Rejects with ROUTER_FAILED, CONTROL_MODULE_FAILED or AUTOSCALER_FAILED. */
export async function loadWorkerModules({ routers, control, autoscaler }: TrialModules): Promise<void> {
  for (const module of routers) await loadRouterModule(module);
  for (const path of control) await loadControlModule(path);
  if (autoscaler !== null) await loadAutoscalerModule(autoscaler);
}
