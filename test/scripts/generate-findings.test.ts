/** docs/findings.md and the table agree, both ways; and every finding of the table is found by some check. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { topics } from '../../src/doctor/finding-entry.ts';
import { findingTable } from '../../src/doctor/finding-table.ts';

const root = resolve(import.meta.dirname, '../..');

t.test('the committed page has exactly the findings of the table, each with severity, sentence and fix', async (t) => {
  const page = readFileSync(join(root, 'docs/findings.md'), 'utf8');
  const shown = [...page.matchAll(/^### ([A-Z_]+)\n\n\*(\w+)\.\* (.+)\n\n\*\*Fix:\*\* (.+)$/gm)];
  const byCode = Object.fromEntries(shown.map(([, code, severity, sentence, fix]) => [code, { severity, sentence, fix }]));
  const wanted = Object.fromEntries(
    Object.entries(findingTable).map(([code, { severity, sentence, fix }]) => [code, { severity, sentence, fix }]),
  );
  t.same(byCode, wanted);
  t.equal(shown.length, Object.keys(findingTable).length, 'none twice');
  for (const title of Object.values(topics)) t.ok(page.includes(`\n## ${title}\n`), title);
});

t.test('a check finds it, and a test has seen it found', async (t) => {
  const textsOf = (folder: string) =>
    readdirSync(join(root, folder))
      .filter((name) => name !== 'finding-table.ts')
      .map((name) => readFileSync(join(root, folder, name), 'utf8'));
  const [sources, tests] = [textsOf('src/doctor'), textsOf('test/doctor')];
  sources.push(readFileSync(join(root, 'src/cli/examination.ts'), 'utf8'));
  const missingIn = (texts: readonly string[]) =>
    Object.keys(findingTable).filter((code) => !texts.some((text) => text.includes(`'${code}'`)));
  t.same(missingIn(sources), [], 'in src/doctor');
  t.same(missingIn(tests), [], 'in test/doctor');
});
