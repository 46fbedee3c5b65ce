/** docs/guarantees.md: every line of the tables of Redis, RabbitMQ and replies names a test that exists. */
import { readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('docs/guarantees.md', root), 'utf8');

/** Where a test named in the section of `folder` is. */
function sourceOf(file: string, folder: string): string {
  if (file === 'conformance') return 'test/broker/conformance.ts';
  if (file.endsWith('-conformance')) return `test/${file}.ts`;
  if (/^(driver|consumer|child|live|node|producer|pool|broker|statedb|std|task)\//.test(file)) return `test/${file}.test.ts`;
  return `test/${folder}/${file}.test.ts`;
}

for (const [title, folder, least] of [
  ['Redis: broker', 'broker/redis', 35],
  ['Redis: results', 'backend/redis', 15],
  ['RabbitMQ: broker', 'broker/amqp', 35],
  ['RabbitMQ: when the connection fails', 'broker/amqp', 14],
  ['Results as replies', 'backend', 10],
  ['Recycling', 'pool', 4],
  ['Time limits', 'pool', 7],
  ['Stopping', 'live', 5],
  ['Messages put aside', 'broker', 7],
  ['Moving to another broker', 'broker', 5],
  ['Revoked tasks', 'consumer', 12],
  ['When tasks run', 'consumer', 9],
  ['Pools', 'pool', 5],
] as const) {
  t.test(title, async (t) => {
    const section = new RegExp(`^## ${title}\\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(text)?.[1] ?? '';
    const rows = section
      .split('\n')
      .filter((line) => line.startsWith('| ') && !/^\| (---|what is promised|\*\*[^*]+\*\* \| \| \|$)/.test(line));
    t.ok(rows.length >= least, `${rows.length} lines`);
    for (const row of rows) {
      const [, promise = '', , test = ''] = row.split('|').map((cell) => cell.trim());
      const [, file, name] = /^([a-z/-]+): (.+)$/.exec(test) ?? [];
      if (!t.ok(file !== undefined && name !== undefined, `${promise}: names a test`)) continue;
      const source = readFileSync(new URL(sourceOf(String(file), folder), root), 'utf8');
      t.ok(
        ["'", '`', '"'].some((quote) => source.includes(`test(${quote}${name}`)),
        `${file}: ${name}`,
      );
    }
  });
}
