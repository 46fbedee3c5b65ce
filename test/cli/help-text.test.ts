/** The help: 100 columns, grouped, and every option of a command stands in it once. */
import t from 'tap';
import type { Command } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import { globalOptions } from '../../src/cli/global-options.ts';
import { commandHelp, generalHelp } from '../../src/cli/help-text.ts';
import { optionalValueOption, settingOption, valueOption } from '../../src/cli/option-spec.ts';
import { seconds, text } from '../../src/config/kind.ts';
import { settingsWithFlagOn } from '../../src/config/settings-table.ts';

const entry = { name: 'call', summary: 'Send a task', load: async () => ({ command }) };
const command: Command = {
  arguments: ['<task>', '[...more]'],
  description: 'Sends a task.\n  indented     kept as it is',
  examples: ["umbel call tasks.add --args '[2, 2]'"],
  options: [
    valueOption({ names: ['--args'], argument: 'JSON', kind: text(), doc: 'Arguments.', defaultText: '[]' }),
    optionalValueOption({ names: ['--wait'], argument: 'SECONDS', kind: seconds(), optional: /^\d/, doc: 'Wait.' }),
    valueOption({ names: ['--a-name-that-is-far-too-long'], argument: 'VALUE', kind: text(), doc: 'Long.' }),
  ],
  settings: settingsWithFlagOn('worker'),
  run: async () => 0,
};

t.test('no line is longer than 100 columns or ends in a space', async (t) => {
  for (const text of [generalHelp(commands), commandHelp(entry, command)]) {
    for (const line of text.split('\n')) t.ok(line.length <= 100 && !line.endsWith(' '), line);
  }
});

t.test('usage, options, defaults, examples', async (t) => {
  const help = commandHelp(entry, command);
  t.match(help, /^Usage: umbel call TASK \[MORE\.\.\.\] \[OPTIONS\]\n\nSend a task\.\n\nSends a task\.\n {2}indented {5}kept as it is\n/);
  t.match(help, /^ {6}--args JSON {15}Arguments\. \[default: \[\]\]$/m);
  t.match(help, /^ {6}--wait \[SECONDS\] /m);
  t.match(help, /^ {6}--a-name-that-is-far-too-long VALUE\n {32}Long\.$/m);
  t.match(help, /^ {2}-c, --concurrency N .*\[worker\.concurrency;\s+default:\s+the number of CPUs\]$/ms);
  t.match(help, /Examples:\n {2}umbel call tasks\.add --args '\[2, 2\]'\n$/);
});

t.test('every option stands in it once, under the heading of its group', async (t) => {
  const help = commandHelp(entry, command);
  for (const spec of [...command.options, ...command.settings.map(settingOption), ...globalOptions]) {
    const forms = spec.names.join(', ');
    t.equal(help.split('\n').filter((line) => line.trimStart().split(/ {2}| [A-Z[]/)[0] === forms).length, 1, forms);
    t.ok(help.includes(`\n${spec.group}:\n`), spec.group);
  }
});

t.test('every command of the list loads', async (t) => {
  const names = commands.map((one) => one.name);
  t.same(names, [...new Set(names)]);
  for (const { name, summary, load } of commands) {
    const { command: loaded } = await load();
    t.type(loaded.run, 'function', name);
    t.match(summary, /^[A-Z].*[^.]$/);
    const forms = [...loaded.options, ...loaded.settings.map(settingOption), ...globalOptions].flatMap((spec) => spec.names);
    t.same(forms, [...new Set(forms)], `${name}: no option twice`);
  }
});
