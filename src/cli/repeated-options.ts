/** Options that several commands have: how they are written and read. What each does with them is its own. */
import { type Kind, seconds } from '../config/kind.ts';
import { flagOption, type OptionSpec, optionalValueOption, valueOption } from './option-spec.ts';

export function jsonOption(doc: string): OptionSpec<true> {
  return flagOption({ names: ['-j', '--json'], doc });
}

export function timeoutOption(doc: string, defaultText: string, kind: Kind<number> = seconds()): OptionSpec<number> {
  return valueOption({ names: ['-t', '--timeout'], argument: 'SECONDS', kind, doc, defaultText });
}

/** `true`: for as long as it takes. */
export function waitOption(doc: string): OptionSpec<number | true> {
  return optionalValueOption({ names: ['--wait'], argument: 'SECONDS', kind: seconds(), optional: /^\d+(\.\d+)?$/, doc });
}
