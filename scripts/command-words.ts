/**
 * What manual pages and completions are made of: every command with its options and the words that can follow its name.
 *
 * All of it comes from the command table and from what the commands say of themselves in their help, so that nothing can be forgotten.
 */
import type { Command, CommandEntry } from '../src/cli/command.ts';
import { commands } from '../src/cli/commands.ts';
import { globalOptions } from '../src/cli/global-options.ts';
import { type OptionSpec, settingOption } from '../src/cli/option-spec.ts';
import { settingsTable } from '../src/config/settings-table.ts';

export interface CommandWords {
  readonly name: string;
  readonly summary: string;
  readonly command: Command;
  /** Its own, those of settings and, where the command reads its words as all others do, the global ones. */
  readonly options: readonly OptionSpec[];
  /** What its first argument can be, where that is one of a list. */
  readonly words: readonly string[];
}

export async function commandWords(): Promise<readonly CommandWords[]> {
  return Promise.all(
    commands.map(async (entry) => {
      const { command } = await entry.load();
      const options = [...command.options, ...command.settings.map(settingOption), ...globalOptions];
      return { name: entry.name, summary: entry.summary, command, options, words: firstWords(entry, command) };
    }),
  );
}

/** What the value of an option can be: words, or null where it is free. */
export function valueChoices(spec: OptionSpec): readonly string[] | null {
  const kind = spec.setting === undefined ? spec.kind : settingsTable[spec.setting].kind;
  const words = kind?.label.split(' | ') ?? [];
  return words.length > 1 && words.every((word) => /^[\w-]+$/.test(word)) ? words : null;
}

export function takesFile(spec: OptionSpec): boolean {
  return ['PATH', 'MODULE', 'FILE'].includes(spec.argument ?? '');
}

/** The help lists them: `umbel multi start …` in a usage, or `  start …` at the beginning of a line of a description. */
function firstWords({ name }: CommandEntry, command: Command): readonly string[] {
  if (name === 'help') return commands.map((entry) => entry.name);
  const pattern =
    command.help === undefined ? /^ {2}([a-z][\w.]*)(?= |$)/gm : new RegExp(`^(?:usage:|\\s+)\\s*umbel ${name} ([a-z]\\w*)`, 'gm');
  if (command.help === undefined && !/^[<[](action|command)[>\]]$/.test(command.arguments[0] ?? '')) return [];
  return [...new Set([...(command.help ?? command.description ?? '').matchAll(pattern)].map(([, word]) => word ?? ''))];
}
