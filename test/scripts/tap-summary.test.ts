/** The summary counts what tap counts, and sees the files tap passes over in silence. */
import t from 'tap';
import { TapSummary } from '../../scripts/tap-summary.ts';

function summarise(files: readonly string[], text: string, status: number | null) {
  const printed: string[] = [];
  const summary = new TapSummary(files, (line) => printed.push(line));
  for (const line of text.split('\n')) summary.line(line);
  return { counts: summary.end(status), printed };
}

const passing = [
  'TAP version 14',
  '1..1',
  '# Subtest: test/a.test.ts',
  '    ok 1 - fine',
  '    1..1',
  'ok 1 - test/a.test.ts # time=5ms',
  '',
  '# { total: 1, pass: 1 }',
];

t.test('a passing run is one line per file', async (t) => {
  const { counts, printed } = summarise(['test/a.test.ts'], passing.join('\n'), 0);
  t.same(counts, { passed: 1, failed: 0 });
  t.same(printed, ['ok - test/a.test.ts # time=5ms']);
});

t.test('a failing file is printed whole, with its diagnostics', async (t) => {
  const text = [
    '# Subtest: test/a.test.ts',
    '    not ok 1 - wrong',
    '      ---',
    '      at: line 7',
    '      ...',
    'not ok 1 - test/a.test.ts # time=5ms',
    '  ---',
    '  exitCode: 1',
    '  ...',
    '# { total: 3, pass: 2, fail: 1 }',
  ];
  const { counts, printed } = summarise(['test/a.test.ts'], text.join('\n'), 1);
  t.same(counts, { passed: 2, failed: 1 });
  t.same(printed.slice(0, text.length - 1), text.slice(0, -1));
  t.same(printed.slice(text.length), ['  not ok - test/a.test.ts > wrong'], 'and said once more at the end');
});

/** The lines behind the heading. */
function failures(text: readonly string[]): string[] {
  const { printed } = summarise([], [...text, '# { total: 9, pass: 1, fail: 8 }'].join('\n'), 1);
  return printed.slice(printed.findIndex((line) => line.startsWith('What has failed')) + 1);
}

t.test('at the end each failed assertion once more: file, subtests, what is wrong', async (t) => {
  const text = [
    '# Subtest: test/a.test.ts',
    '    # Subtest: outer',
    '        ok 1 - fine',
    '        # Subtest: inner',
    '            not ok 1 - two',
    '              ---',
    '              compare: ===',
    '              at:',
    '                fileName: test/helper.ts',
    '                lineNumber: 5',
    '              source: |',
    "                t.equal(1, 2, 'two');",
    '                # Subtest: not one',
    '                not ok 7 - nor this',
    '              diff: |',
    '                --- expected',
    '                +++ actual',
    '                @@ -1,1 +1,1 @@',
    '                -2',
    '                +1',
    '              ...',
    '            ',
    '            not ok 2 - to be done # TODO',
    '            1..2',
    '        not ok 2 - inner # time=3ms',
    '          ---',
    '          at:',
    '            fileName: test/a.test.ts',
    '          ...',
    '        1..2',
    '    not ok 1 - outer # time=4ms',
    '    # Subtest: late',
    '        not ok 1 - timeout!',
    '          ---',
    '          expired: late',
    '          ...',
    '        1..1',
    '    not ok 2 - late # time=9ms',
    '    not ok 3 - late # time=9ms',
    '    1..3',
    'not ok 1 - test/a.test.ts # time=5ms',
    '# Subtest: test/b.test.ts',
    '    ok 1 - fine',
    'not ok 2 - test/b.test.ts # time=5ms',
    '  ---',
    '  exitCode: null',
    '  signal: SIGKILL',
    '  ...',
    'not ok 3 - timeout!',
    '  ---',
    '  expired: test/c.test.ts',
    '  ...',
  ];
  t.strictSame(failures(text), [
    '  not ok - test/a.test.ts > outer > inner > two (test/helper.ts:5)',
    '      -2',
    '      +1',
    '  not ok - test/a.test.ts > late > timeout!',
    '      expired: late',
    '  not ok - test/b.test.ts',
    '      signal: SIGKILL',
    '  not ok - timeout!',
    '      expired: test/c.test.ts',
  ]);
  t.strictSame(
    failures(text.slice(0, 8).concat(text.slice(-11))).slice(-1),
    ['      expired: test/c.test.ts'],
    'also behind a file that was cut off',
  );
});

t.test('of a long difference what differs, and of many failures the first', async (t) => {
  const same = Array.from({ length: 50 }, (_, at) => `           same ${at}`);
  const diff = ['      ---', '      diff: |', '        --- expected', '        +++ actual', '        @@ -1,9 +1,9 @@', ...same];
  const one = [
    '    not ok 1 - long',
    ...diff,
    `        -${'x'.repeat(1000)}`,
    '        +y',
    ...same,
    '      at:',
    '        lineNumber: 1',
    '      ...',
  ];
  const said = failures(['# Subtest: test/a.test.ts', ...one]);
  t.strictSame(said, ['  not ok - test/a.test.ts > long', `      -${'x'.repeat(153)}…`, '      +y']);
  const many = failures(['# Subtest: test/a.test.ts', ...Array.from({ length: 25 }, (_, at) => `    not ok ${at + 1} - wrong`)]);
  t.equal(many.length, 21);
  t.equal(many.at(-1), '  and 5 more');
});

t.test('a file that was killed after passing assertions is a failure', async (t) => {
  const text = [
    '# Subtest: test/a.test.ts',
    '    ok 1 - fine',
    'not ok 1 - test/a.test.ts',
    '  signal: SIGKILL',
    '# { total: 1, pass: 1 }',
  ];
  t.same(summarise(['test/a.test.ts'], text.join('\n'), 1).counts, { passed: 1, failed: 1 });
});

t.test('a file that did not report is a failure', async (t) => {
  const { counts, printed } = summarise(['test/a.test.ts', 'test/b.test.ts'], passing.join('\n'), 0);
  t.same(counts, { passed: 1, failed: 1 });
  t.ok(printed.includes('not ok - test/b.test.ts did not report'));
});

t.test('a file without an assertion is a failure', async (t) => {
  const text = [
    '# Subtest: test/a.test.ts',
    '    1..0 # no tests found',
    'ok 1 - test/a.test.ts # SKIP no tests found',
    '# { total: 1, pass: 0, skip: 1 }',
  ];
  const { counts, printed } = summarise(['test/a.test.ts'], text.join('\n'), 0);
  t.same(counts, { passed: 0, failed: 1 });
  t.same(printed, ['not ok - test/a.test.ts ran no assertion']);
});

t.test('a run that was cut off is a failure', async (t) => {
  t.same(summarise(['test/a.test.ts'], passing.slice(0, -1).join('\n'), null).counts, { passed: 0, failed: 1 });
});

t.test('an exit status of tap that nothing explains is a failure', async (t) => {
  const { counts, printed } = summarise(['test/a.test.ts'], passing.join('\n'), 7);
  t.same(counts, { passed: 1, failed: 1 });
  t.match(printed.at(-1), /tap ended with status 7/);
});
