/** Syntax errors of a TOML file carry line and column and say something. */
import t from 'tap';
import { parseToml, TomlSyntaxError } from '../../src/config/parse-toml.ts';

function problemOf(source: string): TomlSyntaxError {
  try {
    parseToml(source);
  } catch (thrown) {
    if (thrown instanceof TomlSyntaxError) return thrown;
    throw thrown;
  }
  throw new Error('it is valid');
}

t.test('line, column and reason', async (t) => {
  const cases: readonly (readonly [string, number, number, RegExp])[] = [
    ['a = 1\nb = \n', 2, 5, /value is missing.*end of line/],
    ['a = 1\nb = word\n', 2, 5, /value is missing.*"w"/],
    ['[worker\na = 1\n', 1, 8, /unexpected end of line/],
    ['a = "open', 1, 10, /unexpected end of file/],
    ['a = 1\na = 2\n', 2, 1, /redefine existing key 'a'$/],
    ['a = 1 b = 2', 1, 7, /unexpected "b"/],
    ['[a]\nx = 1\n[a]\n', 3, 1, /redefine existing key 'a'$/],
  ];
  for (const [source, line, column, message] of cases) {
    const problem = problemOf(source);
    t.match(problem.message, message, JSON.stringify(source));
    t.same([problem.line, problem.column], [line, column], JSON.stringify(source));
  }
});

t.test('data and lines of a valid text', async (t) => {
  const { data, lines } = parseToml('a = 1\n[b]\nc = [1, 2]\n');
  t.same(JSON.parse(JSON.stringify(data)), { a: 1, b: { c: [1, 2] } });
  t.equal(lines.lineOf(['b', 'c']), 3);
});
