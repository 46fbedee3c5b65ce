/**
 * An autoscaler of the operator, in a module of his own: `worker.autoscaler = "scaler.ts"`.
 *
 * Runs in the worker itself, as routers do. Loaded once, before the pool starts; it must answer at once.
 */
import { existsSync } from 'node:fs';
import { messageOf, UmbelError } from '../errors.ts';
import type { AutoscaleFunction } from '../pool/autoscaler.ts';
import { importModule } from '../task/import-module.ts';

/** The function it exports as `autoscale` or as the default. Rejects with AUTOSCALER_FAILED. */
export async function loadAutoscaler(path: string): Promise<AutoscaleFunction> {
  if (!existsSync(path)) throw new UmbelError('AUTOSCALER_FAILED', `worker.autoscaler must name a module that is there, got ${path}`);
  let exported: unknown;
  try {
    const module = await importModule(path);
    // A CommonJS module imported as ESM has its exports as the default one.
    const inside: unknown = module.default;
    exported = module.autoscale ?? (typeof inside === 'object' && inside !== null ? (Reflect.get(inside, 'autoscale') ?? inside) : inside);
  } catch (error) {
    throw new UmbelError('AUTOSCALER_FAILED', `the module ${path} of worker.autoscaler did not load: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (typeof exported !== 'function')
    throw new UmbelError(
      'AUTOSCALER_FAILED',
      `${path} of worker.autoscaler must export a function as autoscale or default, got ${typeof exported}`,
    );
  return exported as AutoscaleFunction;
}
