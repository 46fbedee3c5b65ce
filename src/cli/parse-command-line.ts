/**
 * Hands the command line to cac and takes back the options and arguments of the command. The only file that imports `cac`.
 *
 * cac owns the declaration of the command and the rules for its arguments (which must be given, how many there may be) and
 * collects options. Its own reading of words would turn `--task-id 007` into 7 and `-linfo` into four flags, so it gets them already split
 * (split-words.ts), in one canonical form that it cannot misread: `--name=:value`, `:word`.
 */
import { cac } from 'cac';
import { UmbelError } from '../errors.ts';
import type { Command } from './command.ts';
import { longName, type OptionSpec } from './option-spec.ts';
import type { GivenOption } from './split-words.ts';

interface ParseParams {
  readonly name: string;
  readonly command: Command;
  readonly specs: readonly OptionSpec[];
  readonly options: readonly GivenOption[];
  readonly words: readonly string[];
}

export interface ParsedCommandLine {
  readonly args: readonly string[];
  /** Every value given for an option, in order; `true` stands for "no value". */
  readonly values: ReadonlyMap<OptionSpec, readonly (string | true)[]>;
}

const mark = ':';

function decode(value: unknown): string | true {
  const text = String(value);
  return text.startsWith(mark) ? text.slice(mark.length) : true;
}

/** Throws USAGE when arguments are missing or left over. */
export function parseCommandLine({ name, command, specs, options, words }: ParseParams): ParsedCommandLine {
  const program = cac('umbel');
  const declared = program.command([name, ...command.arguments].join(' '));
  const keys = new Map<OptionSpec, string>();
  for (const spec of specs) {
    // cac turns `--no-color` into color: false; with a letter before it the name is left alone. An empty type only makes a list of the values.
    const key = `o-${longName(spec).replace(/^-+/, '')}`;
    declared.option(`--${key} [value]`, spec.doc, { type: [] });
    keys.set(spec, declared.options.at(-1)?.name ?? key);
  }
  declared.action(() => undefined);
  const canonical = options.map(({ spec, value }) => `--o-${longName(spec).replace(/^-+/, '')}=${value === true ? '-' : mark + value}`);
  try {
    program.parse(['node', 'umbel', name, ...canonical, ...words.map((word) => mark + word)]);
  } catch (thrown) {
    if (!(thrown instanceof Error) || thrown.name !== 'CACError') throw thrown;
    throw new UmbelError('USAGE', `${plain(thrown.message)}; see umbel ${name} --help`, { cause: thrown });
  }
  const values = new Map<OptionSpec, readonly (string | true)[]>();
  for (const [spec, key] of keys) {
    const given: unknown = program.options[key];
    if (Array.isArray(given)) values.set(spec, given.map(decode));
  }
  return { args: program.args.map((word) => word.slice(mark.length)), values };
}

/** cac's messages without the mark and in our quotes. */
function plain(message: string): string {
  return message
    .replaceAll(`\`${mark}`, '`')
    .replaceAll('`', "'")
    .replace('missing required args', 'arguments are missing')
    .replace('Unused args', 'too many arguments');
}
