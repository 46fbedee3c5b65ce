/** What the pages tell people to type: every command of umbel, every remote command and every option in their examples exists. */
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { commands } from '../../src/cli/commands.ts';
import { findCommand } from '../../src/cli/find-command.ts';
import { globalOptions } from '../../src/cli/global-options.ts';
import { settingOption } from '../../src/cli/option-spec.ts';
import { argumentsFrom } from '../../src/control/command-line.ts';
import { localCommands } from '../../src/control/local-commands.ts';
import { builtinCommands } from '../../src/node/module-commands.ts';

const root = resolve(import.meta.dirname, '../..');
const pages = ['README.md', 'examples/README.md', ...globSync('docs/*.md', { cwd: root })];

/** What stands for something else: `umbel inspect …`, `umbel control X`. */
const placeholder = /…|\bX\b|\.\.\./;

interface Call {
  readonly words: readonly string[];
  /** To be typed as it stands; in a sentence arguments may be left out. */
  readonly whole: boolean;
}

/** Calls of umbel in shell blocks, as far as the next command of the shell, and remote commands in sentences. */
function callsIn(text: string): Call[] {
  const blocks = [...text.matchAll(/^ *```(?:sh|bash)\n(.*?)^ *```$/gms)].flatMap(([, block = '']) =>
    block.replaceAll(/\\\n\s*/g, ' ').split('\n'),
  );
  const sentences = text.replaceAll(/^ *```.*?^ *```$/gms, '').matchAll(/`(umbel (?:inspect|control|ctl) [a-z][^`]*)`/g);
  const lines = [...blocks.map((line) => ({ line, whole: true })), ...[...sentences].map(([, line = '']) => ({ line, whole: false }))];
  return lines
    .filter(({ line }) => !placeholder.test(line))
    .flatMap(({ line, whole }) =>
      line
        .replace(/\s#.*$/, '')
        .split(/\s*(?:\||&&|;|&$)\s*/)
        .map((part) => ({ part, whole })),
    )
    .map(({ part, whole }) => ({ words: part.trim().match(/'[^']*'|"[^"]*"|\S+/g) ?? [], whole }))
    .filter(({ words }) => words[0] === 'umbel')
    .map(({ words, whole }) => ({ words: words.slice(1).map((word) => word.replace(/^(['"])(.*)\1$/, '$2')), whole }));
}

const ofRemote = ['inspect', 'control', 'ctl'];

t.test('commands, remote commands and options', async (t) => {
  let calls = 0;
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8');
    const own = [...text.matchAll(/^export const (\w+) = (?:inspect|control)Command/gm)].map((match) => match[1]);
    for (const { words, whole } of callsIn(text)) {
      calls += 1;
      const line = `${page}: umbel ${words.join(' ')}`;
      const [name = ''] = words.filter((word) => !word.startsWith('-'));
      if (words[0]?.startsWith('-') === true) continue;
      const command = await findCommand(commands, name).load();
      if (command.command.runWords !== undefined) continue;
      const { options, settings } = command.command;
      const known = new Map(
        [...globalOptions, ...options, ...settings.map(settingOption)].flatMap((spec) => spec.names.map((one) => [one, spec])),
      );
      const positional: string[] = [];
      for (let at = 1; at < words.length; at += 1) {
        const word = words[at] as string;
        if (!word.startsWith('-') || word === '-') {
          positional.push(word);
          continue;
        }
        const [option = ''] = word.split('=');
        const spec = known.get(option);
        t.ok(spec !== undefined, `${line}: ${option}`);
        if (spec?.argument !== undefined && spec.argument !== null && !word.includes('=')) at += 1;
      }
      if (!ofRemote.includes(name)) continue;
      const [method = '', ...rest] = positional;
      if (own.includes(method)) continue;
      const remote = [...(name === 'ctl' ? localCommands : []), ...builtinCommands].find((one) => one.name === method);
      if (!t.ok(remote !== undefined, `${line}: ${method}`) || remote === undefined) continue;
      if (name !== 'ctl') t.equal('kind' in remote && remote.kind, name, line);
      if (whole) t.doesNotThrow(() => argumentsFrom(remote, rest), line);
    }
  }
  t.ok(calls >= 40, `${calls} calls`);
});
