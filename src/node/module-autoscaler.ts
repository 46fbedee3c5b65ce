/**
 * An autoscaler of the operator, in a module of his own: `worker.autoscaler = "scaler.ts"`.
 *
 * Runs in the worker itself, as routers do. Loaded once, before the pool starts; it must answer at once.
 */
import type { AutoscaleFunction } from '../pool/autoscaler.ts';
import { loadAutoscalerModule } from '../task/autoscaler-module.ts';

/** Rejects with AUTOSCALER_FAILED. */
export async function loadAutoscaler(path: string): Promise<AutoscaleFunction> {
  return (await loadAutoscalerModule(path)) as AutoscaleFunction;
}
