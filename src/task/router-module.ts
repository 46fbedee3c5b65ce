/**
 * The module of a router (`task.routes = "router.ts"`): found, loaded, and seen to export a function.
 *
 * Loaded by the worker that routes with it, and before a restart by a child that tries whether it can be.
 */
import { existsSync } from 'node:fs';
import { messageOf, UmbelError } from '../errors.ts';
import { importModule } from './import-module.ts';

export interface RouterModule {
  readonly path: string;
  readonly exportName: string;
}

/** Rejects with ROUTER_FAILED. */
export async function loadRouterModule({ path, exportName }: RouterModule): Promise<(...args: never[]) => unknown> {
  if (!existsSync(path)) throw new UmbelError('ROUTER_FAILED', `task.routes must name router modules that are there, got ${path}`);
  let exported: unknown;
  try {
    const module = await importModule(path);
    // A CommonJS module imported as ESM has its exports as the default one.
    const inside: unknown = module.default;
    exported = module[exportName] ?? (typeof inside === 'object' && inside !== null ? Reflect.get(inside, exportName) : undefined);
  } catch (error) {
    const message = `the router module ${path} of task.routes did not load: ${messageOf(error)}`;
    throw new UmbelError('ROUTER_FAILED', message, { cause: error });
  }
  if (typeof exported !== 'function') {
    const where = `${path}:${exportName}`;
    throw new UmbelError('ROUTER_FAILED', `the router ${where} of task.routes must be an exported function, got ${typeof exported}`);
  }
  return exported as (...args: never[]) => unknown;
}
