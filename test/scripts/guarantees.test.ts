/** docs/guarantees.md: every line of the Redis tables names a test that exists. */
import { readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docs/guarantees.md', root), 'utf8');

for (const [heading, folder, least] of [
  ['Redis: broker', 'test/broker/redis', 15],
  ['Redis: results', 'test/backend/redis', 15],
] as const) {
  t.test(heading, async (t) => {
    const section = new RegExp(`^## ${heading}\\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(text)?.[1] ?? '';
    const rows = section
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| ---') && !line.startsWith('| what is promised'));
    t.ok(rows.length >= least, `${rows.length} lines`);
    for (const row of rows) {
      const [, promise = '', , test = ''] = row.split('|').map((cell) => cell.trim());
      const [, file, title] = /^([a-z-]+): (.+)$/.exec(test) ?? [];
      t.ok(file !== undefined && title !== undefined, `${promise}: names a test`);
      const source = readFileSync(new URL(`${folder}/${file}.test.ts`, root), 'utf8');
      t.ok(
        ["'", '`'].some((quote) => source.includes(`t.test(${quote}${title}`)),
        `${file}: ${title}`,
      );
    }
  });
}
