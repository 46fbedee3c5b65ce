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
  t.same(printed, text.slice(0, -1));
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
