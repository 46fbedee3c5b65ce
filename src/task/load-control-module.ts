/** A module of `worker.control_modules`: found, loaded, and seen to export remote commands. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';
import { ModuleCommand } from './control-module.ts';
import { importModule } from './import-module.ts';

/** Its commands by the names under which it exports them. Rejects with CONTROL_MODULE_FAILED. */
export async function loadControlModule(relativePath: string): Promise<readonly (readonly [exportName: string, command: ModuleCommand])[]> {
  const path = resolve(relativePath);
  if (!existsSync(path))
    throw new UmbelError('CONTROL_MODULE_FAILED', `worker.control_modules must name modules that are there, got ${path}`);
  let exported: Readonly<Record<string, unknown>>;
  try {
    const module = await importModule(path);
    const inside: unknown = module.default;
    exported = typeof inside === 'object' && inside !== null && !(inside instanceof ModuleCommand) ? { ...inside, ...module } : module;
  } catch (error) {
    throw new UmbelError('CONTROL_MODULE_FAILED', `the module ${path} of worker.control_modules did not load: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const commands = Object.entries(exported).flatMap(([name, value]) => (value instanceof ModuleCommand ? [[name, value] as const] : []));
  if (commands.length === 0)
    throw new UmbelError(
      'CONTROL_MODULE_FAILED',
      `a module of worker.control_modules must export what controlCommand or inspectCommand has made, got none (${path})`,
    );
  return commands;
}
