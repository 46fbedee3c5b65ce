/** The text of `umbel help` and `umbel help COMMAND`: plain text for 100 columns. */
import type { Command, CommandContext, CommandEntry } from './command.ts';
import { globalOptions } from './global-options.ts';
import { type OptionSpec, settingKey, settingOption } from './option-spec.ts';

const width = 100;
const docColumn = 32;

export function generalHelp(commands: readonly CommandEntry[]): string {
  return sections([
    'Usage: umbel [GLOBAL OPTIONS] COMMAND [OPTIONS]',
    'Run Celery tasks written in JavaScript and TypeScript.',
    `Commands:\n${commands.map(({ name, summary }) => row(`  ${name}`, summary)).join('\n')}`,
    ...optionGroups(globalOptions),
    "'umbel help COMMAND' explains a command. Every setting: umbel config example.",
  ]);
}

/** With what the configuration adds to its description. Help is given however bad the configuration is. */
export async function described(command: Command, ctx: CommandContext): Promise<Command> {
  if (command.describe === undefined) return command;
  try {
    return { ...command, description: await command.describe(ctx) };
  } catch {
    return command;
  }
}

export function commandHelp({ name, summary }: CommandEntry, command: Command): string {
  if (command.help !== undefined) return command.help;
  const { description, examples = [], settings, options } = command;
  return sections([
    `Usage: umbel ${[name, ...command.arguments.map(upper), '[OPTIONS]'].join(' ')}`,
    wrapped(`${summary}.`, 0),
    ...(description === undefined
      ? []
      : [
          description
            .split('\n')
            .map((line) => wrapped(line, leading(line)))
            .join('\n'),
        ]),
    ...optionGroups([...options, ...settings.map(settingOption), ...globalOptions]),
    ...(examples.length === 0 ? [] : [`Examples:\n${examples.map((example) => `  ${example}`).join('\n')}`]),
  ]);
}

function sections(texts: readonly string[]): string {
  return `${texts.join('\n\n')}\n`;
}

/** One section per heading, in the order the headings first appear. */
function optionGroups(specs: readonly OptionSpec[]): readonly string[] {
  const groups = Map.groupBy(specs, (spec) => spec.group);
  return [...groups].map(([group, members]) => `${group}:\n${members.map(optionRow).join('\n')}`);
}

function optionRow(spec: OptionSpec): string {
  // Long names line up although not every option has a short one.
  const names = (spec.names[0]?.startsWith('--') ? '    ' : '') + spec.names.join(', ');
  const argument = spec.argument === null ? '' : spec.optional === undefined ? ` ${spec.argument}` : ` [${spec.argument}]`;
  const notes: string[] = [];
  const key = settingKey(spec);
  if (key !== null) notes.push(key);
  if (spec.defaultText !== undefined) notes.push(`default: ${spec.defaultText}`);
  if (spec.repeatable && spec.argument !== 'LIST') notes.push('may be repeated');
  const note = notes.join('; ');
  return row(`  ${names}${argument}`, note === '' ? spec.doc : `${spec.doc} [${note}]`);
}

/** A name and its explanation; a name too long for its column gets a line of its own. */
function row(name: string, doc: string): string {
  const text = wrapped(doc, docColumn);
  return name.length > docColumn - 2 ? `${name}\n${' '.repeat(docColumn)}${text}` : name.padEnd(docColumn) + text;
}

/** `text` in lines that end before the last column; all but the first are indented. */
function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.trim().split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [
    ' '.repeat(leading(text)) + (lines.length === 0 ? line : lines[0]),
    ...(lines.length === 0 ? [] : [...lines.slice(1), line]),
  ].join(`\n${' '.repeat(indent)}`);
}

function leading(text: string): number {
  return text.length - text.trimStart().length;
}

/** '<task>' → 'TASK', '[...files]' → '[FILES...]'. */
function upper(argument: string): string {
  const name = argument
    .replace(/^[<[]/, '')
    .replace(/[>\]]$/, '')
    .replace(/^\.\.\./, '')
    .toUpperCase();
  const many = argument.includes('...') ? `${name}...` : name;
  return argument.startsWith('[') ? `[${many}]` : many;
}
