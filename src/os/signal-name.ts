/**
 * Signals as operators name them. Source: protocol notes, worker-behaviour.md §7: an upper-case name with or without `SIG`, or a number.
 */
import { constants } from 'node:os';
import { UmbelError } from '../errors.ts';
import { repr } from '../std/safe-repr.ts';

export interface NamedSignal {
  readonly name: string;
  readonly number: number;
}

/** Real-time signals have numbers, and no names of their own. */
const highestNumber = 64;

const numbers = constants.signals as Readonly<Record<string, number>>;

/** Throws REVOKE_INVALID. */
export function namedSignal(value: unknown): NamedSignal {
  if (typeof value === 'string') {
    const name = value.startsWith('SIG') ? value : `SIG${value}`;
    const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
    if (number !== undefined) return { name, number };
  } else if (Number.isInteger(value) && (value as number) > 0 && (value as number) <= highestNumber) {
    const number = value as number;
    const name = Object.keys(numbers).find((known) => numbers[known] === number);
    return { name: name ?? `signal ${number}`, number };
  }
  throw new UmbelError(
    'REVOKE_INVALID',
    `a signal must be an upper-case name such as TERM or SIGTERM, or a number from 1 to ${highestNumber}, got ${repr(value, 100)}`,
  );
}
