/** From the words of a command line to the arguments of a remote command. */
import { UmbelError } from '../errors.ts';
import type { CommandArgument, ControlCommand } from './command.ts';

/** `name signature`, as help and errors show it. */
export function usageOf({ name, signature }: Pick<ControlCommand, 'name' | 'signature'>): string {
  return signature === undefined ? name : `${name} ${signature}`;
}

/** What the words of a command are read by; `kind` absent: it is one of `umbel ctl` alone. */
export type WordedCommand = Pick<ControlCommand, 'name' | 'arguments' | 'commandLine' | 'signature'> &
  Partial<Pick<ControlCommand, 'kind'>>;

/** Throws USAGE for a word too many, one too few, or one that is not what it should be. */
export function argumentsFrom(command: WordedCommand, words: readonly string[]): Record<string, unknown> {
  const order = command.commandLine ?? command.arguments.map(({ name }) => name);
  const args: Record<string, unknown> = {};
  let at = 0;
  for (const name of order) {
    const argument = command.arguments.find((one) => one.name === name);
    if (argument === undefined) throw new UmbelError('INTERNAL', `the remote command ${command.name} has no argument ${name}`);
    if (argument.rest === true) {
      const rest = words.slice(at);
      at = words.length;
      if (rest.length === 0 && !('default' in argument)) throw usage(command, `${name} is missing`);
      if (rest.length > 0) args[name] = rest;
      continue;
    }
    const word = words[at];
    if (word === undefined) {
      if ('default' in argument) continue;
      throw usage(command, `${name} is missing`);
    }
    args[name] = readWord(command, argument, word);
    at += 1;
  }
  if (at < words.length) throw usage(command, `got ${JSON.stringify(words[at])} too much`);
  return args;
}

function readWord(command: WordedCommand, { name, type = 'text' }: CommandArgument, word: string): unknown {
  switch (type) {
    case 'text':
      return word;
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(word)) return true;
      if (/^(false|no|off|0)$/i.test(word)) return false;
      throw usage(command, `${name} must be true or false, got ${JSON.stringify(word)}`);
    case 'integer':
    case 'number': {
      const number = word.trim() === '' ? Number.NaN : Number(word);
      if (Number.isFinite(number) && (type === 'number' || Number.isInteger(number))) return number;
      throw usage(command, `${name} must be ${type === 'integer' ? 'a whole number' : 'a number'}, got ${JSON.stringify(word)}`);
    }
  }
}

function usage(command: WordedCommand, problem: string): UmbelError {
  return new UmbelError('USAGE', `usage: umbel ${command.kind ?? 'ctl'} ${usageOf(command)}: ${problem}`);
}
