/**
 * Remote commands of the operator, in modules of his own: `worker.control_modules = ["commands.ts"]`.
 *
 * They run in the worker itself, as Celery's do. Loaded once, at the start of a worker, and by whoever calls remote commands, for their help and arguments.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { embedApi } from '../child/embed-api.ts';
import type { Config } from '../config/config.ts';
import type { ControlCommand } from '../control/command.ts';
import { controlCommands } from '../control/control-commands.ts';
import { inspectCommands } from '../control/inspect-commands.ts';
import { messageOf, UmbelError } from '../errors.ts';
import { ModuleCommand } from '../task/control-module.ts';
import { importModule } from '../task/import-module.ts';

/** Celery's, without those of modules. */
export const builtinCommands: readonly ControlCommand[] = [...inspectCommands, ...controlCommands];

/** All of them. Rejects with CONTROL_MODULE_FAILED. */
export async function remoteCommands(config: Config): Promise<readonly ControlCommand[]> {
  const modules = config.settings.worker_control_modules;
  if (modules.length === 0) return builtinCommands;
  embedApi();
  const found: ControlCommand[] = [];
  for (const path of modules) found.push(...(await commandsOf(resolve(path))));
  const names = new Set(builtinCommands.flatMap(({ name, aliases = [] }) => [name, ...aliases]));
  for (const { name, aliases = [] } of found)
    for (const one of [name, ...aliases]) {
      if (names.has(one))
        throw new UmbelError(
          'CONTROL_MODULE_FAILED',
          `a remote command must have a name of its own, got ${one} twice (worker.control_modules)`,
        );
      names.add(one);
    }
  return [...builtinCommands, ...found];
}

async function commandsOf(path: string): Promise<ControlCommand[]> {
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
  const commands = Object.entries(exported).flatMap(([name, value]) => (value instanceof ModuleCommand ? [commandOf(name, value)] : []));
  if (commands.length === 0)
    throw new UmbelError(
      'CONTROL_MODULE_FAILED',
      `a module of worker.control_modules must export what controlCommand or inspectCommand has made, got none (${path})`,
    );
  return commands;
}

function commandOf(exportName: string, { kind, options, run }: ModuleCommand): ControlCommand {
  const { name = exportName, aliases, args = [], signature, help = '', timeoutSeconds } = options;
  return {
    name,
    kind,
    arguments: args,
    help,
    ...(aliases === undefined ? null : { aliases }),
    ...(signature === undefined ? null : { signature }),
    ...(timeoutSeconds === undefined ? null : { timeoutSeconds }),
    run,
  };
}
