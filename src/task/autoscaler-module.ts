/** The module of `worker.autoscaler`: found, loaded, and seen to export a function. */
import { existsSync } from 'node:fs';
import { messageOf, UmbelError } from '../errors.ts';
import { importModule } from './import-module.ts';

/** What it exports as `autoscale` or as the default. Rejects with AUTOSCALER_FAILED. */
export async function loadAutoscalerModule(path: string): Promise<(...args: never[]) => unknown> {
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
  return exported as (...args: never[]) => unknown;
}
