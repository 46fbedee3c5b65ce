/** docs/guarantees.md: every line of the Redis tables names a test that exists. */
import { readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docs/guarantees.md', root), 'utf8');

t.test('results in Redis', async (t) => {
  const section = /^## Redis: results\n(.*?)(?=^## |$(?![\s\S]))/ms.exec(text)?.[1] ?? '';
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---') && !line.startsWith('| what is promised'));
  t.ok(rows.length >= 15, `${rows.length} lines`);
  for (const row of rows) {
    const [, promise = '', , test = ''] = row.split('|').map((cell) => cell.trim());
    const [, file, title] = /^([a-z-]+): (.+)$/.exec(test) ?? [];
    t.ok(file !== undefined && title !== undefined, `${promise}: names a test`);
    const source = readFileSync(new URL(`test/backend/redis/${file}.test.ts`, root), 'utf8');
    t.ok(
      ["'", '`'].some((quote) => source.includes(`t.test(${quote}${title}`)),
      `${file}: ${title}`,
    );
  }
});
