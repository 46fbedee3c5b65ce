/** The forms of options that Celery accepts, and what is said about the others. */
import t from 'tap';
import { flagOption, type OptionSpec, optionalValueOption, valueOption } from '../../src/cli/option-spec.ts';
import { splitWords } from '../../src/cli/split-words.ts';
import { integer, seconds, text } from '../../src/config/kind.ts';

const specs: readonly OptionSpec[] = [
  valueOption({ names: ['-c', '--concurrency'], argument: 'N', kind: integer(), doc: '' }),
  valueOption({ names: ['-l', '--loglevel'], argument: 'LEVEL', kind: text(), doc: '' }),
  flagOption({ names: ['-C', '--no-color'], doc: '' }),
  flagOption({ names: ['-E', '--task-events', '--events'], doc: '' }),
  valueOption({ names: ['-O'], argument: 'PROFILE', kind: text(), doc: '' }),
  optionalValueOption({ names: ['--wait'], argument: 'SECONDS', kind: seconds(), optional: /^\d/, doc: '' }),
];

function split(...argv: string[]) {
  const { options, words } = splitWords(argv, { specs, program: 'umbel worker' });
  return { options: options.map(({ spec, value }) => [spec.names.at(-1), value]), words };
}

t.test('every form of an option', async (t) => {
  const cases: readonly (readonly [string[], unknown[], string[]])[] = [
    [['-c', '2'], [['--concurrency', '2']], []],
    [['-c2'], [['--concurrency', '2']], []],
    [['--concurrency=2'], [['--concurrency', '2']], []],
    [['--concurrency', '2'], [['--concurrency', '2']], []],
    [['--concurrency='], [['--concurrency', '']], []],
    [['--loglevel=a=b'], [['--loglevel', 'a=b']], []],
    [['-linfo'], [['--loglevel', 'info']], []],
    [['-Ofair'], [['-O', 'fair']], []],
    [
      ['-CE'],
      [
        ['--no-color', true],
        ['--events', true],
      ],
      [],
    ],
    [
      ['-CElinfo', 'x'],
      [
        ['--no-color', true],
        ['--events', true],
        ['--loglevel', 'info'],
      ],
      ['x'],
    ],
    [
      ['-CEl', 'info'],
      [
        ['--no-color', true],
        ['--events', true],
        ['--loglevel', 'info'],
      ],
      [],
    ],
    [['-c', '-2'], [['--concurrency', '-2']], []],
    [['--events', 'x'], [['--events', true]], ['x']],
    [['--', '-c', '--', 'x'], [], ['-c', '--', 'x']],
    [['a', '-', '-C', 'b'], [['--no-color', true]], ['a', '-', 'b']],
    [['--wait', '5'], [['--wait', '5']], []],
    [['--wait', 'tasks.add'], [['--wait', true]], ['tasks.add']],
    [['--wait'], [['--wait', true]], []],
    [['--wait=1.5'], [['--wait', '1.5']], []],
    [
      ['--wait', '-C'],
      [
        ['--wait', true],
        ['--no-color', true],
      ],
      [],
    ],
  ];
  for (const [argv, options, words] of cases) t.same(split(...argv), { options, words }, argv.join(' '));
});

t.test('what is no option or has no value', async (t) => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['--concurency', '2'], /^--concurency is not an option of umbel worker; did you mean --concurrency\?; see umbel worker --help$/],
    [['--nope-nope'], /^--nope-nope is not an option of umbel worker; see/],
    [['-Z'], /^-Z is not an option of umbel worker; see/],
    [['-CZ'], /^-Z is not an option/],
    [['-c'], /^-c needs a value \(N\), got the end of the line/],
    [['--concurrency', '--no-color'], /^--concurrency needs a value \(N\), got the option --no-color/],
    [['-c', '--'], /^-c needs a value \(N\)/],
    [['--no-color=yes'], /^--no-color takes no value, got "yes"/],
  ];
  for (const [argv, message] of cases) t.throws(() => split(...argv), { code: 'USAGE', message }, argv.join(' '));
});

t.test('stopping at the first word', async (t) => {
  const { options, words, rest } = splitWords(['-l', 'info', 'worker', '-Z', '--', 'x'], { specs, stopAtWord: true, program: 'umbel' });
  t.equal(options.length, 1);
  t.same(words, ['worker']);
  t.same(rest, ['-Z', '--', 'x']);
  t.throws(() => splitWords(['-Z', 'worker'], { specs, stopAtWord: true, program: 'umbel' }), {
    message: /options of a command stand after its name/,
  });
});
