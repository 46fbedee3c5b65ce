/** Manual pages in roff: umbel(1), and one for each command, umbel-COMMAND(1). Text → text; the same sources give the same bytes. */
import { globalOptions } from '../src/cli/global-options.ts';
import { type OptionSpec, settingKey } from '../src/cli/option-spec.ts';
import { signalTable } from '../src/os/signal-table.ts';
import type { CommandWords } from './command-words.ts';

/** What stands in the margins of every page. */
export interface Edition {
  readonly version: string;
  /** 2026-01-31 */
  readonly date: string;
}

/** File name → text. */
export function manualPages(commands: readonly CommandWords[], edition: Edition): ReadonlyMap<string, string> {
  const pages = new Map([['umbel.1', programPage(commands, edition)]]);
  for (const one of commands) pages.set(`umbel-${one.name}.1`, commandPage(one, edition));
  return pages;
}

function programPage(commands: readonly CommandWords[], edition: Edition): string {
  return page('umbel', edition, [
    section('NAME', 'umbel \\- a worker daemon that speaks Celery, for tasks in JavaScript and TypeScript'),
    section('SYNOPSIS', '.B umbel\n[global options] \\fIcommand\\fR [options]'),
    section(
      'DESCRIPTION',
      paragraph(
        'umbel takes tasks from RabbitMQ, Redis or a SQLite file, runs them in supervised child processes and stores their results, in the message formats of Celery.',
      ),
    ),
    section('COMMANDS', commands.map(({ name, summary }) => item(`.BR umbel\\-${escaped(name)} (1)`, paragraph(`${summary}.`))).join('\n')),
    section('GLOBAL OPTIONS', globalOptions.map(option).join('\n')),
    section(
      'FILES',
      [
        item(
          '.I /etc/umbel/umbel.toml',
          paragraph('The configuration, where neither --config nor UMBEL_CONFIG nor a file nearer by says otherwise.'),
        ),
        item(
          '.I /etc/default/umbeld',
          paragraph('Variables of the services umbel.service and umbel@.service and of the init script umbeld.'),
        ),
      ].join('\n'),
    ),
    section(
      'ENVIRONMENT',
      [
        item('.B UMBEL_CONFIG', paragraph('The configuration file.')),
        item('.BI UMBEL_ SETTING', paragraph('Any setting: UMBEL_BROKER_URL is broker.url. Stronger than the file, weaker than a flag.')),
        item('.B UMBEL_DEBUG', paragraph('Show where in the program an error was raised.')),
      ].join('\n'),
    ),
    section(
      'EXIT STATUS',
      paragraph(
        '0: done. 1: the answer is a failure. Otherwise as in sysexits.h: 64 wrong command line, 65 a wrong task module or message, 69 broker away, 70 a defect, 73 a file cannot be created, 75 try again later, 77 not permitted, 78 wrong configuration.',
      ),
    ),
    section('SEE ALSO', '.BR celery (1),\n.BR systemctl (1)'),
  ]);
}

function commandPage({ name, summary, command, options }: CommandWords, edition: Edition): string {
  const own = command.help !== undefined;
  const groups = Map.groupBy(options, (spec) => spec.group);
  const { description, examples = [] } = command;
  return page(`umbel-${name}`, edition, [
    section('NAME', `umbel\\-${escaped(name)} \\- ${escaped(summary)}`),
    ...(own
      ? [section('DESCRIPTION', verbatim(command.help?.trimEnd() ?? ''))]
      : [
          section('SYNOPSIS', `.B umbel ${escaped(name)}\n${escaped(['[options]', ...command.arguments].join(' '))}`),
          ...(description === undefined ? [] : [section('DESCRIPTION', prose(description))]),
          ...[...groups].map(([group, specs]) => section(group.toUpperCase(), specs.map(option).join('\n'))),
        ]),
    ...(name === 'worker'
      ? [
          section(
            'SIGNALS',
            Object.entries(signalTable)
              .map(([signal, { summary: what }]) => item(`.B ${signal}`, paragraph(what)))
              .join('\n'),
          ),
        ]
      : []),
    ...(examples.length === 0 ? [] : [section('EXAMPLES', verbatim(examples.join('\n')))]),
    section('SEE ALSO', '.BR umbel (1)'),
  ]);
}

function page(name: string, { version, date }: Edition, sections: readonly string[]): string {
  return `.TH ${escaped(name.toUpperCase())} 1 ${date} "umbel ${escaped(version)}" "umbel"\n.nh\n.ad l\n${sections.join('\n')}\n`;
}

function section(title: string, body: string): string {
  return `.SH ${/ /.test(title) ? `"${escaped(title)}"` : escaped(title)}\n${body}`;
}

function item(head: string, body: string): string {
  return `.TP\n${head}\n${body}`;
}

function option(spec: OptionSpec): string {
  const argument = spec.argument === null ? '' : `\\fI${escaped(spec.argument)}\\fR`;
  const names = spec.names.map((name) => {
    if (argument === '') return `\\fB${escaped(name)}\\fR`;
    const joint = name.startsWith('--') ? '=' : ' ';
    return `\\fB${escaped(name)}\\fR${spec.optional === undefined ? joint + argument : `[${joint}${argument}]`}`;
  });
  const notes = [settingKey(spec), spec.defaultText === undefined ? null : `default: ${spec.defaultText}`].filter((note) => note !== null);
  return item(names.join(', '), paragraph(notes.length === 0 ? spec.doc : `${spec.doc} [${notes.join('; ')}]`));
}

/** Lines that begin with a space stay as they are. */
function prose(text: string): string {
  const parts: { lines: string[]; indented: boolean }[] = [];
  for (const line of text.split('\n')) {
    const indented = line.startsWith(' ');
    const last = parts.at(-1);
    if (last?.indented === indented && indented) last.lines.push(line);
    else parts.push({ lines: [line], indented });
  }
  return parts
    .map(({ lines, indented }) => (indented ? verbatim(lines.join('\n')) : lines[0]?.trim() === '' ? '.PP' : paragraph(lines.join('\n'))))
    .join('\n');
}

function verbatim(text: string): string {
  return `.nf\n${text.split('\n').map(guarded).join('\n')}\n.fi`;
}

function paragraph(text: string): string {
  return guarded(text.replaceAll(/\s+/g, ' ').trim());
}

/** A line that begins with a dot or a quote would be a request. */
function guarded(line: string): string {
  const text = escaped(line);
  return /^[.']/.test(text) ? `\\&${text}` : text;
}

function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/[\u0080-\uffff]/g, (unit) => `\\[u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}]`);
}
