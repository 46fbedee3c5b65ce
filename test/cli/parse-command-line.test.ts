/** Values and arguments come through cac as they were typed, and its rules for arguments hold. */
import t from 'tap';
import type { Command } from '../../src/cli/command.ts';
import { flagOption, type OptionSpec, optionalValueOption, valueOption } from '../../src/cli/option-spec.ts';
import { parseCommandLine } from '../../src/cli/parse-command-line.ts';
import { splitWords } from '../../src/cli/split-words.ts';
import { text } from '../../src/config/kind.ts';

const id = valueOption({ names: ['--task-id'], argument: 'ID', kind: text(), doc: '' });
const noColor = flagOption({ names: ['-C', '--no-color'], doc: '' });
const wait = optionalValueOption({ names: ['--wait'], argument: 'SECONDS', kind: text(), optional: /^\d/, doc: '' });
const profile = valueOption({ names: ['-O'], argument: 'PROFILE', kind: text(), doc: '' });
const specs: readonly OptionSpec[] = [id, noColor, wait, profile];

function parse(declared: readonly string[], ...argv: string[]) {
  const command: Command = { arguments: declared, options: specs, settings: [], run: async () => 0 };
  const { options, words } = splitWords(argv, { specs, program: 'umbel call' });
  return parseCommandLine({ name: 'call', command, specs, options, words });
}

t.test('values stay text, to the letter', async (t) => {
  for (const value of [
    '007',
    '1e3',
    'true',
    'false',
    '',
    ' ',
    ':x',
    '-5',
    '--no-x',
    'a=b',
    '[2, 2]',
    '{"a": "b c"}',
    '0x10',
    'Infinity',
    'a.b',
    '😀',
  ]) {
    t.same(parse([], `--task-id=${value}`).values.get(id), [value], JSON.stringify(value));
    t.same(parse(['<task>'], '--', value).args, [value], `argument ${JSON.stringify(value)}`);
  }
});

t.test('what is not given is absent, what is repeated is kept in order', async (t) => {
  t.equal(parse([]).values.size, 0);
  const { values } = parse([], '--task-id', 'a', '-C', '--task-id=b', '--wait', '-Ofair', '--task-id', ':c');
  t.same(values.get(id), ['a', 'b', ':c']);
  t.same(values.get(noColor), [true]);
  t.same(values.get(wait), [true]);
  t.same(values.get(profile), ['fair']);
});

t.test('arguments: too few, too many, optional, rest', async (t) => {
  t.same(parse(['<task>'], 'tasks.add').args, ['tasks.add']);
  t.same(parse(['<task>', '[other]'], 'a').args, ['a']);
  t.same(parse(['<task>', '[...files]'], 'a', 'b', 'c').args, ['a', 'b', 'c']);
  t.throws(() => parse(['<task>']), {
    code: 'USAGE',
    exitStatus: 64,
    message: "arguments are missing for command 'call <task>'; see umbel call --help",
  });
  t.throws(() => parse(['<task>'], 'a', 'b', 'c'), { code: 'USAGE', message: "too many arguments: 'b', 'c'; see umbel call --help" });
  t.throws(() => parse([], 'worker'), { code: 'USAGE' });
});
