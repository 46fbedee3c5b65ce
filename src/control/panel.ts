/**
 * The panel: which commands there are, and how a request becomes a call of one of them.
 *
 * Owns the checks of arguments, with the words Python has for them. Never knows where a request came from.
 */
import { pythonText } from '../std/python-repr.ts';
import type { ControlCommand } from './command.ts';
import { CommandFailure, errorText } from './command-failure.ts';
import type { ControlSurface } from './control-surface.ts';

export class Panel {
  readonly #byName = new Map<string, ControlCommand>();

  /** A later command takes the place of an earlier one of the same name. */
  constructor(commands: readonly ControlCommand[]) {
    this.add(commands);
  }

  get commands(): readonly ControlCommand[] {
    return [...new Set(this.#byName.values())];
  }

  add(commands: readonly ControlCommand[]): void {
    for (const command of commands) for (const name of [command.name, ...(command.aliases ?? [])]) this.#byName.set(name, command);
  }

  find(name: string): ControlCommand | undefined {
    return this.#byName.get(name);
  }

  /** The value of a reply, or `noReply`. A failure is a value as well: `{ error: text }`; `onFailure` hears of it first. */
  async call(
    surface: ControlSurface,
    method: string,
    args: Readonly<Record<string, unknown>>,
    onFailure: (error: unknown) => void,
  ): Promise<unknown> {
    try {
      const command = this.#byName.get(method);
      if (command === undefined) throw new CommandFailure('KeyError', method);
      return await command.run(surface, withDefaults(command, method, args));
    } catch (error) {
      onFailure(error);
      return { error: errorText(error) };
    }
  }
}

/** Throws CommandFailure for an argument that is missing, or one too many where the command is strict. */
export function withDefaults(
  command: Pick<ControlCommand, 'arguments' | 'strict'>,
  calledAs: string,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  const missing: string[] = [];
  for (const argument of command.arguments) {
    if (Object.hasOwn(given, argument.name)) args[argument.name] = given[argument.name];
    else if ('default' in argument) args[argument.name] = argument.default;
    else missing.push(argument.name);
  }
  if (missing.length > 0) {
    const what = missing.length === 1 ? 'argument' : 'arguments';
    throw new CommandFailure(
      'TypeError',
      `${calledAs}() missing ${missing.length} required positional ${what}: ${missing.map(pythonText).join(' and ')}`,
    );
  }
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(args, name)) continue;
    if (command.strict === true)
      throw new CommandFailure('TypeError', `${calledAs}() got an unexpected keyword argument ${pythonText(name)}`);
    args[name] = given[name];
  }
  return args;
}
