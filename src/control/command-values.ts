/** Arguments of commands as they come from anybody: read into what a command needs, or refused in the words of Python. */
import { pythonText } from '../std/python-repr.ts';
import type { CommandArgument } from './command.ts';
import { CommandFailure } from './command-failure.ts';

/** A text, or a list of texts; what is no text is read as one, but for lists and objects in its place. */
export function listOf(name: string, value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map((item: unknown) => {
    if (typeof item === 'object' && item !== null)
      throw new CommandFailure('TypeError', `${name} must be a text or a list of texts, got ${shown(item)}`);
    return String(item);
  });
}

/** The name of something that must have one. */
export function nameOf(name: string, value: unknown): string {
  if (textOf(name, value) !== '') return textOf(name, value);
  throw new CommandFailure('ValueError', `${name} must not be empty`);
}

export function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new CommandFailure('TypeError', `${name} must be a text, got ${shown(value)}`);
}

export function textOrNull(name: string, value: unknown): string | null {
  return value === null || value === undefined || value === '' ? null : textOf(name, value);
}

/** As Python takes it: Flower sends 1 for true. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** A number, also as text: command lines send those. null stays null. */
export function numberOrNull(name: string, value: unknown): number | null {
  if (value === null || value === undefined) return null;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw new CommandFailure('ValueError', `${name} must be a number, got ${shown(value)}`);
}

export function secondsOrNull(name: string, value: unknown): number | null {
  const number = numberOrNull(name, value);
  if (number === null || number >= 0) return number;
  throw new CommandFailure('ValueError', `${name} must be a number from 0, got ${shown(value)}`);
}

export function countOf(name: string, value: unknown): number {
  const number = numberOrNull(name, value);
  if (number !== null && Number.isInteger(number) && number >= 0) return number;
  throw new CommandFailure('ValueError', `${name} must be a whole number from 0, got ${shown(value)}`);
}

/** Arguments as a module declares them, whoever sent them. What has no type, and what is the default, is taken as it is. Throws CommandFailure. */
export function declaredValues(
  declared: readonly CommandArgument[],
  args: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const read: Record<string, unknown> = { ...args };
  for (const argument of declared) {
    const { name, type, rest } = argument;
    const value = args[name];
    if (type === undefined || ('default' in argument && value === argument.default)) continue;
    read[name] = rest === true ? [value].flat().map((one) => declaredValue(name, type, one)) : declaredValue(name, type, value);
  }
  return read;
}

function declaredValue(name: string, type: NonNullable<CommandArgument['type']>, value: unknown): unknown {
  switch (type) {
    case 'text':
      return textOf(name, value);
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(String(value))) return true;
      if (/^(false|no|off|0)$/i.test(String(value))) return false;
      throw new CommandFailure('ValueError', `${name} must be true or false, got ${shown(value)}`);
    case 'integer':
    case 'number': {
      const number = numberOrNull(name, value);
      if (number !== null && (type === 'number' || Number.isInteger(number))) return number;
      throw new CommandFailure('ValueError', `${name} must be ${type === 'integer' ? 'a whole number' : 'a number'}, got ${shown(value)}`);
    }
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? pythonText(value) : (JSON.stringify(value) ?? String(value));
}
