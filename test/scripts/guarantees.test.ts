/** docs/guarantees.md: every line of the tables of Redis, RabbitMQ and replies names a test that exists. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';

const root = new URL('../../', import.meta.url);
const suites = readdirSync(new URL('test/broker/conformance/', root));
const text = readFileSync(new URL('docs/guarantees.md', root), 'utf8');

/** Of the file, or the suites, with a test named in the section of `folder`. */
function sourceOf(file: string, folder: string): string {
  const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
  if (file === 'conformance') return suites.map((name) => read(`test/broker/conformance/${name}`)).join('');
  if (file.endsWith('-conformance')) return read(`test/${file}.ts`);
  if (/^(driver|consumer|child|live|node|producer|pool|protocol|broker|statedb|std|task)\//.test(file)) return read(`test/${file}.test.ts`);
  return read(`test/${folder}/${file}.test.ts`);
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
      const source = sourceOf(String(file), folder);
      t.ok(
        ["'", '`', '"'].some((quote) => source.includes(`test(${quote}${name}`)),
        `${file}: ${name}`,
      );
    }
  });
}
