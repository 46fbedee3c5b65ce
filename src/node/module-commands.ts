/**
 * Remote commands of the operator, in modules of his own: `worker.control_modules = ["commands.ts"]`.
 *
 * They run in the worker itself, as Celery's do. Loaded once, at the start of a worker, and by whoever calls remote commands, for their help and arguments.
 */
import { embedApi } from '../child/embed-api.ts';
import type { Config } from '../config/config.ts';
import type { ControlCommand } from '../control/command.ts';
import { declaredValues } from '../control/command-values.ts';
import { controlCommands } from '../control/control-commands.ts';
import { inspectCommands } from '../control/inspect-commands.ts';
import { UmbelError } from '../errors.ts';
import type { ModuleCommand } from '../task/control-module.ts';
import { loadControlModule } from '../task/load-control-module.ts';

/** Celery's, without those of modules. */
export const builtinCommands: readonly ControlCommand[] = [...inspectCommands, ...controlCommands];

/** All of them. Rejects with CONTROL_MODULE_FAILED. */
export async function remoteCommands(config: Config): Promise<readonly ControlCommand[]> {
  const modules = config.settings.worker_control_modules;
  if (modules.length === 0) return builtinCommands;
  embedApi();
  const found: ControlCommand[] = [];
  for (const path of modules) found.push(...(await loadControlModule(path)).map(([name, command]) => commandOf(name, command)));
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
    run: (surface, given) => run(surface, declaredValues(args, given)),
  };
}
