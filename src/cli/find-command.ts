/** The command with a given name, or the error that suggests the nearest one. */
import { UmbelError } from '../errors.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { CommandEntry } from './command.ts';

/** Throws USAGE with the nearest name. */
export function findCommand(commands: readonly CommandEntry[], name: string): CommandEntry {
  const entry = commands.find((one) => one.name === name);
  if (entry !== undefined) return entry;
  const names = commands.map((one) => one.name);
  throw new UmbelError('USAGE', `'${name}' is not a command of umbel${didYouMean(name, names, `the commands are ${names.join(', ')}`)}`);
}
